import { Counter, layouts } from './abi';
import { encodeUint32 } from './encode';
import type { ServiceTable } from './service-table';
import type { Datapath } from '../types/native';

/** Numbers at one moment. Plain data: exporting them is the embedder's. */
export interface Metrics {
  /** What the programs counted since they were loaded, by reason: see `enum lb_counter` of bpf/abi.h. */
  readonly counters: Readonly<Record<CounterName, bigint>>;
  /** Table entries in use, and how many there are. */
  readonly tables: Readonly<
    Record<'services4' | 'services6' | 'backends', { used: number; capacity: number }>
  >;
}

/** Names of the counters, as `SOCKET_TRANSLATED`. */
export type CounterName = Exclude<keyof typeof Counter, 'COUNTERS'>;

/** Adds up what every CPU counted. */
export function readMetrics(datapath: Datapath, table: ServiceTable): Metrics {
  const perCpu = datapath.lookup('counters', encodeUint32(0)) ?? new Uint8Array();
  const view = new DataView(perCpu.buffer, perCpu.byteOffset, perCpu.byteLength);
  const { size } = layouts.lb_counters;
  const counters: Record<string, bigint> = {};
  for (const [name, index] of Object.entries(Counter)) {
    if (index === Counter.COUNTERS) continue;
    let sum = 0n;
    for (let at = index * 8; at < perCpu.byteLength; at += size) sum += view.getBigUint64(at, true);
    counters[name] = sum;
  }
  const { capacity } = table;
  return {
    counters: counters as Metrics['counters'],
    tables: {
      services4: { used: table.entries[4], capacity: capacity.frontends },
      services6: { used: table.entries[6], capacity: capacity.frontends },
      backends: { used: table.backendsUsed, capacity: capacity.backends },
    },
  };
}
