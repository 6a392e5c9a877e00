import assert from 'node:assert/strict';

import fc from 'fast-check';

import { ApplyError, MapFullError, type Query, type Simulator } from '../../../lib/simulator';
import type { ServiceSpec } from '../../../lib/spec';
import { open } from './node';

const service = (name: string, last: number, backends = 1): ServiceSpec => ({
  name,
  frontends: [{ type: 'ClusterIP', address: `10.96.0.${last}`, port: 80 }],
  backends: Array.from({ length: backends }, (_, i) => ({ address: `10.244.2.${i + 1}`, port: 8080 })),
});

const ask = (simulator: Simulator, last: number) => {
  const query: Query = { from: '10.244.1.9', to: `10.96.0.${last}`, port: 80, socket: true };
  const { verdict, service, candidates } = simulator.simulate(query);
  return { verdict, service, candidates: candidates.length };
};

describe('simulator: changes of services', () => {
  it('apply makes the services exactly the desired ones, and says what it did', async () => {
    const simulator = await open();
    simulator.apply([service('a', 1), service('b', 2)]);
    const { added, changed, removed, unchanged } = simulator.apply([service('b', 2, 3), service('c', 3)]);
    assert.deepEqual(
      { added, changed, removed, unchanged },
      { added: ['c'], changed: ['b'], removed: ['a'], unchanged: 0 },
    );
    assert.equal(ask(simulator, 1).verdict, 'untouched');
    assert.deepEqual(ask(simulator, 2), { verdict: 'forward', service: 'b', candidates: 3 });
    assert.deepEqual(ask(simulator, 3), { verdict: 'forward', service: 'c', candidates: 1 });
  });

  it('apply tells what is exposed by it', async () => {
    const simulator = await open();
    const spec: ServiceSpec = { ...service('a', 1), frontends: [{ type: 'NodePort', port: 30080 }] };
    const { exposed } = simulator.apply([spec]);
    assert.deepEqual(
      exposed.map(({ service, address, port, device }) => `${service} ${address} ${port} ${device}`),
      ['a 192.0.2.10 30080 eth0'],
    );
  });

  it('deleteService tells whether there was one', async () => {
    const simulator = await open([service('a', 1)]);
    assert.equal(simulator.deleteService('b'), false);
    assert.equal(simulator.deleteService('\0canary'), false);
    assert.equal(simulator.deleteService('a'), true);
    assert.equal(simulator.deleteService('a'), false);
    assert.equal(ask(simulator, 1).verdict, 'untouched');
  });

  it('frontends pass on from one service to another in one apply', async () => {
    const simulator = await open([service('a', 1), service('b', 2)]);
    simulator.apply([service('a', 2), service('b', 1)]);
    assert.deepEqual([ask(simulator, 1).service, ask(simulator, 2).service], ['b', 'a']);
  });

  const refused: [string, string, (simulator: Simulator) => unknown][] = [
    ['a frontend of another service', 'ERR_BPF_DUPLICATE_FRONTEND', (s) => s.upsertService(service('b', 1))],
    ['a name of the library', 'ERR_BPF_INVALID_NAME', (s) => s.upsertService(service('\0b', 3))],
    [
      'what is no service',
      'ERR_BPF_INVALID_OPTION',
      (s) => s.upsertService(undefined as unknown as ServiceSpec),
    ],
    [
      'a NodePort among the ports of SNAT',
      'ERR_BPF_INVALID_PORT',
      (s) => s.upsertService({ ...service('b', 3), frontends: [{ type: 'NodePort', port: 40_000 }] }),
    ],
    ['more backends than there is room for', 'ERR_BPF_MAP_FULL', (s) => s.upsertService(service('a', 1, 65))],
  ];
  for (const [title, code, change] of refused) {
    it(`${title}: refused, and nothing has changed`, async () => {
      const capacity = { frontends: 15, backends: 64, maglevSlots: 1024 };
      const simulator = await open([service('a', 1, 2)], { capacity });
      assert.throws(() => change(simulator), { code });
      assert.deepEqual(ask(simulator, 1), { verdict: 'forward', service: 'a', candidates: 2 });
      assert.equal(ask(simulator, 3).verdict, 'untouched');
      simulator.upsertService(service('z', 9, 56));
      assert.equal(ask(simulator, 9).candidates, 56, 'the room that was left is there');
    });
  }

  it('what is wrong with some services is no failure of the others', async () => {
    const capacity = { frontends: 3, backends: 64, maglevSlots: 1024 };
    const simulator = await open([service('a', 1, 2)], { capacity });
    const desired = [
      service('b', 2),
      service('thief', 1),
      service('twice', 3),
      service('twice', 4),
      service('late', 2),
      service('a', 1, 3),
      service('c', 5),
      service('more', 6),
    ];
    assert.throws(
      () => simulator.apply(desired),
      (error) => {
        assert.ok(error instanceof ApplyError);
        assert.deepEqual(
          Array.from(error.failures, ([name, { code }]: [string, Error & { code?: string }]) => [name, code]),
          [
            ['twice', 'ERR_BPF_INVALID_NAME'],
            ['thief', 'ERR_BPF_DUPLICATE_FRONTEND'],
            ['late', 'ERR_BPF_DUPLICATE_FRONTEND'],
            ['more', 'ERR_BPF_MAP_FULL'],
          ],
        );
        assert.deepEqual(error.applied, { added: ['b', 'c'], changed: ['a'], removed: [] });
        return true;
      },
    );
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6].map((last) => ask(simulator, last).service),
      ['a', 'b', undefined, undefined, 'c', undefined],
    );
    assert.equal(ask(simulator, 1).candidates, 3);
  });

  it('says how much room there is', async () => {
    const simulator = await open([], { capacity: { frontends: 15, backends: 8, maglevSlots: 1 } });
    assert.throws(
      () => simulator.upsertService(service('a', 1, 9)),
      (error) => error instanceof MapFullError && error.map === 'backends' && error.have === 8,
    );
  });

  /* Half the room for backends is taken at most, so that a change always fits if what went before was given back. */
  it('never runs out of room, whatever the changes, and always answers for the latest state', async () => {
    const change = fc.record({
      last: fc.integer({ min: 1, max: 4 }),
      backends: fc.option(fc.integer({ min: 0, max: 8 })),
      algorithm: fc.constantFrom('random' as const, 'maglev' as const),
    });
    const simulator = await open([], { capacity: { frontends: 7, backends: 64, maglevSlots: 8192 } });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        simulator.apply([]);
        const state = new Map<number, number>();
        for (const { last, backends, algorithm } of changes) {
          if (backends === null) {
            assert.equal(simulator.deleteService(`s${last}`), state.delete(last));
          } else {
            simulator.upsertService({
              ...service(`s${last}`, last, backends),
              algorithm,
              maglevTableSize: 251,
            });
            state.set(last, backends);
          }
          for (let i = 1; i <= 4; i++) {
            const count = state.get(i);
            const verdict = count === undefined ? 'untouched' : count > 0 ? 'forward' : 'reject';
            const name = count === undefined ? undefined : `s${i}`;
            assert.deepEqual(ask(simulator, i), { verdict, service: name, candidates: count ?? 0 });
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
