import { flowEntries, flowEntry, type FlowEntry, flowTables } from './flow-table';
import { frontendKey } from './frontend-key';
import type { ServiceDefinition } from './service-definition';
import { type DatagramFlow, makesDatagramsStale, staleDatagrams } from './stale-datagrams';
import { type Services, staleSockets } from './stale-sockets';
import { TimeSlice } from './time-slice';
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
  #all = false;
  #timer: NodeJS.Timeout | undefined;
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

  /** Judges all flows, in the background: changes may have been missed, or have been an earlier process'. */
  reconcile(): void {
    this.#all = true;
    this.#running ??= this.#run();
  }

  /** Does so again and again, `period` milliseconds apart; 0: does not. */
  start(period: number): void {
    if (period > 0) this.#timer = setInterval(() => this.reconcile(), period).unref();
  }

  /** Resolves when all that was noted has been done. A table that cannot be read keeps its flows until the next time. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    const { table } = this.#context;
    while (this.#earlier.size > 0 || this.#all) {
      const [earlier, all] = [this.#earlier, this.#all];
      this.#earlier = new Map();
      this.#all = false;
      const judge = all ? () => strandedFlows(table) : () => staleFlows(table, earlier);
      await this.#forgetAll(judge).catch(() => undefined);
    }
    this.#running = undefined;
  }

  /** A packet that comes meanwhile may restore the entry that went first, from the one that is still there. */
  async #forgetAll(judge: () => FlowJudgement): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) if (!(await this.#forget(judge))) return;
  }

  /** Resolves with false when there was nothing to forget. */
  async #forget(judge: () => FlowJudgement): Promise<boolean> {
    const { datapath } = this.#context;
    const slice = new TimeSlice();
    let found = false;
    for (const { map, family } of flowTables) {
      const dump = await datapath.dump(map);
      const isStale = judge();
      const stale: Uint8Array[] = [];
      for (const entry of flowEntries(dump, family)) {
        if (slice.isOver) await slice.next();
        if (isStale(entry)) stale.push(entry.key);
      }
      if (stale.length === 0) continue;
      found = true;
      await this.#context.settled(async () => {
        const isStillStale = judge();
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

/** Whether a flow has to be forgotten. */
type FlowJudgement = (entry: FlowEntry) => boolean;

/** Which flows have to be forgotten, whatever was before: those that are with none of the backends of who has their frontend. */
export function strandedFlows(services: Services): FlowJudgement {
  const isStale = staleSockets(services, new Map());
  return (entry) => {
    if (entry.protocol !== udp || entry.isOfHost) return false;
    return isStale({ protocol: 'UDP', frontend: entry.frontend, backend: entry.backend });
  };
}

/**
 * Which flows have to be forgotten, now that services are these. `earlier`: by name, what those that were changed have been
 * before.
 */
export function staleFlows(
  { owners, records }: Services,
  earlier: ReadonlyMap<string, readonly ServiceDefinition[]>,
): FlowJudgement {
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
