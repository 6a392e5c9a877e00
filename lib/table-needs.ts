import { families } from './address';
import type { DefinitionChange } from './datagram-flows';
import { defaultMaglevSize } from './maglev';
import { maglevRoom } from './maglev-tables';
import { RangeAllocator } from './range-allocator';
import { type Selection, selectBackends } from './selection';
import { sameRanges, type ServiceDefinition } from './service-definition';
import type { ServicePolicy } from './service-flags';
import { defaultMaglevSlots, defaultSourceRanges, type TableCapacity } from './service-table';

/** The tables whose sizes are those of `capacity`, by the names that `bpftool map` shows. */
export type SizedTable = 'services4' | 'services6' | 'backends' | 'maglev' | 'ranges4' | 'ranges6';

/** Room in a table. */
export interface TableNeed {
  /** Entries that the desired state takes, rounding included. */
  readonly need: number;
  /** Entries that there are, in use or free. They may grow: see `maxCapacity`. */
  readonly have: number;
  /** Entries that are taken besides while the largest of the changed services has its old state and its new one. */
  readonly swap: number;
}

type Counts = Record<SizedTable, number>;

const noCounts = (): Counts => ({
  services4: 0,
  services6: 0,
  backends: 0,
  maglev: 0,
  ranges4: 0,
  ranges6: 0,
});

/** What services take in the tables: the same sums as those of a `Transaction`, which places them. */
export function tableNeeds(
  services: Iterable<DefinitionChange>,
  policy: ServicePolicy,
  capacity: TableCapacity,
): Record<SizedTable, TableNeed> {
  const needs = noCounts();
  const swaps = noCounts();
  const maglevKeys = new Set<string>();
  for (const { before, after } of services) {
    if (!after) continue;
    const own = noCounts();
    for (const { family } of after.frontends) own[`services${family}`]++;
    for (const { family } of after.sourceRanges) own[`ranges${family}`]++;
    for (const family of families) {
      if (own[`services${family}`] === 0) continue;
      const selection = selectBackends(after, family, after.algorithm ?? policy.algorithm);
      own.backends += RangeAllocator.sizeClass(selection.backends.length);
      for (const { key, slots } of maglevTablesOf(after, selection, policy)) {
        if (maglevKeys.has(key)) continue;
        maglevKeys.add(key);
        own.maglev += slots;
      }
    }
    for (const table of tables) needs[table] += own[table];
    if (!before || before === after) continue;
    swaps.backends = Math.max(swaps.backends, own.backends);
    swaps.maglev = Math.max(swaps.maglev, own.maglev);
    if (sameRanges(before, after)) continue;
    for (const table of ['ranges4', 'ranges6'] as const) swaps[table] = Math.max(swaps[table], own[table]);
  }
  const have = sizesOf(capacity);
  const entries = tables.map((table) => {
    return [table, { need: needs[table], have: have[table], swap: swaps[table] }] as const;
  });
  return Object.fromEntries(entries) as Record<SizedTable, TableNeed>;
}

const tables = Object.keys(noCounts()) as SizedTable[];

function sizesOf({ frontends, backends, maglevSlots, sourceRanges }: TableCapacity): Counts {
  const ranges = sourceRanges ?? defaultSourceRanges;
  return {
    services4: frontends,
    services6: frontends,
    backends,
    maglev: maglevSlots ?? defaultMaglevSlots,
    ranges4: ranges,
    ranges6: ranges,
  };
}

/** The lists of a selection for which there is a table: cluster-wide and node-local. */
export function maglevLists({ backends, count, localOffset }: Selection) {
  return [backends.slice(0, count), backends.slice(localOffset)] as const;
}

/** How many slots the table of a list has. */
export function maglevSize(service: ServiceDefinition, policy: ServicePolicy, backends: number): number {
  return service.maglevTableSize ?? policy.maglevTableSize ?? defaultMaglevSize(backends);
}

function* maglevTablesOf(service: ServiceDefinition, selection: Selection, policy: ServicePolicy) {
  if ((service.algorithm ?? policy.algorithm) !== 'maglev') return;
  for (const list of maglevLists(selection))
    if (list.length > 0) yield maglevRoom(list, maglevSize(service, policy, list.length));
}
