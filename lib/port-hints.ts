import { PortHint } from './abi';
import type { MapOperation } from '../types/native';
import type { FrontendDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';

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
    const newFlows = new Set<number>();
    const noteFlow = ({ port }: { readonly port: number }) => {
      if (!this.#has(port, PortHint.FLOW)) newFlows.add(port);
    };
    for (const { definition } of removed) {
      for (const frontend of definition.frontends) touched.add(this.#count(frontend, -1));
    }
    for (const { definition } of added) {
      const { frontends, backends } = definition;
      for (const frontend of frontends) touched.add(this.#count(frontend, 1));
      if (frontends.every((f) => f.type === 'ClusterIP')) continue;
      frontends.filter((f) => f.type !== 'ClusterIP').forEach(noteFlow);
      backends.forEach(noteFlow);
    }
    for (const port of newFlows) touched.add(port);
    const before: MapOperation[] = [];
    const after: MapOperation[] = [];
    for (const port of touched) {
      const was = this.#hints[port] as number;
      const now =
        /* Flows outlive the frontend and the backend that they began with, so their bit is never cleared. */
        (was & PortHint.FLOW) |
        (newFlows.has(port) ? PortHint.FLOW : 0) |
        (this.#frontends[port] ? PortHint.FRONTEND : 0) |
        (this.#wildcards[port] ? PortHint.WILDCARD : 0);
      if ((was | now) !== was) before.push(store(port, was | now));
      if ((was | now) !== now) after.push(store(port, now));
      this.#hints[port] = now;
    }
    return { before, after };
  }

  #has(port: number, hint: number): boolean {
    return ((this.#hints[port] as number) & hint) !== 0;
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
