import { type Family, families } from './address';
import { carryOver } from './carry-over';
import { monotonicSeconds } from './clock';
import type { DefinitionChange } from './datagram-flows';
import { definitionParts } from './definition-table';
import type { ServiceNumbers } from './encode';
import { LoadBalancerError, MapFullError } from './errors';
import type { MaglevPlacement } from './maglev-tables';
import { selectBackends } from './selection';
import {
  type BackendDefinition,
  type FrontendDefinition,
  type ServiceDefinition,
  sameRanges,
  sameService,
} from './service-definition';
import { isInternal } from './internal-service';
import { defaultSourceRanges, type ServiceTable } from './service-table';
import {
  backendStores,
  deletions,
  maglevStores,
  type PlacedRange,
  rangeOperations,
  type ServiceRecord,
  numbersOperation,
  updates,
} from './table-image';
import { maglevLists, maglevSize } from './table-needs';
import type { MapOperation } from '../types/native';

interface Change {
  readonly old: ServiceRecord | undefined;
  new: ServiceRecord | undefined;
}

/** There would be room if the ranges that are retired could be used: wait for a grace period and try again. */
export class RangesPending extends Error {}

/**
 * A change of services that is being put together. A call that throws leaves it as it was. The table changes with
 * {@link accept}; {@link abandon} gives back what was reserved.
 */
export class Transaction {
  readonly #table: ServiceTable;
  readonly #changes = new Map<string, Change>();
  /** Owners of frontends that differ from the table's; undefined: nobody. */
  readonly #owners = new Map<string, string | undefined>();
  /** Services whose frontends {@link disown} has given up. */
  readonly #disowned = new Set<string>();
  #nodeAddresses: ReadonlySet<string> | undefined;
  /** Frontends more, or less, than the table has. */
  readonly #entries: Record<Family, number> = { 4: 0, 6: 0 };
  /** Source ranges that are to be entered beside those of the table. */
  readonly #sourceRanges: Record<Family, number> = { 4: 0, 6: 0 };
  /** Parts of texts that are to be entered beside those of the table, in all and by group. */
  #partsMore = 0;
  readonly #parts = new Map<number, number>();

  constructor(table: ServiceTable) {
    this.#table = table;
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0 && this.#nodeAddresses === undefined;
  }

