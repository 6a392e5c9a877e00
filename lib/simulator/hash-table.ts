import type { Table } from './decision-module';
import type { ModuleMemory } from './module-memory';

/** A hash table of the kernel. The values are in the module's memory, where decisions read them. */
export class HashTable {
  readonly table: Table;
  readonly #memory: ModuleMemory;
  /** Of values, by the bytes of their keys. */
  readonly #places = new Map<string, number>();
  /** Of values that have gone. */
  readonly #free: number[] = [];

  constructor(memory: ModuleMemory, table: Table) {
    this.#memory = memory;
    this.table = table;
  }

  /** The place of a key's value, or 0; the key begins at byte `at` of `keys`. */
  find(keys: Buffer, at: number): number {
    return this.#places.size > 0 ? (this.#places.get(this.#text(keys, at)) ?? 0) : 0;
  }

  put(keys: Buffer, at: number, value: Uint8Array): void {
    const key = this.#text(keys, at);
    let place = this.#places.get(key);
    if (place === undefined) {
      place = this.#free.pop() ?? this.#memory.reserve(this.table.valueSize);
      this.#places.set(key, place);
    }
    this.#memory.bytes.set(value, place);
  }

  remove(keys: Buffer, at: number): void {
    const key = this.#text(keys, at);
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    this.#free.push(place);
  }

  #text(keys: Buffer, at: number): string {
    return keys.toString('latin1', at, at + this.table.keySize);
  }
}

/** In the key of a trie the length of the prefix, in bits, comes first. */
const lengthSize = 4;

/**
 * A trie of the kernel, in which the longest prefix of a key is found: a table that is asked for each length in turn,
 * by the key cut as short. The bits behind the prefix of an entry are zero.
 */
export class PrefixTable extends HashTable {
  /** How many entries have a prefix of each length, and the lengths, longest first. */
  readonly #counts = new Map<number, number>();
  #lengths: readonly number[] = [];

  override find(keys: Buffer, at: number): number {
    for (const length of this.#lengths) {
      const place = super.find(this.#cut(keys, at, length), 0);
      if (place !== 0) return place;
    }
    return 0;
  }

  override put(keys: Buffer, at: number, value: Uint8Array): void {
    if (super.find(keys, at) === 0) this.#count(keys.readUInt32LE(at), 1);
    super.put(keys, at, value);
  }

  override remove(keys: Buffer, at: number): void {
    if (super.find(keys, at) !== 0) this.#count(keys.readUInt32LE(at), -1);
    super.remove(keys, at);
  }

  #count(length: number, by: number): void {
    const count = (this.#counts.get(length) ?? 0) + by;
    if (count > 0) this.#counts.set(length, count);
    else this.#counts.delete(length);
    this.#lengths = [...this.#counts.keys()].sort((a, b) => b - a);
  }

  #cut(keys: Buffer, at: number, length: number): Buffer {
    const key = Buffer.alloc(this.table.keySize);
    key.writeUInt32LE(length);
    const [whole, rest] = [lengthSize + Math.floor(length / 8), length % 8];
    keys.copy(key, lengthSize, at + lengthSize, at + whole);
    if (rest > 0) key[whole] = keys.readUInt8(at + whole) & (0xff00 >> rest);
    return key;
  }
}
