import assert from 'node:assert/strict';

import { maglevTable } from '../../lib/maglev';
import type { BackendSpec, ServiceSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import type { Sent } from './bulk';
import { below, clientHash } from './client-hash';
import { families } from './families';
import { Harness, verdicts } from './harness';
import type { Packet } from './packets';
import { passed, requests, Traffic } from './traffic';

const remote = (last: number, changes: Partial<BackendSpec> = {}): BackendSpec => ({
  address: `10.244.2.${last}`,
  port: 8080,
  ...changes,
});
const local = (last: number, changes: Partial<BackendSpec> = {}): BackendSpec => ({
  address: `10.244.1.${last}`,
  port: 8080,
  local: true,
  ...changes,
});
const many = (count: number) => Array.from({ length: count }, (_, i) => remote(i + 2));

function service(backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name: 'web',
    frontends: (['TCP', 'UDP'] as const).map((protocol) => ({ type: 'NodePort', port: 30001, protocol })),
    backends,
    ...more,
  };
}

/** How often each backend was chosen, by address. */
function countsOf(sent: readonly Sent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { destination } of sent) counts.set(destination, (counts.get(destination) ?? 0) + 1);
  return counts;
}

/** Pearson's statistic for counts that should be in proportion to the weights. */
function chiSquare(counts: ReadonlyMap<string, number>, weights: Readonly<Record<string, number>>): number {
  const total = Object.values(weights).reduce((a, b) => a + b, 0);
  const n = [...counts.values()].reduce((a, b) => a + b, 0);
  return Object.entries(weights).reduce((sum, [address, weight]) => {
    const expected = (n * weight) / total;
    return sum + ((counts.get(address) ?? 0) - expected) ** 2 / expected;
  }, 0);
}

