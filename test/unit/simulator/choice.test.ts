import assert from 'node:assert/strict';

import type { Query, Simulator } from '../../../lib/simulator';
import type { Algorithm, BackendSpec } from '../../../lib/spec';
import { addresses, open, web } from './node';

const socket = { from: addresses[4].pod, to: addresses[4].clusterIP, port: 80, socket: true } as const;
const frontend = [{ type: 'ClusterIP', address: addresses[4].clusterIP, port: 80 }] as const;

const numbered = (count: number, of: (i: number) => Partial<BackendSpec> = () => ({})): BackendSpec[] =>
  Array.from({ length: count }, (_, i) => ({ address: `10.244.2.${i + 1}`, port: 8080, ...of(i) }));

function tally(simulator: Simulator, draws: number, query: (seed: number) => Query): Map<string, number> {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < draws; seed++) {
    const { backend = 'none' } = simulator.simulate(query(seed));
    counts.set(backend, (counts.get(backend) ?? 0) + 1);
  }
  return counts;
}

describe('simulator: the choice of a backend', () => {
  for (const algorithm of ['random', 'maglev', 'least-connections'] satisfies Algorithm[]) {
    it(`${algorithm}: the same seed, the same backend; over many, all of them`, async () => {
      const simulator = await open([web({ frontends: frontend, backends: numbered(10), algorithm })]);
      for (const seed of [0, 1, -1, 2 ** 53 - 1, 0n, -1n, 2n ** 64n - 1n]) {
        const [once, again] = [
          simulator.simulate({ ...socket, seed }),
          simulator.simulate({ ...socket, seed }),
        ];
        assert.deepEqual(once, again);
        assert.equal(once.candidates.length, 10);
        assert.ok(once.candidates.includes(once.backend ?? ''));
      }
      /* With ten backends one stays away from 400 draws with a probability of 10^-17. */
      assert.equal(tally(simulator, 400, (seed) => ({ ...socket, seed })).size, 10);
    });
  }

  it('without a seed it is drawn anew', async () => {
    const simulator = await open([web({ frontends: frontend, backends: numbered(10) })]);
    assert.ok(tally(simulator, 400, () => socket).size > 1);
  });

  it('a negative number and its 64 bits are the same seed', async () => {
    const simulator = await open([web({ frontends: frontend, backends: numbered(200) })]);
    for (let i = 1; i <= 20; i++) {
      assert.deepEqual(
        simulator.simulate({ ...socket, seed: -i }),
        simulator.simulate({ ...socket, seed: 2n ** 64n - BigInt(i) }),
      );
    }
  });

  it('draws by weight: the shares are those of the weights within five standard deviations', async () => {
    const backends = numbered(4, (i) => ({ weight: i }));
    const simulator = await open([web({ frontends: frontend, backends })]);
    const draws = 60_000;
    const counts = tally(simulator, draws, (seed) => ({ ...socket, seed }));
    for (const [i, share] of [0, 1 / 6, 2 / 6, 3 / 6].entries()) {
      const count = counts.get(`10.244.2.${i + 1}:8080`) ?? 0;
      const deviation = Math.sqrt(draws * share * (1 - share));
      assert.ok(Math.abs(count - draws * share) <= 5 * deviation, `weight ${i}: ${count}`);
    }
  });

  it('maglev looks at the address and the port of a packet, and not at the seed', async () => {
    const simulator = await open(
      [web({ frontends: frontend, backends: numbered(10), algorithm: 'maglev' })],
      { externalClusterIP: true },
    );
    const packet = { from: addresses[4].client, to: addresses[4].clusterIP, port: 80, device: 'eth0' };
    assert.equal(tally(simulator, 50, (seed) => ({ ...packet, fromPort: 40_000, seed })).size, 1);
    assert.equal(tally(simulator, 400, (seed) => ({ ...packet, fromPort: 40_000 + seed, seed: 1 })).size, 10);
    assert.equal(
      tally(simulator, 400, (seed) => ({ ...packet, seed })).size,
      10,
      'the port comes from the seed',
    );
  });

  it('maglev: nodes agree, whatever the order in which they were told', async () => {
    const spec = web({ frontends: frontend, backends: numbered(10), algorithm: 'maglev' });
    const options = { externalClusterIP: true };
    const one = await open([spec], options);
    const other = await open([{ ...spec, backends: [...spec.backends].reverse() }], options);
    const packet = { from: addresses[4].client, to: addresses[4].clusterIP, port: 80, device: 'eth0' };
    for (let fromPort = 1000; fromPort < 1200; fromPort++) {
      assert.equal(
        one.simulate({ ...packet, fromPort }).backend,
        other.simulate({ ...packet, fromPort }).backend,
      );
    }
  });
});

