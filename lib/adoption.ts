import { layouts, StateVersion } from './abi';
import { type Family, families, formatAddress } from './address';
import type { Cidr } from './cidr';
import { ClaimedRoom } from './claimed-room';
import { readDefinitions, type StoredDefinition } from './definition-table';
import { type Dump, elementsOf } from './dump';
import { encodeRange, protocolOf } from './encode';
import { LoadBalancerError } from './errors';
import { frontendKey } from './frontend-key';
import { defaultMaglevSize } from './maglev';
import type { MaglevPlacement } from './maglev-tables';
import { selectBackends } from './selection';
import { serviceRanges } from './service-cidrs';
import type { BackendDefinition, FrontendKey, ServiceDefinition } from './service-definition';
import type { RetiredRange, ServiceTable, TableState } from './service-table';
import {
  backendStores,
  deletionsOf,
  type PlacedRange,
  rangeOperations,
  type ServiceRecord,
  updates,
} from './table-image';
import type { Datapath, MapOperation } from '../types/native';

/** What is needed of a datapath to read the tables of an earlier process. */
type Source = Pick<Datapath, 'dump' | 'read'>;

/** An element of services4 or services6. */
interface Entry {
  readonly frontend: FrontendKey;
  readonly value: Uint8Array;
  readonly field: (name: keyof typeof service) => number;
}

/** What an earlier process left in the tables. The services are in the {@link ServiceTable} by then. */
export interface Adoption {
  /** Services that a change which was not finished was about: to be written again. */
  readonly torn: readonly ServiceDefinition[];
  /** Where backends of those are now; to be retired when they have been written again. */
  readonly retired: readonly RetiredRange[];
  /** Removes what nothing refers to, when the torn services have been written again. */
  readonly leftovers: readonly MapOperation[];
}

const service = layouts.lb_service.fields;

/**
 * Fills an empty service table with what an earlier process left in the tables of `source`. The definitions say what
 * there was to be; a service whose entries are, byte for byte, what would be written for its definition is as it should
 * be. `inPlace`: those tables stay in use; otherwise all is to be written into others.
 *
 * Throws `ERR_BPF_STATE` for a state of another version.
 */
export async function adoptServices(
  source: Source,
  table: ServiceTable,
  serviceCIDRs: readonly Cidr[],
  inPlace: boolean,
): Promise<Adoption> {
  const counted = readState(source);
  const { definitions, parts, unreadable: texts } = readDefinitions(await source.dump('definitions'));
  const entries = new Map<string, Entry>();
  const ranges = new Set<string>();
  const unreadable: MapOperation[] = [];
  const removeUnreadable = (map: string, keys: readonly Uint8Array[]) => {
    if (keys.length > 0) unreadable.push({ map, kind: 'delete', keys: Buffer.concat(keys) });
  };
  removeUnreadable('definitions', texts);
  for (const family of families) {
    const map = `services${family}`;
    const read = readEntries(family, await source.dump(map));
    for (const entry of read.entries) entries.set(entry.frontend.key, entry);
    removeUnreadable(map, read.unreadable);
    for (const key of await keysOf(source, `ranges${family}`)) ranges.add(`${family}${key}`);
  }
  table.state = latest(counted, definitions, entries.values());
  const room = new ClaimedRoom(table.ranges.capacity);
  const reader = new RecordReader(source, table, entries, ranges, room);
  const kept: ServiceRecord[] = [];
  const torn: ServiceRecord[] = [];
  for (const stored of definitions) {
    const record = inPlace ? reader.read(stored) : undefined;
    if (record) kept.push(record);
    else torn.push(unplaced(stored, table));
  }
  const all = [...kept, ...torn];
  for (const record of all) table.adopt(record);
  const rewritten = torn.map(({ definition }) => definition);
  const hints = [table.portHints, table.networkHints].flatMap((hint) => hint.change([], all).before);
  const addresses = table.frontendAddresses.change([], all).after;
  if (!inPlace) return { torn: rewritten, retired: [], leftovers: [...hints, ...addresses] };

  for (const [group, count] of parts) table.definitions?.adopt(group, count);
  const retired = takeRooms(table, room, kept, entries.values());
  const strays = [...entries.values()].filter(({ frontend }) => !table.owners.has(frontend.key));
  const leftovers = [
    ...hints,
    ...addresses,
    ...(await staleAddresses(source, addresses)),
    ...deletionsOf(strays.map(({ frontend }) => frontend)),
    ...unreadable,
    ...staleRanges(ranges, kept, serviceCIDRs),
  ];
  return { torn: rewritten, retired, leftovers };
}

