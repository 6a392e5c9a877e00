import type { DecisionModule, Table, Tables, Write } from './decision-module';
import { HashTable, PrefixTable } from './hash-table';
import type { MapOperation } from '../../types/native';

/** The tables of a node that does not exist: operations do to them what they would do to the kernel's. */
export class MemoryTables implements Tables {
  readonly now: () => number;
  readonly #module: DecisionModule;
  readonly #maxAffinities: number;
  readonly #tables: ReadonlyMap<string, HashTable>;
  /** Pins of clients, from the one that was used first on. Apart: decisions write into what they find. */
  readonly #pins = new Map<string, Uint8Array>();

  /** `arrays`: how many elements each has. `maxAffinities`: beyond, the oldest pin is given up. */
  constructor(
    module: DecisionModule,
    arrays: Readonly<Record<string, number>>,
    maxAffinities: number,
    now: () => number,
  ) {
    this.now = now;
    this.#module = module;
    this.#maxAffinities = maxAffinities;
    for (const [name, count] of Object.entries(arrays)) module.hold(name, count);
    this.#tables = new Map(
      module.tables.map((table) => [
        table.name,
        table.isTrie ? new PrefixTable(module.memory, table) : new HashTable(module.memory, table),
      ]),
    );
  }

  /** Carries out a commit. Tables that no decision reads are left out. */
  commit(operations: readonly MapOperation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'store') {
        this.#module.store(operation.map, operation.offset, operation.bytes);
        continue;
      }
      const table = this.#tables.get(operation.map);
      if (!table) continue;
      const { keySize, valueSize } = table.table;
      const keys = Buffer.from(operation.keys.buffer, operation.keys.byteOffset, operation.keys.length);
      for (let i = 0; i * keySize < keys.length; i++) {
        if (operation.kind === 'delete') table.remove(keys, i * keySize);
        else table.put(keys, i * keySize, operation.values.subarray(i * valueSize, (i + 1) * valueSize));
      }
    }
  }

  /** Keeps a pin that a decision leaves behind. */
  keep({ key, value }: Write): void {
    const client = Buffer.from(key).toString('latin1');
    this.#pins.delete(client);
    this.#pins.set(client, value);
    if (this.#pins.size > this.#maxAffinities) this.#pins.delete(this.#pins.keys().next().value as string);
  }

  lookup({ name, keySize }: Table, key: number): number {
    const { memory } = this.#module;
    if (name !== 'affinities') return this.#tables.get(name)?.find(memory.bytes, key) ?? 0;
    const pin = this.#pins.size > 0 && this.#pins.get(memory.bytes.toString('latin1', key, key + keySize));
    return pin ? memory.lendCopy(pin) : 0;
  }
}
