import { murmur3 } from './murmur3';
import { isPrime } from './prime';

/** A backend, as far as its part of a Maglev table is concerned. */
export interface MaglevBackend {
  /** The same on every node, unique in the table. */
  readonly id: string;
  /** A non-negative integer; in proportion to it the backend gets slots. */
  readonly weight: number;
}

/** What a slot holds until a backend takes it; no index, as there are at most 65535 backends. */
const free = 0xffff;

/* Changing a seed, or the hash, moves live clients when nodes of two versions serve side by side. */
const offsetSeed = 0;
const skipSeed = 1;

/** The largest prime below each power of two from 256 to 131072. */
const sizes = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071];
const largestSize = 131071;

/**
 * The smallest size that has 100 slots for each backend, so that shares are even within one per cent. When there is
 * none, the largest.
 */
export function defaultMaglevSize(backends: number): number {
  return sizes.find((size) => size >= 100 * backends) ?? largestSize;
}

/**
 * Makes a Maglev table (Eisenbud et al., NSDI 2016, section 3.4): every backend has an order of its own of all
 * slots, and the backends take turns in claiming them. So most slots keep their backend when another one comes
 * or goes.
 *
 * Two things differ from the paper. A backend gets exactly its share of the slots. And if the slot that it prefers
 * next has been taken, it waits for another turn instead of going on to a free one: then slots go to backends that
 * prefer them more, rather than to displaced ones, which halves the slots that a change moves.
 *
 * @param backends At most 65535. Their order makes no difference but to the indexes in the table. If there are
 *   more of them than slots, some get none.
 * @param size Slots, a prime: then each skip leads through every slot.
 * @returns Indexes into `backends`.
 * @throws RangeError if the table cannot be filled: no backend has a weight, or the size is not a prime.
 */
export function maglevTable(backends: readonly MaglevBackend[], size: number): Uint16Array {
  if (!isPrime(size)) throw new RangeError(`A Maglev table cannot have ${size} slots, which is not a prime.`);
  const claimants = claimantsOf(backends, size);
  if (claimants.length === 0) throw new RangeError('A Maglev table needs a backend that has a weight.');
  const table = new Uint16Array(size).fill(free);
  for (let waiting = claimants; waiting.length > 0; waiting = waiting.filter(({ quota }) => quota > 0)) {
    const meanWeight = weightOf(waiting) / waiting.length;
    /* Rounds in which everyone gets its turns, until someone has all its slots. */
    let isSomeoneDone = false;
    while (!isSomeoneDone) {
      for (const claimant of waiting) {
        claimant.turns += claimant.weight / meanWeight;
        for (; claimant.turns >= 1 && claimant.quota > 0; claimant.turns--) claim(table, claimant);
        isSomeoneDone ||= claimant.quota === 0;
      }
    }
  }
  return table;
}

/** A backend while the table is being filled. */
interface Claimant {
  readonly backend: number;
  readonly weight: number;
  /** Where it is in its order, and how that goes on: the rest of the order is never written down. */
  slot: number;
  readonly skip: number;
  /** Slots that it has yet to get. */
  quota: number;
  /** Turns that it may take: one is added in each round on average, more or less by weight. */
  turns: number;
}

/** One turn. */
function claim(table: Uint16Array, claimant: Claimant): void {
  const { slot, skip } = claimant;
  if (table[slot] === free) {
    table[slot] = claimant.backend;
    claimant.quota--;
  }
  const next = slot + skip;
  claimant.slot = next < table.length ? next : next - table.length;
}

/** The backends that get slots, by id. Their quotas are in proportion to the weights, and add up to the table. */
function claimantsOf(backends: readonly MaglevBackend[], size: number): Claimant[] {
  const byId = [...backends.entries()].sort(([, a], [, b]) => (a.id < b.id ? -1 : 1));
  const total = weightOf(backends);
  const claimants = byId.map(([backend, { id, weight }]) => ({
    backend,
    weight,
    slot: murmur3(id, offsetSeed) % size,
    skip: (murmur3(id, skipSeed) % (size - 1)) + 1,
    quota: Math.floor((size * weight) / total),
    turns: 0,
  }));
  const remainder = ({ weight }: Claimant) => (size * weight) % total;
  const unassigned = claimants.reduce((left, { quota }) => left - quota, size);
  const closest = claimants.toSorted((a, b) => remainder(b) - remainder(a)).slice(0, unassigned);
  for (const claimant of closest) claimant.quota++;
  return claimants.filter(({ quota }) => quota > 0);
}

function weightOf(weighted: readonly { weight: number }[]): number {
  return weighted.reduce((sum, { weight }) => sum + weight, 0);
}