/** Whether the tables of `source` can be read by this version. Throws `ERR_BPF_STATE`. */
function readState(source: Source): TableState {
  const { size, fields } = layouts.lb_state;
  const bytes = source.read('state', 0, size);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const field = (name: keyof typeof fields) => view.getUint32(fields[name].offset, true);
  const version = field('version');
  /* 0: nothing was ever written. */
  if (version !== 0 && version !== StateVersion.VERSION) {
    throw new LoadBalancerError(
      'ERR_BPF_STATE',
      `The state has version ${version} and this library reads ${StateVersion.VERSION}: it was written by ` +
        `${version > StateVersion.VERSION ? 'a newer' : 'an older'} one. Use that one, or another state directory.`,
    );
  }
  return { set: field('set'), id: field('id'), group: field('group'), ranges: field('ranges') };
}

/** Numbers after all that are in use, should the count have been lost. */
function latest(
  counted: TableState,
  definitions: readonly StoredDefinition[],
  entries: Iterable<Entry>,
): TableState {
  let { set, id, group, ranges } = counted;
  for (const stored of definitions) {
    group = Math.max(group, stored.group);
    for (const used of stored.ids) id = Math.max(id, used);
  }
  for (const { field } of entries) {
    set = Math.max(set, field('set'));
    id = Math.max(id, field('id'));
    ranges = Math.max(ranges, field('ranges'));
  }
  return { set, id, group, ranges };
}

/** `unreadable` are keys that no frontend has. */
function readEntries(family: Family, dump: Dump): { entries: Entry[]; unreadable: Uint8Array[] } {
  const { size, fields } = family === 4 ? layouts.lb_key4 : layouts.lb_key6;
  const { address, port, protocol } = fields;
  const entries: Entry[] = [];
  const unreadable: Uint8Array[] = [];
  for (const { key, value } of elementsOf(dump)) {
    const bytes = key.subarray(address.offset, address.offset + address.size);
    const number = new DataView(key.buffer, key.byteOffset).getUint16(port.offset);
    const name = protocolOf(key[protocol.offset] as number);
    if (!name || key.subarray(protocol.offset + protocol.size, size).some(Boolean)) {
      unreadable.push(key);
      continue;
    }
    const { text } = formatAddress(bytes);
    const frontend: FrontendKey = {
      family,
      address: bytes.some(Boolean) ? text : '',
      port: number,
      protocol: name,
      key: frontendKey(text, number, name),
    };
    const view = new DataView(value.buffer, value.byteOffset);
    entries.push({ frontend, value, field: (field) => view.getUint32(service[field].offset, true) });
  }
  return { entries, unreadable };
}

