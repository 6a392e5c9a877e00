import { PortHint } from './abi';
import { type HintChange, HintTable } from './hint-table';
import type { FrontendDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';

/** Counts what each port number stands for, and keeps the hints that say so. */
export class PortHints {
  readonly #hints = new HintTable('ports');
  readonly #frontends = new Uint32Array(65536);
  readonly #wildcards = new Uint32Array(65536);

  /** What the kernel holds already. Bits that nothing needs any more stay: they are hints. */
  adopt(hints: Uint8Array): void {
    this.#hints.adopt(hints);
  }

  /** The operations to run before and after a change of services, which becomes the new state. */
  change(removed: Iterable<ServiceRecord>, added: Iterable<ServiceRecord>): HintChange {
    const touched = new Set<number>();
    const newFlows = new Set<number>();
    const noteFlow = ({ port }: { readonly port: number }) => {
      if (!(this.#hints.at(port) & PortHint.FLOW)) newFlows.add(port);
    };
    for (const { definition } of removed) {
      for (const frontend of definition.frontends) touched.add(this.#count(frontend, -1));
    }
    for (const { definition } of added) {
      const { frontends, backends } = definition;
      for (const frontend of frontends) touched.add(this.#count(frontend, 1));
      frontends.forEach(noteFlow);
      backends.forEach(noteFlow);
    }
    for (const port of newFlows) touched.add(port);
    return this.#hints.change(
      touched,
      (port) =>
        /* Flows outlive the frontend and the backend that they began with, so their bit is never cleared. */
        (this.#hints.at(port) & PortHint.FLOW) |
        (newFlows.has(port) ? PortHint.FLOW : 0) |
        (this.#frontends[port] ? PortHint.FRONTEND : 0) |
        (this.#wildcards[port] ? PortHint.WILDCARD : 0),
    );
  }

  #count({ address, port }: FrontendDefinition, by: 1 | -1): number {
    const counts = address ? this.#frontends : this.#wildcards;
    counts[port] = (counts[port] as number) + by;
    return port;
  }
}