describe('simulator: candidates', () => {
  const told = async (backends: BackendSpec[], changes = {}) => {
    const spec = web({ frontends: [...web().frontends], backends, ...changes });
    return (await open([spec])).simulate({ ...socket, seed: 1 });
  };

  it('excludes what takes no new connections, each for its reason', async () => {
    const { candidates, excluded } = await told([
      { address: '10.0.0.1', port: 80 },
      { address: '10.0.0.2', port: 80, state: 'terminating' },
      { address: '10.0.0.3', port: 80, state: 'quarantined' },
      { address: '10.0.0.4', port: 80, state: 'maintenance' },
      { address: '10.0.0.5', port: 80, weight: 0 },
      { address: '10.0.0.6', port: 80, clusterWide: false },
      { address: 'fd00::1', port: 80 },
      { address: '10.0.0.1', port: 81 },
    ]);
    assert.deepEqual([...candidates].sort(), ['10.0.0.1:80', '10.0.0.1:81']);
    assert.deepEqual(excluded, [
      { backend: '10.0.0.2:80', reason: 'terminating' },
      { backend: '10.0.0.3:80', reason: 'quarantined' },
      { backend: '10.0.0.4:80', reason: 'maintenance' },
      { backend: '10.0.0.5:80', reason: 'weight-zero' },
      { backend: '10.0.0.6:80', reason: 'left-to-other-nodes' },
      { backend: '[fd00::1]:80', reason: 'other-family' },
    ]);
  });

  it('policy Local excludes the backends of other nodes', async () => {
    const { candidates, excluded } = await told(
      [
        { address: '10.0.0.1', port: 80, local: true, clusterWide: false },
        { address: '10.0.0.2', port: 80 },
        { address: '10.0.0.3', port: 80, state: 'terminating', local: true },
      ],
      { internalTrafficPolicy: 'Local' },
    );
    assert.deepEqual(candidates, ['10.0.0.1:80']);
    assert.deepEqual(excluded, [
      { backend: '10.0.0.2:80', reason: 'not-local' },
      { backend: '10.0.0.3:80', reason: 'terminating' },
    ]);
  });

  it('terminating backends are the last resort', async () => {
    const { candidates, excluded } = await told([
      { address: '10.0.0.1', port: 80, state: 'terminating' },
      { address: '10.0.0.2', port: 80, state: 'quarantined' },
    ]);
    assert.deepEqual(candidates, ['10.0.0.1:80']);
    assert.deepEqual(excluded, [{ backend: '10.0.0.2:80', reason: 'quarantined' }]);
  });

  it('tells them also where there is none to choose', async () => {
    const none = await told([{ address: '10.0.0.1', port: 80, state: 'maintenance' }]);
    assert.equal(none.reason, 'no-backend');
    assert.deepEqual(none.excluded, [{ backend: '10.0.0.1:80', reason: 'maintenance' }]);
    const elsewhere = await told([{ address: '10.0.0.1', port: 80 }], { internalTrafficPolicy: 'Local' });
    assert.equal(elsewhere.reason, 'no-local-backend');
    assert.deepEqual(elsewhere.excluded, [{ backend: '10.0.0.1:80', reason: 'not-local' }]);
  });

  it('follows a change of the service', async () => {
    const simulator = await open([web({ frontends: frontend, backends: numbered(2) })]);
    assert.equal(simulator.simulate(socket).candidates.length, 2);
    simulator.upsertService(web({ frontends: frontend, backends: numbered(3) }));
    assert.equal(simulator.simulate(socket).candidates.length, 3);
  });
});