/** Of the elements of a table, as text. */
async function keysOf(source: Source, map: string): Promise<string[]> {
  return Array.from(elementsOf(await source.dump(map)), ({ key }) => hex(key));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Turns definitions back into the records that the entries were written from. */
class RecordReader {
  readonly #source: Source;
  readonly #table: ServiceTable;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #ranges: ReadonlySet<string>;
  readonly #room: ClaimedRoom;
  readonly #sets = new Set<number>();

  constructor(
    source: Source,
    table: ServiceTable,
    entries: ReadonlyMap<string, Entry>,
    ranges: ReadonlySet<string>,
    room: ClaimedRoom,
  ) {
    this.#source = source;
    this.#table = table;
    this.#entries = entries;
    this.#ranges = ranges;
    this.#room = room;
  }

  /** Undefined when the tables do not hold the service as it is defined. */
  read({ group, definition }: StoredDefinition): ServiceRecord | undefined {
    const entries = definition.frontends.flatMap(({ key }) => this.#entries.get(key) ?? []);
    const [first] = entries;
    if (!first || entries.length < definition.frontends.length) return undefined;
    const placements: Partial<Record<Family, PlacedRange>> = {};
    for (const family of families) {
      const entry = entries.find(({ frontend }) => frontend.family === family);
      if (entry) placements[family] = this.#placed(definition, family, entry);
    }
    const numbers = {
      group,
      affinityTimeout: definition.affinityTimeout,
      ranges: first.field('ranges'),
    };
    const record = { definition, ids: entries.map(({ field }) => field('id')), numbers, placements };
    const isOurs = this.#isWritten(record, entries) && this.#hasRoom(record);
    return isOurs ? this.#withTables(record) : undefined;
  }

  #placed(definition: ServiceDefinition, family: Family, { field }: Entry): PlacedRange {
    const algorithm = definition.algorithm ?? this.#table.policy.algorithm;
    const { backends, count, localOffset, localCount, usable, weights } = selectBackends(
      definition,
      family,
      algorithm,
    );
    const first = field('first');
    const placed = { set: field('set'), first, count, localFirst: first + localOffset, localCount, usable };
    if (algorithm !== 'maglev') return { ...placed, backends, weights };
    return {
      ...placed,
      backends,
      weights,
      maglev: this.#maglev(definition, count, field('maglev')),
      localMaglev: this.#maglev(definition, localCount, field('local_maglev')),
    };
  }

  #maglev(definition: ServiceDefinition, backends: number, first: number): MaglevPlacement | undefined {
    if (backends === 0) return undefined;
    const size =
      definition.maglevTableSize ?? this.#table.policy.maglevTableSize ?? defaultMaglevSize(backends);
    return { first, size };
  }

  #isWritten(record: ServiceRecord, entries: readonly Entry[]): boolean {
    const { policy, nodeAddresses } = this.#table;
    for (const operation of updates([record], policy, nodeAddresses)) {
      if (operation.kind !== 'update') return false;
      const family = operation.map === 'services4' ? 4 : 6;
      const written = entries.filter(({ frontend }) => frontend.family === family).map(({ value }) => value);
      if (Buffer.compare(Buffer.concat(written), operation.values) !== 0) return false;
    }
    for (const operation of backendStores([record])) {
      if (operation.kind !== 'store') return false;
      const there = this.#source.read(operation.map, operation.offset, operation.bytes.byteLength);
      if (Buffer.compare(there, operation.bytes) !== 0) return false;
    }
    return keysOfRanges(record).every((key) => this.#ranges.has(key));
  }

  /** Whether nobody else has its room, nor its sets. */
  #hasRoom({ placements }: ServiceRecord): boolean {
    return Object.values(placements).every(({ set, first, backends }) => {
      if (this.#sets.has(set)) return false;
      this.#sets.add(set);
      return this.#room.claim({ start: first, count: backends.length });
    });
  }

  /** Shares the Maglev tables of the services that were read before. */
  #withTables(record: ServiceRecord): ServiceRecord | undefined {
    const placements = { ...record.placements };
    for (const family of families) {
      const placed = placements[family];
      if (!placed?.maglev && !placed?.localMaglev) continue;
      const { backends, count, maglev, localMaglev } = placed;
      const [cluster, local] = [
        this.#adoptTable(backends.slice(0, count), maglev),
        this.#adoptTable(backends.slice(count), localMaglev),
      ];
      if ((maglev && !cluster) || (localMaglev && !local)) return undefined;
      placements[family] = { ...placed, maglev: cluster, localMaglev: local };
    }
    return { ...record, placements };
  }

  #adoptTable(
    backends: readonly BackendDefinition[],
    table: MaglevPlacement | undefined,
  ): MaglevPlacement | undefined {
    return table && this.#table.maglevTables.adopt(backends, table.size, table.first);
  }
}