  /** What becomes of services. */
  get changes(): DefinitionChange[] {
    return [...this.#changes.values()].map((change) => ({
      before: change.old?.definition,
      after: change.new?.definition,
    }));
  }

  /** The service as it will be, or is. */
  record(name: string): ServiceRecord | undefined {
    const change = this.#changes.get(name);
    return change ? change.new : this.#table.records.get(name);
  }

  /**
   * Returns false when the service already is what it is to be. Throws `ERR_BPF_DUPLICATE_FRONTEND`,
   * {@link MapFullError} and {@link RangesPending}.
   */
  put(definition: ServiceDefinition): boolean {
    this.#table.unclaimed.delete(definition.name);
    const current = this.record(definition.name);
    const disowned = this.#disowned.has(definition.name);
    if (current && !disowned && sameService(current.definition, definition)) return false;
    this.#write(
      current ? carryOver(current.definition, definition, monotonicSeconds()) : definition,
      current,
    );
    return true;
  }

  /**
   * Makes another definition out of that of a service, which asks for the same: what has come of the service has changed, not
   * what is desired. Returns false when there is no such service, or when it stays the same. Throws as {@link put} does.
   */
  alter(name: string, change: (definition: ServiceDefinition) => ServiceDefinition): boolean {
    const current = this.record(name);
    if (!current) return false;
    const definition = change(current.definition);
    if (definition === current.definition) return false;
    this.#write(definition, current);
    return true;
  }

  #write(definition: ServiceDefinition, current: ServiceRecord | undefined): void {
    for (const { key } of definition.frontends) this.#checkOwner(key, definition.name);
    this.#checkEntries(definition, current);
    this.#checkRanges(definition, current);
    for (const { key } of definition.frontends) {
      const owner = this.#ownerOf(key);
      if (owner !== undefined && owner !== definition.name) this.#takeFrom(owner, key);
    }
    const placements = this.#place(definition);
    const ids = definition.frontends.map((f) => idOf(f, current) ?? this.#table.nextId(definition.name));
    const numbers = this.#number(definition, current);
    const record = { definition, ids, numbers, placements };
    this.#checkText(record);
    this.#replace(definition.name, current, record);
  }

  /** Returns false when there is no such service. */
  remove(name: string): boolean {
    const current = this.record(name);
    if (!current) return false;
    this.#replace(name, current, undefined);
    return true;
  }

  /** Puts a service whose entries are not what they are to be, or are in no table. */
  rewrite(definition: ServiceDefinition): void {
    const unclaimed = this.#table.unclaimed.has(definition.name);
    this.disown(definition.name);
    this.put(definition);
    if (unclaimed) this.#table.unclaimed.add(definition.name);
  }

  /** Lets other services take the frontends of a service that is going to be put again. */
  disown(name: string): void {
    for (const { key, family } of this.record(name)?.definition.frontends ?? []) {
      this.#owners.set(key, undefined);
      this.#entries[family]--;
    }
    this.#disowned.add(name);
  }

  /**
   * The opposite of {@link disown}, for a service that is not put after all. Returns false when others have taken its
   * frontends or their room: {@link abandon} is all that is left then.
   */
  reown(name: string): boolean {
    if (!this.#disowned.has(name)) return true;
    const frontends = this.record(name)?.definition.frontends ?? [];
    if (frontends.some(({ key }) => this.#owners.get(key) !== undefined)) return false;
    for (const { key, family } of frontends) {
      this.#owners.set(key, name);
      this.#entries[family]++;
    }
    this.#disowned.delete(name);
    const { entries, capacity } = this.#table;
    return families.every((family) => entries[family] + this.#entries[family] <= capacity.frontends);
  }

  /**
   * Uses other addresses of this node from now on. Services with frontends that it concerns are written again, with the
   * ranges that they have, so there is always room.
   */
  useNodeAddresses(addresses: ReadonlySet<string>): void {
    const before = this.#table.nodeAddresses;
    this.#nodeAddresses = addresses;
    for (const [name, record] of this.#table.records) {
      const { frontends, sourceRanges } = record.definition;
      const affected =
        sourceRanges.length > 0 || frontends.some((f) => before.has(f.address) !== addresses.has(f.address));
      if (affected && !this.#changes.has(name)) this.#changes.set(name, { old: record, new: record });
    }
  }

  /** What to run, in order. Each service goes over by the replacement of one value. */
  operations(): MapOperation[] {
    const [removed, added] = [this.#records('old'), this.#records('new')];
    const isOwned = (key: string) => this.#ownerOf(key) !== undefined;
    const nodeAddresses = this.#nodeAddresses ?? this.#table.nodeAddresses;
    const before = new Set(removed);
    const placed = added.filter((record) => !before.has(record));
    return [
      ...(this.#table.definitions ? [numbersOperation(this.#table.state)] : []),
      ...backendStores(placed),
      ...maglevStores(placed, this.#table.maglevTables),
      ...this.#swap(removed, added, isOwned, nodeAddresses),
    ];
  }

  /** Takes {@link operations} back, whatever part of them was carried out: the old ranges are still intact. */
  undo(): MapOperation[] {
    const [removed, added] = [this.#records('new'), this.#records('old')];
    return this.#swap(removed, added, (key) => this.#table.owners.has(key), this.#table.nodeAddresses);
  }

  /** The kernel has the change: makes it the table's state. */
  accept(): void {
    const { owners, records } = this.#table;
    if (this.#nodeAddresses) this.#table.nodeAddresses = this.#nodeAddresses;
    for (const [name, { old, new: record }] of this.#changes) {
      if (!old || old === record) continue;
      for (const { key } of old.definition.frontends) owners.delete(key);
      this.#retire(old);
      records.delete(name);
      if (!record) this.#table.unclaimed.delete(name);
    }
    for (const [name, { new: record }] of this.#changes) {
      if (!record) continue;
      for (const { key } of record.definition.frontends) owners.set(key, name);
      for (const table of tablesOf(record)) this.#table.maglevTables.accept(table);
      records.set(name, record);
    }
    for (const { old, new: record } of this.#changes.values()) {
      for (const { family } of old?.definition.sourceRanges ?? []) this.#table.sourceRanges[family]--;
      for (const { family } of record?.definition.sourceRanges ?? []) this.#table.sourceRanges[family]++;
    }
    for (const family of families) this.#table.entries[family] += this.#entries[family];
  }

  /** Nothing of it is to be; the transaction is empty again. If operations ran, programs may have seen its ranges. */
  abandon(): void {
    for (const { old, new: record } of this.#changes.values())
      if (record && record !== old) this.#retire(record);
    this.#changes.clear();
    this.#owners.clear();
    this.#disowned.clear();
    this.#nodeAddresses = undefined;
    this.#parts.clear();
    this.#partsMore = 0;
    for (const family of families) this.#entries[family] = this.#sourceRanges[family] = 0;
  }

  #swap(
    removed: readonly ServiceRecord[],
    added: readonly ServiceRecord[],
    isOwned: (frontendKey: string) => boolean,
    nodeAddresses: ReadonlySet<string>,
  ): MapOperation[] {
    const ports = this.#table.portHints.change(removed, added);
    const networks = this.#table.networkHints.change(removed, added);
    const addresses = this.#table.frontendAddresses.change(removed, added);
    const definitions = this.#table.definitions?.change(removed, added) ?? { before: [], after: [] };
    const entered = updates(added, this.#table.policy, nodeAddresses);
    const gone = [...addresses.before, ...deletions(removed, isOwned)];
    const used = new Set(added.map(({ numbers }) => numbers.ranges));
    const obsolete = removed.filter(({ numbers }) => !used.has(numbers.ranges));
    return [
      ...definitions.before,
      ...rangeOperations(added, 'update'),
      ...ports.before,
      ...networks.before,
      ...(this.#hasRoomForBoth() ? [...entered, ...gone] : [...gone, ...entered]),
      ...addresses.after,
      ...ports.after,
      ...networks.after,
      ...rangeOperations(obsolete, 'delete'),
      ...definitions.after,
    ];
  }

  /**
   * Whether the tables can hold the frontends of both states at a time: then new ones are entered before old ones are
   * removed, so that a service has some of its own whenever the process ends.
   */
  #hasRoomForBoth(): boolean {
    const { owners, entries, capacity } = this.#table;
    const fresh: Record<Family, number> = { 4: 0, 6: 0 };
    for (const { definition } of this.#records('new'))
      for (const { key, family } of definition.frontends) if (!owners.has(key)) fresh[family]++;
    return families.every((family) => entries[family] + fresh[family] <= capacity.frontends);
  }

  #ownerOf(key: string): string | undefined {
    return this.#owners.has(key) ? this.#owners.get(key) : this.#table.owners.get(key);
  }

  #records(which: 'old' | 'new'): ServiceRecord[] {
    const records: ServiceRecord[] = [];
    for (const change of this.#changes.values()) {
      const record = change[which];
      if (record) records.push(record);
    }
    return records;
  }

  #checkOwner(key: string, name: string): void {
    const owner = this.#ownerOf(key);
    if (owner === undefined || owner === name || this.#table.unclaimed.has(owner)) return;
    if (isInternal(owner)) {
      throw new LoadBalancerError(
        'ERR_BPF_DUPLICATE_FRONTEND',
        `Service ${name}: the frontend ${key} is reserved: bpf-lb tries sockets with it.`,
      );
    }
    throw new LoadBalancerError(
      'ERR_BPF_DUPLICATE_FRONTEND',
      `Service ${name}: the frontend ${key} belongs to service ${owner}; delete or change that one first.`,
    );
  }

  /** Takes a frontend from a service that nobody has asked for since it was adopted. */
  #takeFrom(owner: string, key: string): void {
    const { definition } = this.record(owner) as ServiceRecord;
    const frontends = definition.frontends.filter((frontend) => frontend.key !== key);
    if (frontends.length === 0) {
      this.remove(owner);
    } else {
      this.put({ ...definition, frontends });
      this.#table.unclaimed.add(owner);
    }
  }

  #checkEntries(definition: ServiceDefinition, current: ServiceRecord | undefined): void {
    if (isInternal(definition.name)) return;
    const have = this.#table.capacity.frontends;
    for (const family of families) {
      const counted = current && !this.#disowned.has(definition.name);
      const more =
        countFrontends(definition, family) - (counted ? countFrontends(current.definition, family) : 0);
      const need = this.#table.entries[family] + this.#entries[family] + more;
      if (more > 0 && need > have) throw new MapFullError(`services${family}`, need, have, 'frontends');
    }
  }

  /** Ranges that differ are in the table together with the old ones for a moment. */
  #checkRanges(definition: ServiceDefinition, current: ServiceRecord | undefined): void {
    if (current && sameRanges(definition, current.definition)) return;
    const have = this.#table.capacity.sourceRanges ?? defaultSourceRanges;
    for (const family of families) {
      const more = definition.sourceRanges.filter((range) => range.family === family).length;
      const need = this.#table.sourceRanges[family] + this.#sourceRanges[family] + more;
      if (more > 0 && need > have) throw new MapFullError(`ranges${family}`, need, have, 'sourceRanges');
    }
  }

  /** Texts are written before what they describe, and removed after it. */
  #checkText(record: ServiceRecord): void {
    const { definitions, capacity } = this.#table;
    if (!definitions || isInternal(record.definition.name)) return;
    const { group } = record.numbers;
    const [more, before] = [definitions.partsMore(record), this.#parts.get(group) ?? 0];
    const need = definitions.used + this.#partsMore + more - before;
    const have = definitionParts(capacity);
    if (more > before && need > have) {
      this.#release(record.placements);
      throw new MapFullError('definitions', need, have, 'backends');
    }
    this.#partsMore += more - before;
    this.#parts.set(group, more);
  }

  /** What belongs to the service stays; ranges that differ are entered anew beside the old ones. */
  #number(definition: ServiceDefinition, current: ServiceRecord | undefined): ServiceNumbers {
    const kept = current && sameRanges(definition, current.definition);
    return {
      group: current?.numbers.group ?? this.#table.nextGroup(),
      affinityTimeout: definition.affinityTimeout,
      ranges: kept ? current.numbers.ranges : this.#table.nextRanges(),
    };
  }

  #place(definition: ServiceDefinition): Partial<Record<Family, PlacedRange>> {
    const placements: Partial<Record<Family, PlacedRange>> = {};
    const algorithm = definition.algorithm ?? this.#table.policy.algorithm;
    for (const family of families) {
      if (countFrontends(definition, family) === 0) continue;
      const selection = selectBackends(definition, family, algorithm);
      const { backends, count, localOffset, localCount, usable, weights } = selection;
      const first = this.#table.ranges.allocate(backends.length);
      if (first === undefined) {
        this.#release(placements);
        throw this.#noRoom(definition);
      }
      const [set, localFirst] = [this.#table.nextSet(), first + localOffset];
      const placed = { set, first, count, localFirst, localCount, usable, backends, weights };
      placements[family] = placed;
      if (algorithm !== 'maglev') continue;
      const [all, local] = maglevLists(selection);
      const maglev = this.#maglevTable(definition, all, placements);
      placements[family] = { ...placed, maglev };
      const localMaglev = this.#maglevTable(definition, local, placements);
      placements[family] = { ...placed, maglev, localMaglev };
    }
    return placements;
  }

  #maglevTable(
    definition: ServiceDefinition,
    backends: readonly BackendDefinition[],
    placements: Partial<Record<Family, PlacedRange>>,
  ): MaglevPlacement | undefined {
    if (backends.length === 0) return undefined;
    const { maglevTables, policy, capacity, hasRetired } = this.#table;
    const size = maglevSize(definition, policy, backends.length);
    const table = maglevTables.acquire(backends, size);
    if (table) return table;
    this.#release(placements);
    if (hasRetired) throw new RangesPending();
    const have = capacity.maglevSlots ?? 0;
    throw new MapFullError('maglev', maglevTables.used + size, have, 'maglevSlots');
  }

  #noRoom(definition: ServiceDefinition): Error {
    if (this.#table.hasRetired) return new RangesPending();
    const { capacity } = this.#table;
    const need = Math.max(this.#table.backendsUsed + definition.backends.length, capacity.backends + 1);
    return new MapFullError('backends', need, capacity.backends, 'backends');
  }

  /** For ranges that no program can have seen. */
  #release(placements: ServiceRecord['placements']): void {
    for (const placed of Object.values(placements)) {
      this.#table.ranges.release(placed.first, placed.backends.length);
      for (const table of tablesOfRange(placed)) this.#table.maglevTables.release(table);
    }
  }

  #retire(record: ServiceRecord): void {
    for (const placed of Object.values(record.placements)) {
      this.#table.retire({
        start: placed.first,
        count: placed.backends.length,
        tables: tablesOfRange(placed),
      });
    }
  }

  #replace(name: string, current: ServiceRecord | undefined, record: ServiceRecord | undefined): void {
    const change = this.#changes.get(name);
    if (change?.new && change.new !== change.old) this.#release(change.new.placements);
    const old = change ? change.old : this.#table.records.get(name);
    for (const [counted, by] of [
      [change?.new, -1],
      [record, 1],
    ] as const)
      if (counted && counted.numbers.ranges !== old?.numbers.ranges)
        for (const { family } of counted.definition.sourceRanges) this.#sourceRanges[family] += by;
    const counted = !isInternal(name);
    const disowned = this.#disowned.delete(name);
    for (const { key, family } of current?.definition.frontends ?? []) {
      if (this.#owners.get(key) === undefined || this.#owners.get(key) === name)
        this.#owners.set(key, undefined);
      if (counted && !disowned) this.#entries[family]--;
    }
    for (const { key, family } of record?.definition.frontends ?? []) {
      this.#owners.set(key, name);
      if (counted) this.#entries[family]++;
    }
    if (!change) this.#changes.set(name, { old: this.#table.records.get(name), new: record });
    else if (!change.old && !record) this.#changes.delete(name);
    else change.new = record;
  }
}

function tablesOfRange({ maglev, localMaglev }: PlacedRange): MaglevPlacement[] {
  return [maglev, localMaglev].filter((table) => table !== undefined);
}

function tablesOf({ placements }: ServiceRecord): MaglevPlacement[] {
  return Object.values(placements).flatMap(tablesOfRange);
}

function countFrontends({ frontends }: ServiceDefinition, family: Family): number {
  let count = 0;
  for (const frontend of frontends) if (frontend.family === family) count++;
  return count;
}

function idOf(frontend: FrontendDefinition, current: ServiceRecord | undefined): number | undefined {
  if (!current) return undefined;
  return current.ids[current.definition.frontends.findIndex((f) => f.key === frontend.key)];
}
