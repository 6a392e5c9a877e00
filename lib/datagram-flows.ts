import { FlowFlag, layouts } from './abi';
import { type Family, families, formatAddress, formatEndpoint } from './address';
import type { ServiceDefinition } from './service-definition';
import type { ServiceTable } from './service-table';
import { type DatagramFlow, makesDatagramsStale, staleDatagrams } from './stale-datagrams';
import type { Datapath, MapOperation } from '../types/native';

/** A service before and after a commit; undefined: it is not there. */
export interface DefinitionChange {
  readonly before: ServiceDefinition | undefined;
  readonly after: ServiceDefinition | undefined;
}

interface Field {
  readonly offset: number;
  readonly size: number;
}

type Dump = Awaited<ReturnType<Datapath['dump']>>;

const udp = 17;
const attempts = 4;
const { flags } = layouts.lb_flow.fields;

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
    for (const family of families) {
      /* In the order in which flows move from one to the other. */
      for (const map of [`pending${family}`, `flows${family}`]) {
        const dump = await this.#datapath.dump(map);
        const keys = keysOf(dump, family, (flow) => isStale(flow) && !isOthers(flow));
        if (keys.byteLength === 0) continue;
        found = true;
        const operation: MapOperation = { map, kind: 'delete', keys };
        await this.#datapath.commit([operation]);
      }
    }
    return found;
  }
}

/** Keys of entries of UDP flows, in either direction, that are chosen. */
function keysOf(dump: Dump, family: Family, choose: (flow: DatagramFlow) => boolean): Uint8Array {
  const tuple = layouts[`lb_tuple${family}`];
  const entry = layouts[`lb_flow${family}`];
  const { saddr, daddr, sport, dport, protocol } = tuple.fields;
  const [keys, values] = [
    Buffer.from(dump.keys.buffer, dump.keys.byteOffset),
    Buffer.from(dump.values.buffer, dump.values.byteOffset),
  ];
  const endpoint = (bytes: Buffer, at: number, address: Field, port: Field) => ({
    address: formatAddress(bytes.subarray(at + address.offset, at + address.offset + address.size)).text,
    port: bytes.readUInt16BE(at + port.offset),
  });
  const chosen: Uint8Array[] = [];
  for (let i = 0; i < dump.count; i++) {
    const key = i * tuple.size;
    if (keys[key + protocol.offset] !== udp) continue;
    const value = i * entry.size;
    const flowFlags = values[value + entry.fields.flow.offset + flags.offset] as number;
    /* Those of the node itself are of no service. */
    if (flowFlags & FlowFlag.HOST) continue;
    const to = value + entry.fields.to.offset;
    const flow =
      flowFlags & FlowFlag.REPLY
        ? { to: endpoint(values, to, saddr, sport), peer: endpoint(keys, key, saddr, sport) }
        : { to: endpoint(keys, key, daddr, dport), peer: endpoint(values, to, daddr, dport) };
    if (choose(flow)) chosen.push(keys.subarray(key, key + tuple.size));
  }
  return Buffer.concat(chosen);
}
