import type { Family } from './address';
import { DefinitionTable } from './definition-table';
import { FrontendAddresses } from './frontend-addresses';
import { isInternal } from './internal-service';
import { type MaglevPlacement, MaglevTables } from './maglev-tables';
import { NetworkHints } from './network-hints';
import { PortHints } from './port-hints';
import { RangeAllocator } from './range-allocator';
import type { ServiceDefinition } from './service-definition';
import { defaultPolicy, type ServicePolicy } from './service-flags';
import type { ServiceRecord } from './table-image';

/** How many entries the tables have. */
export interface TableCapacity {
  /** Frontends of each address family. */
  readonly frontends: number;
  /** Backends of all services: each service has its own copy of its list. */
  readonly backends: number;
  /** Slots of all Maglev tables. Default 1,048,576. */
  readonly maglevSlots?: number;
  /** Source ranges of all services, of each family. Default 65,536. */
  readonly sourceRanges?: number;
}

export const defaultMaglevSlots = 2 ** 20;
export const defaultSourceRanges = 65_536;

/** The numbers of each kind that were given last. */
export interface TableState {
  readonly set: number;
  readonly id: number;
  readonly group: number;
  readonly ranges: number;
}

/** A range of the backend array that programs may still be reading, and the tables that lead into it. */
export interface RetiredRange {
  readonly start: number;
  readonly count: number;
  readonly tables?: readonly MaglevPlacement[];
}

/**
 * What the service tables of the kernel hold. Changed by {@link Transaction} alone, after the kernel has accepted
 * the same change.
 */
export class ServiceTable {
  #capacity: TableCapacity;
  readonly records = new Map<string, ServiceRecord>();
  /** Frontend key -> name of the service that has it. */
  readonly owners = new Map<string, string>();
  /** Frontends in use, without those of internal services. */
  readonly entries: Record<Family, number> = { 4: 0, 6: 0 };
  /** Source ranges in use. */
  readonly sourceRanges: Record<Family, number> = { 4: 0, 6: 0 };
  readonly ranges: RangeAllocator;
  readonly portHints = new PortHints();
  readonly networkHints = new NetworkHints();
  readonly frontendAddresses: FrontendAddresses;
  readonly maglevTables: MaglevTables;
  readonly policy: ServicePolicy;
  /** Decides, with the type of a frontend, whether sockets follow it: see encode.ts. */
  nodeAddresses: ReadonlySet<string>;
  /** Names of services of an earlier process that nobody has asked for yet. */
  readonly unclaimed = new Set<string>();
  /** Where there is a process to come that has to know. */
  readonly definitions: DefinitionTable | undefined;
  #retired: RetiredRange[] = [];
  #retiredEntries = 0;
  #lastSet = 0;
  #lastId = 0;
  #lastGroup = 0;
  #lastRanges = 0;
  readonly #reserved: number;

  /**
   * `reserved` backends more are for internal services, which no count contains. `persistent`: what it takes to adopt the
   * tables later is kept with them.
   */
  constructor(
    capacity: TableCapacity,
    nodeAddresses: ReadonlySet<string>,
    reserved = 0,
    policy: ServicePolicy = defaultPolicy,
    persistent = false,
  ) {
    this.#capacity = capacity;
    this.policy = policy;
    this.frontendAddresses = new FrontendAddresses(policy.externalClusterIP);
    this.maglevTables = new MaglevTables(capacity.maglevSlots ?? defaultMaglevSlots);
    this.nodeAddresses = nodeAddresses;
    this.ranges = new RangeAllocator(capacity.backends + reserved);
    this.#reserved = reserved;
    if (persistent) this.definitions = new DefinitionTable();
  }

  /** A service that the kernel's tables hold already, if not as its definition says. Its room is taken by itself. */
  adopt(record: ServiceRecord): void {
    const { name, frontends } = record.definition;
    this.records.set(name, record);
    for (const { key, family } of frontends) {
      this.owners.set(key, name);
      if (!isInternal(name)) this.entries[family]++;
    }
    for (const { family } of record.definition.sourceRanges) this.sourceRanges[family]++;
    if (!isInternal(name)) this.unclaimed.add(name);
  }

  /** The numbers that were given last. */
  get state(): TableState {
    return { set: this.#lastSet, id: this.#lastId, group: this.#lastGroup, ranges: this.#lastRanges };
  }

  /** Goes on after the numbers that an earlier process gave. */
  set state({ set, id, group, ranges }: TableState) {
    [this.#lastSet, this.#lastId, this.#lastGroup, this.#lastRanges] = [set, id, group, ranges];
  }

  get capacity(): TableCapacity {
    return this.#capacity;
  }

  /** The kernel's tables are larger now, with the same contents. */
  grow(capacity: TableCapacity): void {
    this.#capacity = capacity;
    this.ranges.grow(capacity.backends + this.#reserved);
    this.maglevTables.grow(capacity.maglevSlots ?? defaultMaglevSlots);
  }

  /** The services that users know of: all but internal ones. */
  *listed(): IterableIterator<ServiceDefinition> {
    for (const { definition } of this.records.values()) if (!isInternal(definition.name)) yield definition;
  }

  /** Backends in use, rounding included. */
  get backendsUsed(): number {
    return Math.max(0, this.ranges.used - this.#reserved);
  }

  /** A number that no range in use carries: it tells one state of a service from the next. */
  nextSet(): number {
    this.#lastSet = (this.#lastSet % 0xffffffff) + 1;
    return this.#lastSet;
  }

  /** Ids are given once. Internal services need none, and leave none out for those that are listed. */
  nextId(service: string): number {
    return isInternal(service) ? 0 : ++this.#lastId;
  }

  /** A number for a service, which all its frontends share; given once. */
  nextGroup(): number {
    return ++this.#lastGroup;
  }

  /** An id for the source ranges of a service; given once. Those with 0 are not a service's. */
  nextRanges(): number {
    return ++this.#lastRanges;
  }

  /** Entries of the backend array that wait to be used again. */
  get retiredEntries(): number {
    return this.#retiredEntries;
  }

  /** Whether anything waits to be used again. */
  get hasRetired(): boolean {
    return this.#retired.length > 0;
  }

  /** Sets a range aside until no program can see it any more. */
  retire(range: RetiredRange): void {
    if (range.count === 0 && !range.tables?.length) return;
    this.#retired.push(range);
    this.#retiredEntries += range.count;
  }

  /** All that was retired. Pass it to {@link reuse} after a grace period. */
  takeRetired(): RetiredRange[] {
    const retired = this.#retired;
    this.#retired = [];
    this.#retiredEntries = 0;
    return retired;
  }

  reuse(ranges: readonly RetiredRange[]): void {
    for (const { start, count, tables = [] } of ranges) {
      this.ranges.release(start, count);
      for (const table of tables) this.maglevTables.release(table);
    }
  }
}
