import { formatEndpoint } from './address';
import { flowEntries, type FlowEntry, flowTables } from './flow-table';
import type { ServiceDefinition } from './service-definition';
import type { ServiceTable } from './service-table';
import { type DatagramFlow, makesDatagramsStale, staleDatagrams } from './stale-datagrams';
import type { Datapath, MapOperation } from '../types/native';

/** A service before and after a commit; undefined: it is not there. */
export interface DefinitionChange {
  readonly before: ServiceDefinition | undefined;
  readonly after: ServiceDefinition | undefined;
}

const udp = 17;
const attempts = 4;

/**
 * Takes UDP flows of packets away from backends that their services have no more: nothing else would end them as long as
 * packets come. The next packet of such a flow is the first of a new one.
 *
 * The flow tables are read as a whole, so it is done in the background, for many changes at a time.
 */
export class DatagramFlows {
  readonly #datapath: Pick<Datapath, 'dump' | 'commit'>;
  readonly #table: Pick<ServiceTable, 'owners'>;
  /** By name, since the tables were read last: as it was then, and as it is. */
  #changes = new Map<string, DefinitionChange>();
  #running: Promise<void> | undefined;

  constructor(datapath: Pick<Datapath, 'dump' | 'commit'>, table: Pick<ServiceTable, 'owners'>) {
    this.#datapath = datapath;
    this.#table = table;
  }

  /** The kernel has these changes. */
  note(changes: Iterable<DefinitionChange>): void {
    for (const change of changes) {
      const { before, after } = change;
      /* A new service has no flows but those of an earlier one, which is among the changes. */
      const name = before?.name;
      if (name === undefined) continue;
      const earlier = this.#changes.get(name);
      if (earlier) this.#changes.set(name, { before: earlier.before, after });
      else if (makesDatagramsStale(before, after)) this.#changes.set(name, change);
    }
    if (this.#changes.size > 0) this.#running ??= this.#run();
  }

  /** Resolves when all that was noted has been done. A table that cannot be read keeps its flows. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#changes.size > 0) {
      const changes = this.#changes;
      this.#changes = new Map();
      await this.#forgetAll(changes).catch(() => undefined);
    }
    this.#running = undefined;
  }

  /** A packet that comes meanwhile may restore the entry that went first, from the one that is still there. */
  async #forgetAll(changes: ReadonlyMap<string, DefinitionChange>): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) if (!(await this.#forget(changes))) return;
  }

  /** Resolves with false when there was nothing to forget. */
  async #forget(changes: ReadonlyMap<string, DefinitionChange>): Promise<boolean> {
    let found = false;
    const all = [...changes.values()];
    const isStale = staleDatagrams(
      all.flatMap(({ after }) => after ?? []),
      all.flatMap(({ before }) => before ?? []),
    );
    const isOthers = ({ to }: DatagramFlow) => {
      const owner = this.#table.owners.get(`${formatEndpoint(to.address, to.port)}/UDP`);
      return owner !== undefined && !changes.has(owner);
    };
    const isChosen = (entry: FlowEntry) => {
      if (entry.protocol !== udp || entry.isOfHost) return false;
      const flow = { to: entry.frontend, peer: entry.backend };
      return isStale(flow) && !isOthers(flow);
    };
    for (const { map, family } of flowTables) {
      const dump = await this.#datapath.dump(map);
      const keys: Uint8Array[] = [];
      for (const entry of flowEntries(dump, family)) if (isChosen(entry)) keys.push(entry.key);
      if (keys.length === 0) continue;
      found = true;
      const operation: MapOperation = { map, kind: 'delete', keys: Buffer.concat(keys) };
      await this.#datapath.commit([operation]);
    }
    return found;
  }
}
