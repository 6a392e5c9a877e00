import type { MapOperation } from '../types/native';

/** Operations to run before and after a change of services. */
export interface HintChange {
  readonly before: readonly MapOperation[];
  readonly after: readonly MapOperation[];
}

/**
 * A table of one byte for each of 65,536 numbers, kept one step ahead of the entries that it hints at: a bit is set
 * before the first entry that needs it is written, and cleared after the last one is gone.
 */
export class HintTable {
  readonly #map: string;
  readonly #hints = new Uint8Array(65536);

  /** `map` is the memory-mapped array that holds the bytes. */
  constructor(map: string) {
    this.#map = map;
  }

  /** What the kernel holds already. */
  adopt(hints: Uint8Array): void {
    this.#hints.set(hints);
  }

  at(index: number): number {
    return this.#hints[index] as number;
  }

  /** Gives the numbers the hints that `hintsOf` says; this is the new state. */
  change(indexes: Iterable<number>, hintsOf: (index: number) => number): HintChange {
    const before: MapOperation[] = [];
    const after: MapOperation[] = [];
    for (const index of indexes) {
      const was = this.at(index);
      const now = hintsOf(index);
      if ((was | now) !== was) before.push(this.#store(index, was | now));
      if ((was | now) !== now) after.push(this.#store(index, now));
      this.#hints[index] = now;
    }
    return { before, after };
  }

  #store(index: number, hints: number): MapOperation {
    return { map: this.#map, kind: 'store', offset: index, bytes: Uint8Array.of(hints) };
  }
}
