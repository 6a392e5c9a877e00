const page = 65_536;

/**
 * The memory of a WebAssembly module, from the end of its own data on: what is taken for good, and behind it what is
 * lent for a decision.
 */
export class ModuleMemory {
  readonly #memory: WebAssembly.Memory;
  #bytes: Buffer;
  #words: Uint32Array;
  #heap: number;
  #top: number;

  constructor(memory: WebAssembly.Memory, heap: number) {
    this.#memory = memory;
    this.#bytes = Buffer.from(memory.buffer);
    this.#words = new Uint32Array(memory.buffer);
    this.#heap = this.#top = heap;
  }

  /** All of it. Not to be kept: growing makes another one. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** The same in words of four bytes. */
  get words(): Uint32Array {
    return this.#words;
  }

  /** Takes memory for good, aligned to eight bytes; zero as long as nothing was lent. Ends what was lent. */
  reserve(size: number): number {
    this.reclaim();
    const at = this.lend(size);
    this.#heap = this.#top;
    return at;
  }

  /** Memory until {@link reclaim}. */
  lend(size: number): number {
    const at = this.#top;
    this.#top = at + Math.ceil(size / 8) * 8;
    const missing = this.#top - this.#bytes.length;
    if (missing > 0) {
      this.#memory.grow(Math.ceil(missing / page));
      this.#bytes = Buffer.from(this.#memory.buffer);
      this.#words = new Uint32Array(this.#memory.buffer);
    }
    return at;
  }

  /** A copy in memory that is lent. */
  lendCopy(value: Uint8Array): number {
    const at = this.lend(value.length);
    this.#bytes.set(value, at);
    return at;
  }

  /** A copy of other memory, in memory that is lent. */
  duplicate(from: number, size: number): number {
    const at = this.lend(size);
    this.#bytes.copyWithin(at, from, from + size);
    return at;
  }

  /** Takes back what was lent. */
  reclaim(): void {
    this.#top = this.#heap;
  }

  /** A copy outside of it. */
  copy(at: number, size: number): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(at, at + size));
  }

  /** Text up to a zero. */
  text(at: number): string {
    return this.#bytes.toString('latin1', at, this.#bytes.indexOf(0, at));
  }
}