function keysOfRanges(record: ServiceRecord): string[] {
  return rangeOperations([record], 'delete').flatMap((operation) => {
    if (operation.kind !== 'delete') return [];
    const family = operation.map === 'ranges4' ? 4 : 6;
    const { size } = family === 4 ? layouts.lb_range4 : layouts.lb_range6;
    const { keys } = operation;
    return Array.from(
      { length: keys.byteLength / size },
      (_, i) => `${family}${hex(keys.subarray(i * size, (i + 1) * size))}`,
    );
  });
}

/** A service with its numbers, but in no table. */
function unplaced({ group, ids, definition }: StoredDefinition, table: ServiceTable): ServiceRecord {
  return {
    definition,
    ids: definition.frontends.map((_, i) => ids[i] ?? table.nextId(definition.name)),
    numbers: { group, affinityTimeout: definition.affinityTimeout, ranges: table.nextRanges() },
    placements: {},
  };
}

/**
 * Takes what any entry refers to, as far as that can be: one that is no kept service's may say anything. Returns the ranges
 * that are no kept service's.
 */
function takeRooms(
  table: ServiceTable,
  room: ClaimedRoom,
  kept: readonly ServiceRecord[],
  entries: Iterable<Entry>,
): RetiredRange[] {
  const maglev: MaglevPlacement[] = [];
  for (const { field } of entries) {
    for (const which of ['maglev', 'local_maglev'] as const) {
      const size = field(`${which}_size`);
      if (size > 0) maglev.push({ first: field(which), size });
    }
    const start = field('first');
    room.claim({
      start,
      count: Math.max(field('count'), field('local_first') + field('local_count') - start),
    });
  }
  table.ranges.adopt(room.claims);
  const tables = table.maglevTables.adoptRoom(maglev);
  const placed = kept.flatMap(({ placements }) => Object.values(placements));
  const used = new Set(placed.flatMap(({ first, backends }) => (backends.length > 0 ? [first] : [])));
  return [{ start: 0, count: 0, tables }, ...room.claims.filter(({ start }) => !used.has(start))];
}

/** Removes addresses that no frontend has: `current` are those that some have. */
async function staleAddresses(source: Source, current: readonly MapOperation[]): Promise<MapOperation[]> {
  const operations: MapOperation[] = [];
  for (const family of families) {
    const map = `frontends${family}`;
    const used = new Set<string>();
    const size = family === 4 ? layouts.lb_address4.size : layouts.lb_address6.size;
    for (const operation of current) {
      if (operation.map !== map || operation.kind !== 'update') continue;
      for (let at = 0; at < operation.keys.byteLength; at += size)
        used.add(hex(operation.keys.subarray(at, at + size)));
    }
    const stale = (await keysOf(source, map)).filter((key) => !used.has(key));
    if (stale.length > 0) operations.push({ map, kind: 'delete', keys: Buffer.from(stale.join(''), 'hex') });
  }
  return operations;
}

/** Removes source ranges of services that are gone, and ranges of cluster IPs that are other ones now. */
function staleRanges(
  ranges: ReadonlySet<string>,
  kept: readonly ServiceRecord[],
  serviceCIDRs: readonly Cidr[],
): MapOperation[] {
  const used = new Set(kept.flatMap(keysOfRanges));
  for (const cidr of serviceCIDRs) used.add(`${cidr.family}${hex(encodeRange(serviceRanges, cidr))}`);
  return families.flatMap((family): MapOperation[] => {
    const stale = [...ranges].filter((key) => key.startsWith(String(family)) && !used.has(key));
    if (stale.length === 0) return [];
    const keys = Buffer.from(stale.map((key) => key.slice(1)).join(''), 'hex');
    return [{ map: `ranges${family}`, kind: 'delete', keys }];
  });
}
