/** Numbers that follow from a seed (Mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to `limit` less one. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  /** True once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(from: readonly T[]): T {
    if (from.length === 0) throw new RangeError('there is nothing to pick from');
    return from[this.below(from.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

/** Numbers that parsers stumble over. */
export const awkward = [0, 1, 3, 4, 7, 8, 15, 16, 0x7f, 0x80, 0xfe, 0xff];

/** Some bytes changed, doubled or taken away, or an end that is missing. */
export function mutate(random: Random, bytes: Uint8Array): Buffer {
  let mutated = Buffer.from(bytes);
  for (let times = random.below(4); times >= 0; times--) {
    const at = random.below(mutated.length + 1);
    switch (random.below(6)) {
      case 0:
        mutated = mutated.subarray(0, at);
        break;
      case 1:
        mutated = Buffer.concat([mutated, random.bytes(random.below(64))]);
        break;
      case 2: {
        const piece = mutated.subarray(at, at + random.below(40));
        mutated = Buffer.concat([mutated.subarray(0, at), piece, mutated.subarray(at)]);
        break;
      }
      case 3:
        if (at + 2 <= mutated.length) mutated.writeUInt16BE(random.pick([0, 1, 0xff, 0x7fff, 0xffff]), at);
        break;
      default:
        if (at < mutated.length) mutated[at] = random.oneIn(2) ? random.pick(awkward) : random.below(256);
    }
  }
  return mutated;
}

/** A round of inputs, all of which follow from the seed. */
export interface InputRound {
  readonly inputs: number;
  /** What went wrong with which input. */
  readonly failure: string | undefined;
}
