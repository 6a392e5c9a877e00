/**
 * Hands out contiguous ranges of the backend array.
 *
 * Sizes are rounded up a little, so that a freed range fits the next service that grows or shrinks; what no size
 * class can serve is found by joining neighbours, which is rare and linear.
 */
export class RangeAllocator {
  #capacity: number;
  #next = 0;
  #used = 0;
  /** Starts of free ranges by their size. */
  readonly #free = new Map<number, number[]>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** There is more room behind what there was. */
  grow(capacity: number): void {
    this.#capacity = capacity;
  }

  /** Entries in all. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Entries in allocated ranges, rounding included. */
  get used(): number {
    return this.#used;
  }

  /** Takes ranges that are in use already, and do not overlap. Once, before all else. */
  adopt(ranges: Iterable<{ readonly start: number; readonly count: number }>): void {
    const taken = [...ranges].filter(({ count }) => count > 0).sort((a, b) => a.start - b.start);
    for (const { start, count } of taken) {
      const size = RangeAllocator.sizeClass(count);
      if (start > this.#next) this.#put(this.#next, start - this.#next);
      this.#next = Math.max(this.#next, start + size);
      this.#used += size;
    }
  }

  /** The start of a range of `count` entries, or undefined when there is none. */
  allocate(count: number): number | undefined {
    if (count === 0) return 0;
    const size = RangeAllocator.sizeClass(count);
    const start = this.#take(size) ?? this.#extend(size) ?? this.#join(size);
    if (start !== undefined) this.#used += size;
    return start;
  }

  /** Gives back what {@link allocate} gave for the same count. */
  release(start: number, count: number): void {
    if (count === 0) return;
    const size = RangeAllocator.sizeClass(count);
    this.#used -= size;
    this.#put(start, size);
  }

  /** Exact up to 16, then steps of an eighth: at most 12.5 % is wasted. */
  static sizeClass(count: number): number {
    if (count <= 16) return count;
    const step = 2 ** (Math.floor(Math.log2(count)) - 3);
    return Math.ceil(count / step) * step;
  }

  #put(start: number, size: number): void {
    const starts = this.#free.get(size);
    if (starts) starts.push(start);
    else this.#free.set(size, [start]);
  }

  #take(size: number): number | undefined {
    const starts = this.#free.get(size);
    const start = starts?.pop();
    if (starts?.length === 0) this.#free.delete(size);
    return start;
  }

  #extend(size: number): number | undefined {
    if (this.#next + size > this.#capacity) return undefined;
    const start = this.#next;
    this.#next += size;
    return start;
  }

  #join(size: number): number | undefined {
    const ranges = [...this.#free].flatMap(([n, starts]) =>
      starts.map((start) => ({ start, end: start + n })),
    );
    if (this.#next < this.#capacity) ranges.push({ start: this.#next, end: this.#capacity });
    ranges.sort((a, b) => a.start - b.start);
    const joined: { start: number; end: number }[] = [];
    for (const range of ranges) {
      const last = joined.at(-1);
      if (last?.end === range.start) last.end = range.end;
      else joined.push({ ...range });
    }
    this.#free.clear();
    this.#next = this.#capacity;
    let found: number | undefined;
    for (const { start, end } of joined) {
      let from = start;
      if (found === undefined && end - start >= size) {
        found = start;
        from += size;
      }
      if (end === this.#capacity) this.#next = from;
      else if (end > from) this.#put(from, end - from);
    }
    return found;
  }
}
