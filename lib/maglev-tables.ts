import { layouts, MaglevLimit } from './abi';
import { ClaimedRoom } from './claimed-room';
import { type MaglevBackend, maglevTable } from './maglev';
import { RangeAllocator } from './range-allocator';
import type { BackendDefinition } from './service-definition';
import { weightsOf } from './slow-start';
import type { MapOperation } from '../types/native';

const slotsPerWord = MaglevLimit.SLOTS_PER_WORD;
const wordSize = layouts.lb_maglev_word.size;

/** Of a table that the kernel has: they are not written again. */
const noSlots = new Uint16Array();

/** A table in the kernel's array, shared by all lists of backends that it is right for. */
export interface MaglevPlacement {
  /** The first slot. */
  readonly first: number;
  readonly size: number;
}

interface SharedTable extends MaglevPlacement {
  readonly key: string;
  readonly words: number;
  readonly start: number;
  readonly slots: Uint16Array;
  users: number;
  written: boolean;
}

/** One that the kernel has. */
function adoptedTable(key: string, first: number, size: number): SharedTable {
  const words = Math.ceil(size / slotsPerWord);
  return { key, words, start: first / slotsPerWord, slots: noSlots, first, size, users: 1, written: true };
}

/**
 * Maglev tables by what they are made of. Services on the same pods share one, whatever their ports; a list of backends
 * that changes gets another table, and the old one is kept until nobody can be reading it.
 */
export class MaglevTables {
  readonly #ranges: RangeAllocator;
  readonly #tables = new Map<string, SharedTable>();
  /** Until it is known what an earlier process left. */
  #adopted: ClaimedRoom | undefined;

  /** `capacity` in slots. */
  constructor(capacity: number) {
    this.#ranges = new RangeAllocator(Math.ceil(capacity / slotsPerWord));
  }

  /** There is more room behind what there was. */
  grow(capacity: number): void {
    this.#ranges.grow(Math.ceil(capacity / slotsPerWord));
  }

  /** Slots in use, rounding included. */
  get used(): number {
    return this.#ranges.used * slotsPerWord;
  }

  /** The table for the list, in the order of the list; undefined when there is no room. Give it back with {@link release}. */
  acquire(backends: readonly BackendDefinition[], size: number): MaglevPlacement | undefined {
    const named = identify(backends);
    const key = keyOf(named, size);
    const shared = this.#tables.get(key);
    if (shared) {
      shared.users++;
      return shared;
    }
    const words = Math.ceil(size / slotsPerWord);
    const start = this.#ranges.allocate(words);
    if (start === undefined) return undefined;
    const slots = maglevTable(named, size);
    const table = { key, words, start, slots, first: start * slotsPerWord, size, users: 1, written: false };
    this.#tables.set(key, table);
    return table;
  }

  /**
   * The table that the kernel has for the list already, from slot `first` on; undefined when it has another one for the
   * same list, too. Its room is taken by {@link adoptRoom}.
   */
  adopt(backends: readonly BackendDefinition[], size: number, first: number): MaglevPlacement | undefined {
    const key = keyOf(identify(backends), size);
    const shared = this.#tables.get(key);
    if (shared) {
      if (shared.first !== first) return undefined;
      shared.users++;
      return shared;
    }
    const table = adoptedTable(key, first, size);
    if (!this.#room.claim({ start: table.start, count: table.words })) return undefined;
    this.#tables.set(key, table);
    return table;
  }

  /**
   * Takes the room of all tables that were adopted, and of `others`. Once, before any other is acquired. Returns those others
   * that are there, to be released.
   */
  adoptRoom(others: readonly MaglevPlacement[]): MaglevPlacement[] {
    const there = others
      .map(({ first, size }) => adoptedTable('', first, size))
      .filter(({ start, words }) => this.#room.claim({ start, count: words }));
    this.#ranges.adopt(this.#room.claims);
    this.#adopted = undefined;
    return there;
  }

  get #room(): ClaimedRoom {
    return (this.#adopted ??= new ClaimedRoom(this.#ranges.capacity));
  }

  /** Nobody reads it for this list any more. */
  release(placement: MaglevPlacement): void {
    const table = placement as SharedTable;
    if (--table.users > 0) return;
    this.#tables.delete(table.key);
    this.#ranges.release(table.start, table.words);
  }

  /** Writes a table, unless the kernel has it. */
  store(placement: MaglevPlacement): MapOperation[] {
    const { written, slots, start } = placement as SharedTable;
    if (written) return [];
    const bytes = new Uint8Array(Math.ceil(slots.length / slotsPerWord) * wordSize);
    new Uint16Array(bytes.buffer).set(slots);
    return [{ map: 'maglev', kind: 'store', offset: start * wordSize, bytes }];
  }

  /** The kernel has it. */
  accept(placement: MaglevPlacement): void {
    (placement as SharedTable).written = true;
  }
}

/** What the table of a list takes, and what tells it from those of other lists. */
export function maglevRoom(
  backends: readonly BackendDefinition[],
  size: number,
): { readonly key: string; readonly slots: number } {
  const words = RangeAllocator.sizeClass(Math.ceil(size / slotsPerWord));
  return { key: keyOf(identify(backends), size), slots: words * slotsPerWord };
}

function keyOf(named: readonly MaglevBackend[], size: number): string {
  return `${size} ${named.map(({ id, weight }) => `${id}*${weight}`).join(' ')}`;
}

/** By address where that tells the backends apart, so that all ports of the same pods share a table. */
function identify(backends: readonly BackendDefinition[]): MaglevBackend[] {
  const addresses = new Set(backends.map(({ address }) => address));
  const byAddress = addresses.size === backends.length;
  const weights = weightsOf(backends);
  return backends.map(({ address, port }, i) => ({
    id: byAddress ? address : `${address} ${port}`,
    weight: weights[i] as number,
  }));
}
