import { RangeAllocator } from './range-allocator';

/** A part of an array. */
export interface Room {
  readonly start: number;
  readonly count: number;
}

/**
 * Who has which part of an array, while that is read from tables which may be damaged: what is not all there, or is somebody
 * else's already, is nobody's.
 */
export class ClaimedRoom {
  readonly #taken: Uint8Array;
  readonly #claims: Room[] = [];

  /** Of an array with so many elements. */
  constructor(capacity: number) {
    this.#taken = new Uint8Array(capacity);
  }

  /** What was claimed, none empty. For {@link RangeAllocator.adopt}. */
  get claims(): readonly Room[] {
    return this.#claims;
  }

  /** False, and nothing is taken, unless all of it was free. */
  claim(room: Room): boolean {
    const { start, count } = room;
    if (count === 0) return true;
    const end = start + RangeAllocator.sizeClass(count);
    if (!Number.isInteger(start) || end > this.#taken.length || this.#taken.subarray(start, end).includes(1))
      return false;
    this.#taken.fill(1, start, end);
    this.#claims.push(room);
    return true;
  }
}
