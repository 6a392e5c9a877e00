import assert from 'node:assert/strict';

import fc from 'fast-check';

import { RangeAllocator } from '../../lib/range-allocator';

type Step = { allocate: number } | { release: number };

const steps = (largest: number) =>
  fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ allocate: fc.integer({ min: 0, max: largest }) }) },
      { weight: 2, arbitrary: fc.record({ release: fc.nat() }) },
    ),
    { maxLength: 200 },
  ) as fc.Arbitrary<Step[]>;

describe('range allocator', () => {
  it('rounds sizes up by an eighth at most', () => {
    for (let count = 1; count <= 5000; count++) {
      const size = RangeAllocator.sizeClass(count);
      assert.ok(size >= count && size <= count * 1.125, `${count} -> ${size}`);
      assert.equal(RangeAllocator.sizeClass(size), size);
      if (count <= 16) assert.equal(size, count);
    }
  });

  it('never hands out a slot twice, and finds room wherever there is some', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), steps(60), (capacity, steps) => {
        const allocator = new RangeAllocator(capacity);
        /* The naive model: who holds each slot. */
        const slots = new Array<number | undefined>(capacity).fill(undefined);
        const held: { id: number; start: number; count: number }[] = [];
        let last = 0;
        for (const step of steps) {
          if ('release' in step) {
            if (held.length === 0) continue;
            const [{ start, count }] = held.splice(step.release % held.length, 1) as [(typeof held)[0]];
            slots.fill(undefined, start, start + RangeAllocator.sizeClass(count));
            allocator.release(start, count);
          } else {
            const count = step.allocate;
            const start = allocator.allocate(count);
            if (count === 0) {
              assert.equal(start, 0);
              continue;
            }
            const size = RangeAllocator.sizeClass(count);
            if (start === undefined) {
              assert.ok(longestGap(slots) < size, `there is room for ${count}`);
              continue;
            }
            assert.ok(start >= 0 && start + size <= capacity, 'inside of the table');
            assert.ok(
              slots.slice(start, start + size).every((owner) => owner === undefined),
              'free before',
            );
            slots.fill(++last, start, start + size);
            held.push({ id: last, start, count });
          }
          assert.equal(allocator.used, slots.filter((owner) => owner !== undefined).length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('gives everything back', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 }), fc.nat(), (counts, seed) => {
        const allocator = new RangeAllocator(1000);
        const held = counts.flatMap((count) => {
          const start = allocator.allocate(count);
          return start === undefined ? [] : [{ start, count }];
        });
        held.sort((a, b) => ((a.start * 7919 + seed) % 101) - ((b.start * 7919 + seed) % 101));
        for (const { start, count } of held) allocator.release(start, count);
        assert.equal(allocator.used, 0);
        // 960 is a size of its own; what is left of 1,000 cannot make two of them.
        assert.notEqual(allocator.allocate(960), undefined);
        assert.equal(allocator.allocate(960), undefined);
      }),
    );
  });

  it('is full exactly when it is', () => {
    const allocator = new RangeAllocator(10);
    assert.equal(allocator.allocate(11), undefined);
    assert.equal(allocator.allocate(10), 0);
    assert.equal(allocator.allocate(1), undefined);
    assert.equal(allocator.allocate(0), 0);
    allocator.release(0, 10);
    assert.equal(allocator.used, 0);
    assert.notEqual(allocator.allocate(3), undefined);
  });
});

function longestGap(slots: readonly unknown[]): number {
  let longest = 0;
  let gap = 0;
  for (const owner of slots) {
    gap = owner === undefined ? gap + 1 : 0;
    longest = Math.max(longest, gap);
  }
  return longest;
}
