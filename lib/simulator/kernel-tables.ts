import type { Table, Tables } from './decision-module';
import type { ModuleMemory } from './module-memory';
import type { Datapath } from '../../types/native';

/** The tables of a running datapath. Values are copied, so that decisions leave nothing behind. */
export class KernelTables implements Tables {
  readonly #memory: ModuleMemory;
  readonly #datapath: Pick<Datapath, 'lookup'>;

  constructor(memory: ModuleMemory, datapath: Pick<Datapath, 'lookup'>) {
    this.#memory = memory;
    this.#datapath = datapath;
  }

  lookup({ name, keySize }: Table, key: number): number {
    const value = this.#datapath.lookup(name, this.#memory.bytes.subarray(key, key + keySize));
    return value ? this.#memory.lendCopy(value) : 0;
  }

  /** CLOCK_MONOTONIC, as the programs have it. */
  now(): number {
    return Number(process.hrtime.bigint()) / 1e9;
  }
}
