import { flowEntries, flowEntry, type FlowEntry, flowTables } from './flow-table';
import { frontendKey } from './frontend-key';
import type { ServiceDefinition } from './service-definition';
import { type DatagramFlow, makesDatagramsStale, staleDatagrams } from './stale-datagrams';
import type { Services } from './stale-sockets';
import type { Datapath, MapOperation } from '../types/native';

/** A service before and after a commit; undefined: it is not there. */
export interface DefinitionChange {
  readonly before: ServiceDefinition | undefined;
  readonly after: ServiceDefinition | undefined;
}

/** What {@link DatagramFlows} needs. */
export interface DatagramFlowsContext {
  readonly datapath: Pick<Datapath, 'dump' | 'lookup' | 'commit'>;
  readonly table: Services;
  /** Does some work while no change is on its way: then the kernel has just what the table says. */
  settled(work: () => Promise<void>): Promise<void>;
}

const udp = 17;
const attempts = 4;

/**
 * Takes UDP flows of packets away from backends that their services have no more: nothing else would end them as long as
 * packets come. The next packet of such a flow is the first of a new one.
 *
 * The flow tables are read as a whole, so it is done in the background, for many changes at a time. What was found is judged
 * once more before it goes, by the services as they are then: a backend may have come back meanwhile, and flows with it.
 */
export class DatagramFlows {
  readonly #context: DatagramFlowsContext;
  /** By name, since the tables were read last: what services were before a change. */
  #earlier = new Map<string, ServiceDefinition[]>();
  #running: Promise<void> | undefined;

  constructor(context: DatagramFlowsContext) {
    this.#context = context;
  }

  /** The kernel has these changes. */
  note(changes: Iterable<DefinitionChange>): void {
    for (const { before, after } of changes) {
      /* A new service has no flows but those of an earlier one, which is among the changes. */
      if (!before || !makesDatagramsStale(before, after)) continue;
      const earlier = this.#earlier.get(before.name);
      if (earlier) earlier.push(before);
      else this.#earlier.set(before.name, [before]);
    }
    if (this.#earlier.size > 0) this.#running ??= this.#run();
  }

  /** Resolves when all that was noted has been done. A table that cannot be read keeps its flows. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#earlier.size > 0) {
      const earlier = this.#earlier;
      this.#earlier = new Map();
      await this.#forgetAll(earlier).catch(() => undefined);
    }
    this.#running = undefined;
  }

  /** A packet that comes meanwhile may restore the entry that went first, from the one that is still there. */
  async #forgetAll(earlier: ReadonlyMap<string, readonly ServiceDefinition[]>): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) if (!(await this.#forget(earlier))) return;
  }

  /** Resolves with false when there was nothing to forget. */
  async #forget(earlier: ReadonlyMap<string, readonly ServiceDefinition[]>): Promise<boolean> {
    const { datapath } = this.#context;
    let found = false;
    for (const { map, family } of flowTables) {
      const isStale = staleFlows(this.#context.table, earlier);
      const stale: Uint8Array[] = [];
      for (const entry of flowEntries(await datapath.dump(map), family))
        if (isStale(entry)) stale.push(entry.key);
      if (stale.length === 0) continue;
      found = true;
      await this.#context.settled(async () => {
        const isStillStale = staleFlows(this.#context.table, earlier);
        const keys = stale.filter((key) => {
          const value = datapath.lookup(map, key);
          return value && isStillStale(flowEntry(key, value, family));
        });
        if (keys.length === 0) return;
        const operation: MapOperation = { map, kind: 'delete', keys: Buffer.concat(keys) };
        await datapath.commit([operation]);
      });
    }
    return found;
  }
}

/**
 * Which flows have to be forgotten, now that services are these. `earlier`: by name, what those that were changed have been
 * before.
 */
export function staleFlows(
  { owners, records }: Services,
  earlier: ReadonlyMap<string, readonly ServiceDefinition[]>,
): (entry: FlowEntry) => boolean {
  const present = [...earlier.keys()].flatMap((name) => records.get(name)?.definition ?? []);
  const isStale = staleDatagrams(present, [...earlier.values()].flat());
  const isOthers = ({ to }: DatagramFlow) => {
    const owner = owners.get(frontendKey(to.address, to.port, 'UDP'));
    return owner !== undefined && !earlier.has(owner);
  };
  return (entry) => {
    if (entry.protocol !== udp || entry.isOfHost) return false;
    const flow = { to: entry.frontend, peer: entry.backend };
    return isStale(flow) && !isOthers(flow);
  };
}
