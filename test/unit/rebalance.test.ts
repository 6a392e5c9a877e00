import assert from 'node:assert/strict';

import fc from 'fast-check';

import { type BackendLoad, excessOf, paceOf, poolsOf, takeExcess } from '../../lib/rebalance';
import { defineService } from '../../lib/service-definition';

const loads = fc
  .array(fc.record({ weight: fc.integer({ min: 1, max: 5 }), open: fc.nat(500) }), { maxLength: 12 })
  .map((list) => list.map((load, i): BackendLoad => ({ backend: `10.0.0.${i}:80`, ...load })));

const tolerance = fc.double({ min: 0, max: 2, noNaN: true });

const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);

describe('rebalancing', () => {
  it('takes from the overloaded what they have above their share', () => {
    const list = [
      { backend: 'a', weight: 1, open: 100 },
      { backend: 'b', weight: 1, open: 20 },
      { backend: 'c', weight: 2, open: 120 },
    ];
    assert.deepEqual([...excessOf(list, 0.25)], [['a', 40]]);
    assert.deepEqual([...excessOf(list, 0.7)], []);
    assert.deepEqual([...excessOf([], 0.25)], []);
    assert.deepEqual([...excessOf([{ backend: 'a', weight: 1, open: 9 }], 0)], [], 'it has nowhere to go');
  });

  it('never takes a backend below its share, nor more than others have room for', () => {
    fc.assert(
      fc.property(loads, tolerance, (list, tolerated) => {
        const total = sum(list.map(({ open }) => open));
        const weights = sum(list.map(({ weight }) => weight));
        const excess = excessOf(list, tolerated);
        for (const [backend, more] of excess) {
          const { weight, open } = list.find((load) => load.backend === backend) as BackendLoad;
          assert.ok(more > 0);
          assert.ok(open - more >= (total * weight) / weights);
        }
        const room = list.map(({ weight, open }) => Math.max(0, (total * weight) / weights - open));
        assert.ok(sum(excess.values()) <= sum(room) + 1e-6);
      }),
    );
  });

  it('has nothing to do where it was carried out', () => {
    fc.assert(
      fc.property(loads, tolerance, (list, tolerated) => {
        const excess = excessOf(list, tolerated);
        const weights = sum(list.map(({ weight }) => weight));
        const total = sum(list.map(({ open }) => open));
        const after = list.map((load) => ({ ...load, open: load.open - (excess.get(load.backend) ?? 0) }));
        /* What was taken goes where there is room. */
        let moving = sum(excess.values());
        for (const load of after) {
          const room = Math.floor((total * load.weight) / weights - load.open);
          const moved = Math.min(moving, Math.max(0, room));
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

  it('takes no more where fewer are open than there were, until they are back', () => {
    const list = [
      { backend: 'a', weight: 1, open: 60 },
      { backend: 'b', weight: 1, open: 0 },
    ];
    assert.deepEqual([...excessOf(list, 0)], [['a', 30]]);
    assert.deepEqual([...excessOf(list, 0, 100)], [['a', 10]]);
    assert.deepEqual([...excessOf(list, 0, 120)], []);
  });

  it('keeps a pace that no second has more of', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 1e6, noNaN: true }), (maxPerSecond) => {
        const { batch, pause } = paceOf(maxPerSecond);
        const rounds = Math.ceil(1000 / pause - 1e-9);
        assert.ok(batch >= 1);
        assert.ok(maxPerSecond < 1 ? 1000 / pause <= maxPerSecond + 1e-9 : rounds * batch <= maxPerSecond);
        assert.ok((batch * 1000) / pause > maxPerSecond * 0.5, 'and uses more than half of what it may');
      }),
    );
  });

  it('spreads the frontends of a family together that are offered the same', () => {
    const definition = defineService({
      name: 'web',
      frontends: [
        { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
        { type: 'ClusterIP', address: '10.96.0.2', port: 80 },
        { type: 'ClusterIP', address: '10.96.0.1', port: 80, protocol: 'UDP' },
        { type: 'NodePort', port: 30080 },
      ],
      backends: [
        { address: '10.0.0.1', port: 80, local: true },
        { address: '10.0.0.2', port: 80, weight: 3 },
        { address: '10.0.0.3', port: 80, weight: 0 },
        { address: '10.0.0.4', port: 80, state: 'terminating' },
      ],
      internalTrafficPolicy: 'Local',
    });
    const ids = definition.frontends.map((_, i) => 100 + i);
    const idOf = (type: string) => ids.filter((_, i) => definition.frontends[i]?.type === type);
    const pools = poolsOf({ definition, ids } as unknown as Parameters<typeof poolsOf>[0]);
    const shown = pools.map(({ frontendIds, weights }) => ({ ids: [...frontendIds], weights: [...weights] }));
    const both = [
      ['10.0.0.1:80', 1],
      ['10.0.0.2:80', 3],
    ];
    assert.deepEqual(shown[0], { ids: idOf('ClusterIP').slice(0, 2), weights: [['10.0.0.1:80', 1]] });
    assert.deepEqual(shown[1], { ids: idOf('NodePort').slice(0, 1), weights: both });
    assert.deepEqual(shown[2]?.weights ?? [], [], 'no backend of the other family');
  });
});
