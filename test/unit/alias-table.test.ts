import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import fc from 'fast-check';

import { aliasTable, always } from '../../lib/alias-table';

const word = 2n ** 32n;

/** How the datapath draws, from two numbers of 32 bits. */
function draw({ threshold, alias }: ReturnType<typeof aliasTable>, a: number, b: number): number {
  const slot = Number((BigInt(a) * BigInt(threshold.length)) / word);
  return b < threshold[slot]! || threshold[slot] === always ? slot : alias[slot]!;
}

/**
 * The pairs of numbers with which each backend is drawn, of 2^64. The numbers that lead to a slot are as many as any
 * other's, or one more; `asIfEven` counts them as equally many, in units of a slot, to look at the table alone.
 */
function occurrences(weights: readonly number[], asIfEven: boolean): bigint[] {
  const { threshold, alias } = aliasTable(weights);
  const slots = BigInt(weights.length);
  const firstOf = (slot: bigint) => (slot * word + slots - 1n) / slots;
  const counts = weights.map(() => 0n);
  for (let i = 0; i < weights.length; i++) {
    const leadHere = asIfEven ? 1n : firstOf(BigInt(i) + 1n) - firstOf(BigInt(i));
    const own = threshold[i] === always ? word : BigInt(threshold[i]!);
    counts[i]! += leadHere * own;
    counts[alias[i]!]! += leadHere * (word - own);
  }
  return counts;
}

function assertProportional(weights: readonly number[]): void {
  const slots = BigInt(weights.length);
  const total = weights.reduce((sum, weight) => sum + BigInt(weight), 0n);
  /* |count / all - weight / total| < error, without fractions. */
  const check = (counts: bigint[], all: bigint, [numerator, denominator]: [bigint, bigint]) =>
    counts.forEach((count, i) => {
      const difference = count * total - BigInt(weights[i]!) * all;
      const distance = difference < 0n ? -difference : difference;
      if (distance * denominator >= numerator * all * total) assert.fail(`backend ${i} of ${weights.join()}`);
    });
  const table = occurrences(weights, true);
  assert.equal(
    table.reduce((sum, count) => sum + count, 0n),
    slots * word,
  );
  check(table, slots * word, [1n, word]);
  const drawn = occurrences(weights, false);
  assert.equal(
    drawn.reduce((sum, count) => sum + count, 0n),
    word * word,
  );
  check(drawn, word * word, [slots, word]);
}

describe('alias tables', () => {
  it('of equal weights need no alias', () => {
    for (const weight of [1, 3, 65535]) {
      for (const slots of [1, 2, 3, 7, 100, 65535]) {
        const { threshold, alias } = aliasTable(new Array<number>(slots).fill(weight));
        assert.ok(threshold.every((value) => value === always));
        assert.deepEqual([...alias], [...alias.keys()]);
      }
    }
  });

  it('say the proportions of two and of three backends', () => {
    assert.deepEqual(aliasTable([1, 3]), {
      threshold: Uint32Array.of(2 ** 31, always),
      alias: Uint32Array.of(1, 1),
    });
    /* 1/6, 2/6, 3/6: half of the first slot and all of the second are their own; half of the first is the third's. */
    assert.deepEqual(aliasTable([1, 2, 3]), {
      threshold: Uint32Array.of(2 ** 31, always, always),
      alias: Uint32Array.of(2, 1, 2),
    });
  });

  it('give every backend its exact share, whatever the weights', () => {
    const weight = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 65535 }));
    fc.assert(
      fc.property(fc.array(weight, { minLength: 1, maxLength: 200 }), (weights) =>
        assertProportional(weights),
      ),
      { numRuns: 500 },
    );
  });

  for (const [what, weights] of Object.entries({
    'one giant among dwarfs': [65535, ...new Array<number>(999).fill(1)],
    'one dwarf among giants': [...new Array<number>(999).fill(65535), 1],
    'weights of every size': Array.from({ length: 1000 }, (_, i) => 2 ** (i % 16)),
    'as many backends as there can be': Array.from({ length: 65535 }, (_, i) => 1 + ((i * 7919) % 65535)),
    'shares that round to certainty': [2 ** 40, 2 ** 40 + 1],
  })) {
    it(`give every backend its exact share: ${what}`, () => assertProportional(weights));
  }

  it('lead to choices as likely as the weights say: chi-square', () => {
    const draws = 200_000;
    for (const weights of [
      [1, 1, 1],
      [1, 2, 3, 4, 5],
      [1, 100],
      [100, 1, 50, 50, 7, 99],
      Array.from({ length: 100 }, (_, i) => 1 + (i % 10)),
    ]) {
      const bytes = createHash('shake128', { outputLength: draws * 8 })
        .update(weights.join())
        .digest();
      const table = aliasTable(weights);
      const counts = weights.map(() => 0);
      for (let i = 0; i < bytes.length; i += 8)
        counts[draw(table, bytes.readUInt32LE(i), bytes.readUInt32LE(i + 4))]!++;
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const chiSquare = weights.reduce((sum, weight, i) => {
        const expected = (draws * weight) / total;
        return sum + (counts[i]! - expected) ** 2 / expected;
      }, 0);
      assert.ok(chiSquare < chiSquareLimit(weights.length - 1), `${weights.join()}: ${chiSquare}`);
    }
  });
});

/** What chi-square exceeds once in a thousand times, by Wilson and Hilferty's approximation. */
function chiSquareLimit(degreesOfFreedom: number): number {
  const variance = 2 / (9 * degreesOfFreedom);
  return degreesOfFreedom * (1 - variance + 3.09 * Math.sqrt(variance)) ** 3;
}