describe('program: choosing a backend', function () {
  let harness: Harness;
  let traffic: Traffic;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ capacity: { flows: 262_144 }, externalClusterIP: true });
    traffic = new Traffic(harness);
  });

  after(() => harness?.close());

  /** Tuples that no test has used. */
  let lastClient = 0;
  function fresh(count: number, changes: Partial<Packet> = {}): Packet[] {
    const source = `203.0.113.${10 + (lastClient++ % 200)}`;
    return requests(count, { source, sourcePort: 1024 + 8000 * Math.floor(lastClient / 200), ...changes });
  }

  describe('random', () => {
    it('gives each backend the same share', async () => {
      await harness.call('put', service(many(5)));
      const counts = countsOf(passed(await traffic.send(fresh(6000))));
      const chi = chiSquare(counts, Object.fromEntries(many(5).map(({ address }) => [address, 1])));
      /* Four degrees of freedom: above 46.9 with a probability of 1e-9. */
      assert.ok(chi < 46.9, `chi-square ${chi}`);
    });

    it('gives each backend its weight’s share, and none to a weight of zero', async () => {
      const weights = [1, 2, 3, 10];
      const backends = [...weights, 0].map((weight, i) => remote(i + 2, { weight }));
      await harness.call('put', service(backends));
      const counts = countsOf(passed(await traffic.send(fresh(8000))));
      const wanted = Object.fromEntries(weights.map((weight, i) => [`10.244.2.${i + 2}`, weight]));
      assert.deepEqual(new Set(counts.keys()), new Set(Object.keys(wanted)));
      /* Three degrees of freedom: above 44.8 with a probability of 1e-9. */
      const chi = chiSquare(counts, wanted);
      assert.ok(chi < 44.8, `chi-square ${chi}`);
    });

    it('keeps weights in the list of policy Local', async () => {
      const backends = [remote(2, { weight: 50 }), local(3, { weight: 1 }), local(4, { weight: 4 })];
      await harness.call('put', service(backends, { externalTrafficPolicy: 'Local' }));
      const counts = countsOf(passed(await traffic.send(fresh(4000))));
      assert.deepEqual(new Set(counts.keys()), new Set(['10.244.1.3', '10.244.1.4']));
      /* One degree of freedom: above 37.3 with a probability of 1e-9. */
      const chi = chiSquare(counts, { '10.244.1.3': 1, '10.244.1.4': 4 });
      assert.ok(chi < 37.3, `chi-square ${chi}`);
    });
  });

  describe('Maglev', () => {
    /** The backend that a table of the library gives the client. */
    function expected(addresses: readonly string[], size: number, source: string, port: number): string {
      const ordered = [...addresses].sort();
      const table = maglevTable(
        ordered.map((id) => ({ id, weight: 1 })),
        size,
      );
      return ordered[table[below(clientHash(source, port), size)] as number] as string;
    }

    it('is what the table says for the hash of the client, IPv4', async () => {
      const backends = many(7);
      await harness.call('put', service(backends, { algorithm: 'maglev', maglevTableSize: 1021 }));
      const packets = fresh(500);
      const sent = passed(await traffic.send(packets));
      assert.equal(countsOf(sent).size, 7, 'spread over all');
      for (const [i, { source, sourcePort }] of packets.entries()) {
        const addresses = backends.map(({ address }) => address);
        assert.equal(sent[i]?.destination, expected(addresses, 1021, source, sourcePort));
      }
    });

    it('is what the table says for the hash of the client, IPv6', async () => {
      const backends = Array.from({ length: 7 }, (_, i) => ({ address: `fd00:2::${i + 2}`, port: 8080 }));
      await harness.call('put', service(backends, { algorithm: 'maglev', maglevTableSize: 509 }));
      const { client, node } = families.IPv6;
      const packets = requests(500, { source: client, destination: node });
      const sent = passed(await traffic.send(packets));
      assert.equal(countsOf(sent).size, 7, 'spread over all');
      for (const [i, { source, sourcePort }] of packets.entries()) {
        const addresses = backends.map(({ address }) => address);
        assert.equal(sent[i]?.destination, expected(addresses, 509, source, sourcePort));
      }
    });

    it('the same client tuple is given the same backend through two VIPs of one service', async () => {
      const vips = ['198.51.100.7', '198.51.100.8'];
      const frontends = vips.map((address) => ({ type: 'LoadBalancer' as const, address, port: 80 }));
      await harness.call('put', service(many(30), { frontends, algorithm: 'maglev' }));
      const packets = fresh(200);
      const [first, second] = await Promise.all(
        vips.map((destination) =>
          traffic.send(packets.map((packet) => ({ ...packet, destination, destinationPort: 80 }))),
        ),
      );
      assert.ok(first && second && countsOf(passed(first)).size > 15);
      assert.deepEqual(
        passed(second).map(({ destination }) => destination),
        first.map(({ destination }) => destination),
      );
    });

    it('two services on the same pods give the same client the same pod', async () => {
      const other = many(30).map((backend) => ({ ...backend, port: 9090 }));
      const frontends = [{ type: 'NodePort' as const, port: 30002 }];
      await harness.call('put', service(many(30), { algorithm: 'maglev' }));
      await harness.call('put', service(other.reverse(), { name: 'other', frontends, algorithm: 'maglev' }));
      const packets = fresh(200);
      const first = passed(await traffic.send(packets));
      const second = passed(await traffic.send(packets.map((p) => ({ ...p, destinationPort: 30002 }))));
      await harness.call('remove', 'other');
      assert.deepEqual(
        second.map(({ destination, destinationPort }) => [destination, destinationPort]),
        first.map(({ destination }) => [destination, 9090]),
      );
    });

    it('few clients of other backends go elsewhere when one goes, and weights count', async () => {
      const backends = many(20).map((backend, i) => ({ ...backend, weight: i === 0 ? 5 : 1 }));
      const maglev = { algorithm: 'maglev' as const, maglevTableSize: 16_381 };
      await harness.call('put', service(backends, maglev));
      const packets = fresh(4000);
      const before = passed(await traffic.send(packets));
      const share = (countsOf(before).get('10.244.2.2') ?? 0) / packets.length;
      /* Five of 24 shares, four standard deviations of 4,000 draws and what the table is off by. */
      assert.ok(Math.abs(share - 5 / 24) < 0.03, `a weight of 5 in 24 has ${share} of the clients`);
      await harness.call('put', service(backends.slice(0, -1), maglev));
      await harness.call('discard', await harness.call('entries', '4'));
      const after = passed(await traffic.send(packets));
      const gone = backends.at(-1)?.address;
      const others = before.filter(({ destination }) => destination !== gone).length;
      const moved = before.filter(
        ({ destination }, i) => destination !== gone && destination !== after[i]?.destination,
      ).length;
      assert.ok(moved / others < 0.05, `${moved} of ${others} clients moved`);
      assert.equal(countsOf(after).get(gone as string), undefined);
    });

    it('with session affinity, 2 clients with 3 source ports each stay where their address leads', async () => {
      const backends = many(25);
      const sticky = { algorithm: 'maglev', maglevTableSize: 1021, sessionAffinity: 'ClientIP' } as const;
      await harness.call('put', service(backends, sticky));
      for (const source of ['203.0.113.220', '203.0.113.221']) {
        const sent = passed(await traffic.send(requests(3, { source, sourcePort: 5000 })));
        const addresses = backends.map(({ address }) => address);
        assert.deepEqual([...countsOf(sent)], [[expected(addresses, 1021, source, 0), 3]]);
      }
    });
  });

  describe('backends that are not active', () => {
    for (const state of ['quarantined', 'maintenance', 'terminating'] as const) {
      it(`${state}: is given nothing while others are active; established flows go on`, async () => {
        await harness.call('put', service([remote(2)]));
        const established = fresh(20);
        const sent = await traffic.connect(established);
        await harness.call('put', service([remote(2, { state }), remote(3), remote(4)]));
        const counts = countsOf(passed(await traffic.send(fresh(200))));
        assert.deepEqual(new Set(counts.keys()), new Set(['10.244.2.3', '10.244.2.4']));
        assert.deepEqual(passed(await traffic.send(established, 'PA')), sent);
        assert.equal(passed(await traffic.answer(sent, 'A')).length, 20);
      });
    }

    it('terminating backends serve when no active one is left (KEP-1669); the others never', async () => {
      const rest = [remote(3, { state: 'quarantined' }), remote(4, { state: 'maintenance' })];
      await harness.call('put', service([remote(2, { state: 'terminating' }), ...rest]));
      assert.deepEqual([...countsOf(passed(await traffic.send(fresh(50))))], [['10.244.2.2', 50]]);
      await harness.call('put', service(rest));
      const [refused] = await traffic.send(fresh(1));
      assert.deepEqual([refused?.retval, refused?.source], [verdicts.redirect, families.IPv4.node]);
    });

    it('each list falls back by itself: policy Local uses terminating backends while others are active elsewhere', async () => {
      const backends = [remote(2), local(3, { state: 'terminating' })];
      await harness.call('put', service(backends));
      assert.deepEqual([...countsOf(passed(await traffic.send(fresh(50))))], [['10.244.2.2', 50]]);
      await harness.call('put', service(backends, { externalTrafficPolicy: 'Local' }));
      assert.deepEqual([...countsOf(passed(await traffic.send(fresh(50))))], [['10.244.1.3', 50]]);
    });
  });
});
