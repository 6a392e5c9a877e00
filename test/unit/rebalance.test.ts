import assert from 'node:assert/strict';

import fc from 'fast-check';

import { type BackendLoad, excessOf, takeExcess } from '../../lib/rebalance';

const loads = fc
  .array(fc.record({ weight: fc.nat(5), open: fc.nat(500) }), { maxLength: 12 })
  .map((list) => list.map((load, i): BackendLoad => ({ backend: `10.0.0.${i}:80`, ...load })));

const tolerance = fc.double({ min: 0, max: 2, noNaN: true });

const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);

describe('rebalancing', () => {
  it('takes from the overloaded what they have above their share', () => {
    const list = [
      { backend: 'a', weight: 1, open: 100 },
      { backend: 'b', weight: 1, open: 20 },
      { backend: 'c', weight: 2, open: 120 },
      { backend: 'drains', weight: 0, open: 1000 },
    ];
    assert.deepEqual([...excessOf(list, 0.25)], [['a', 40]]);
    assert.deepEqual([...excessOf(list, 0.7)], []);
    assert.deepEqual([...excessOf([], 0.25)], []);
    assert.deepEqual([...excessOf([{ backend: 'a', weight: 1, open: 9 }], 0)], [], 'it has nowhere to go');
  });

  it('never takes a backend below its share, nor more than others have room for', () => {
    fc.assert(
      fc.property(loads, tolerance, (list, tolerated) => {
        const offered = list.filter(({ weight }) => weight > 0);
        const total = sum(offered.map(({ open }) => open));
        const weights = sum(offered.map(({ weight }) => weight));
        const excess = excessOf(list, tolerated);
        for (const [backend, more] of excess) {
          const { weight, open } = list.find((load) => load.backend === backend) as BackendLoad;
          assert.ok(weight > 0 && more > 0);
          assert.ok(open - more >= (total * weight) / weights);
        }
        const room = offered.map(({ weight, open }) => Math.max(0, (total * weight) / weights - open));
        assert.ok(sum(excess.values()) <= sum(room) + 1e-6);
      }),
    );
  });

  it('has nothing to do where it was carried out', () => {
    fc.assert(
      fc.property(loads, tolerance, (list, tolerated) => {
        const excess = excessOf(list, tolerated);
        const offered = list.filter(({ weight }) => weight > 0);
        const weights = sum(offered.map(({ weight }) => weight));
        const total = sum(offered.map(({ open }) => open));
        const after = list.map((load) => ({ ...load, open: load.open - (excess.get(load.backend) ?? 0) }));
        /* What was taken goes where there is room. */
        let moving = sum(excess.values());
        for (const load of after) {
          const room = Math.floor((total * load.weight) / weights - load.open);
          const moved = load.weight > 0 ? Math.min(moving, Math.max(0, room)) : 0;
          load.open += moved;
          moving -= moved;
        }
        for (const backend of excess.keys())
          assert.ok(!excessOf(after, tolerated).has(backend) || moving > 0);
      }),
    );
  });

  it('takes as many as it may, and first where there are most', () => {
    fc.assert(
      fc.property(loads, fc.nat(50), (list, count) => {
        const excess = excessOf(list, 0);
        const taken = takeExcess(excess, count);
        assert.equal(sum(taken.values()), Math.min(count, sum(excess.values())));
        const left = [...excess].map(([backend, more]) => more - (taken.get(backend) ?? 0));
        assert.ok(left.every((more) => more >= 0));
        for (const [backend] of taken) {
          const own = (excess.get(backend) ?? 0) - (taken.get(backend) ?? 0);
          assert.ok(own >= Math.max(0, ...left) - 1, 'no other one is left with much more');
        }
      }),
    );
  });
});
