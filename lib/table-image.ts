import { layouts, StateVersion } from './abi';
import { type Family, families } from './address';
import { type AliasTable, always } from './alias-table';
import {
  encodeRange,
  keySize,
  type Placement,
  type ServiceNumbers,
  writeBackend,
  writeKey,
  writeService,
} from './encode';
import type { MaglevTables } from './maglev-tables';
import type { BackendDefinition, FrontendKey, ServiceDefinition } from './service-definition';
import { serviceFlags, type ServicePolicy } from './service-flags';
import type { TableState } from './service-table';
import type { MapOperation } from '../types/native';

/** Where a service's backends are, and how long their range is. */
export interface PlacedRange extends Placement {
  /** What the range holds, from `first` on. */
  readonly backends: readonly BackendDefinition[];
  /** Of each backend, if they differ. */
  readonly weights?: AliasTable | undefined;
}

/** A service as it is in the tables. */
export interface ServiceRecord {
  readonly definition: ServiceDefinition;
  /** By the position of the frontend in the definition. */
  readonly ids: readonly number[];
  readonly numbers: ServiceNumbers;
  readonly placements: Readonly<Partial<Record<Family, PlacedRange>>>;
}

/** Bytes of an element of the backend array: an array map rounds its values up to eight. */
const backendSize = Math.ceil(layouts.lb_backend.size / 8) * 8;
const serviceSize = layouts.lb_service.size;

function encodeKeys(frontends: readonly FrontendKey[], family: Family): Uint8Array {
  const size = keySize[family];
  const keys = new Uint8Array(frontends.length * size);
  const view = new DataView(keys.buffer);
  frontends.forEach((f, i) => writeKey(view, keys, i * size, f));
  return keys;
}

/** Removes the frontends of the records that no service has any more. */
export function deletions(
  records: readonly ServiceRecord[],
  isOwned: (frontendKey: string) => boolean,
): MapOperation[] {
  return deletionsOf(
    records.flatMap(({ definition }) => definition.frontends.filter(({ key }) => !isOwned(key))),
  );
}

/** Removes frontends. */
export function deletionsOf(frontends: Iterable<FrontendKey>): MapOperation[] {
  const gone: Record<Family, FrontendKey[]> = { 4: [], 6: [] };
  for (const frontend of frontends) gone[frontend.family].push(frontend);
  return families.flatMap((family): MapOperation[] =>
    gone[family].length === 0
      ? []
      : [{ map: `services${family}`, kind: 'delete', keys: encodeKeys(gone[family], family) }],
  );
}

/** Writes every frontend of the records: one value each, which the kernel replaces as a whole. */
export function updates(
  records: readonly ServiceRecord[],
  policy: ServicePolicy,
  nodeAddresses: ReadonlySet<string>,
): MapOperation[] {
  return families.flatMap((family): MapOperation[] => {
    let count = 0;
    for (const { definition } of records)
      for (const f of definition.frontends) if (f.family === family) count++;
    if (count === 0) return [];
    const keys = new Uint8Array(count * keySize[family]);
    const values = new Uint8Array(count * serviceSize);
    const keyView = new DataView(keys.buffer);
    const view = new DataView(values.buffer);
    let n = 0;
    for (const { definition, ids, numbers, placements } of records) {
      const placed = placements[family];
      if (!placed) continue;
      definition.frontends.forEach((f, i) => {
        if (f.family !== family) return;
        const weighted = placed.weights !== undefined;
        const flags = serviceFlags(f, definition, placed, weighted, policy, nodeAddresses);
        writeKey(keyView, keys, n * keySize[family], f);
        writeService(view, n * serviceSize, f, placed, flags, ids[i] as number, numbers);
        n++;
      });
    }
    return [{ map: `services${family}`, kind: 'update', keys, values }];
  });
}

/** Writes the ranges. Those of a large change usually follow each other and go in one store. */
export function backendStores(records: readonly ServiceRecord[]): MapOperation[] {
  const ranges: PlacedRange[] = [];
  for (const { placements } of records) {
    for (const family of families) {
      const placed = placements[family];
      if (placed && placed.backends.length > 0) ranges.push(placed);
    }
  }
  ranges.sort((a, b) => a.first - b.first);
  const operations: MapOperation[] = [];
  for (let stretch = takeStretch(ranges, 0); stretch; stretch = takeStretch(ranges, stretch.next)) {
    const bytes = new Uint8Array(stretch.count * backendSize);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (let i = stretch.from; i < stretch.next; i++) {
      const { backends, set, weights } = ranges[i] as PlacedRange;
      for (let j = 0; j < backends.length; j++) {
        const backend = backends[j] as BackendDefinition;
        writeBackend(view, bytes, at, backend, set, weights?.threshold[j] ?? always, weights?.alias[j] ?? 0);
        at += backendSize;
      }
    }
    operations.push({ map: 'backends', kind: 'store', offset: stretch.start * backendSize, bytes });
  }
  return operations;
}

/** Writes the Maglev tables that the kernel does not have. */
export function maglevStores(records: readonly ServiceRecord[], tables: MaglevTables): MapOperation[] {
  const needed = new Set(
    records.flatMap(({ placements }) =>
      Object.values(placements).flatMap(({ maglev, localMaglev }) => [maglev, localMaglev]),
    ),
  );
  return [...needed].flatMap((table) => (table ? tables.store(table) : []));
}

/** Keeps the numbers that were given, before any table holds them. */
export function numbersOperation({ set, id, group, ranges }: TableState): MapOperation {
  const { size, fields } = layouts.lb_state;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(fields.version.offset, StateVersion.VERSION, true);
  view.setUint32(fields.set.offset, set, true);
  view.setUint32(fields.id.offset, id, true);
  view.setUint32(fields.group.offset, group, true);
  view.setUint32(fields.ranges.offset, ranges, true);
  return { map: 'state', kind: 'store', offset: 0, bytes };
}

/** Enters or removes the source ranges of the records. */
export function rangeOperations(
  records: readonly ServiceRecord[],
  kind: 'update' | 'delete',
): MapOperation[] {
  return families.flatMap((family): MapOperation[] => {
    const keys = records.flatMap(({ definition: { sourceRanges }, numbers: { ranges } }) =>
      sourceRanges.filter((range) => range.family === family).map((range) => encodeRange(ranges, range)),
    );
    if (keys.length === 0) return [];
    const [map, joined] = [`ranges${family}`, Buffer.concat(keys)];
    if (kind === 'delete') return [{ map, kind, keys: joined }];
    return [{ map, kind, keys: joined, values: new Uint8Array(keys.length).fill(1) }];
  });
}

/** The ranges from index `from` on that lie end to end. */
function takeStretch(ranges: readonly PlacedRange[], from: number) {
  const begin = ranges[from]?.first;
  if (begin === undefined) return undefined;
  let count = 0;
  let next = from;
  for (let range = ranges[next]; range?.first === begin + count; range = ranges[++next]) {
    count += range.backends.length;
  }
  return { from, next, start: begin, count };
}
