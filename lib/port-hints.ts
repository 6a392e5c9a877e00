import { PortHint } from './abi';
import type { MapOperation } from '../types/native';
import type { FrontendDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';

const lastingHints = PortHint.FLOW | PortHint.ORIGIN;

/**
 * Counts what each port number stands for, and keeps the hint table one step ahead: a bit is set before the first
 * entry that needs it is written, and cleared after the last one is gone.
 */
export class PortHints {
  readonly #hints = new Uint8Array(65536);
  readonly #frontends = new Uint32Array(65536);
  readonly #wildcards = new Uint32Array(65536);

  /** The operations to run before and after a change of services, which becomes the new state. */
  change(
    removed: Iterable<ServiceRecord>,
    added: Iterable<ServiceRecord>,
  ): { before: MapOperation[]; after: MapOperation[] } {
    const touched = new Set<number>();
    /** Flows and sockets outlive the frontend and the backend that they began with: these bits are never cleared. */
    const lasting = new Map<number, number>();
    const last = (port: number, hint: number) => {
      if (((this.#hints[port] as number) & hint) !== hint) lasting.set(port, (lasting.get(port) ?? 0) | hint);
    };
    for (const { definition } of removed) {
      for (const frontend of definition.frontends) touched.add(this.#count(frontend, -1));
    }
    for (const { definition } of added) {
      const { frontends, backends } = definition;
      let backendHints: number = PortHint.ORIGIN;
      for (const frontend of frontends) {
        touched.add(this.#count(frontend, 1));
        if (frontend.type === 'ClusterIP') continue;
        last(frontend.port, PortHint.FLOW);
        backendHints |= PortHint.FLOW;
      }
      for (const { port } of backends) last(port, backendHints);
    }
    for (const port of lasting.keys()) touched.add(port);
    const before: MapOperation[] = [];
    const after: MapOperation[] = [];
    for (const port of touched) {
      const was = this.#hints[port] as number;
      const now =
        (was & lastingHints) |
        (lasting.get(port) ?? 0) |
        (this.#frontends[port] ? PortHint.FRONTEND : 0) |
        (this.#wildcards[port] ? PortHint.WILDCARD : 0);
      if ((was | now) !== was) before.push(store(port, was | now));
      if ((was | now) !== now) after.push(store(port, now));
      this.#hints[port] = now;
    }
    return { before, after };
  }

  #count({ address, port }: FrontendDefinition, by: 1 | -1): number {
    const counts = address ? this.#frontends : this.#wildcards;
    counts[port] = (counts[port] as number) + by;
    return port;
  }
}

function store(port: number, hints: number): MapOperation {
  return { map: 'ports', kind: 'store', offset: port, bytes: Uint8Array.of(hints) };
}
