import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { ServiceSpec } from '../../lib';
import { openLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { ask, assertBalanced, backendsOf, both, families, ways } from './ways';

describe('tables that grow', () => {
  const cluster = useTwoNodes();
  const clusterIP = { 4: { address: '10.96.0.1', port: 80 }, 6: { address: 'fd00:96::1', port: 80 } };
  const nodePort = 30080;
  const capacity = {
    frontends: 8,
    backends: 64,
    flows: 16_384,
    sockets: 1024,
    maglevSlots: 2048,
    sourceRanges: 2,
  };
  const maxCapacity = { frontends: 100, backends: 2000, maglevSlots: 40_000, sourceRanges: 20 };

  const web = (): ServiceSpec => ({
    name: 'web',
    frontends: [
      ...families.flatMap((family) => both({ type: 'ClusterIP', ...clusterIP[family] })),
      ...both({ type: 'NodePort', port: nodePort }),
    ],
    backends: backendsOf(cluster.pods, cluster.nodes[0]),
  });

  const service = (i: number, rest: Partial<ServiceSpec> = {}): ServiceSpec => ({
    name: `service ${i}`,
    frontends: [{ type: 'LoadBalancer', address: `192.0.2.${i + 1}`, port: 443 }],
    backends: [],
    ...rest,
  });

  const backends = Array.from({ length: 30 }, (_, i) => ({ address: `10.250.0.${i + 1}`, port: 80 }));

  async function assertServed(): Promise<void> {
    for (const family of families) {
      const outside = { address: cluster.nodes[0].addresses[family], port: nodePort };
      for (const way of ways) {
        const pod = await cluster.nodes[0].pods[0].peer();
        assertBalanced(await ask(pod, way, clusterIP[family]), clusterIP[family], cluster.pods);
        assertBalanced(await ask(await cluster.client.peer(), way, outside), outside, cluster.pods);
      }
    }
  }

  async function connectAll() {
    const [pod, client] = await Promise.all([cluster.nodes[0].pods[0].peer(), cluster.client.peer()]);
    const places = families.flatMap((family) => [
      { peer: pod, to: clusterIP[family] },
      { peer: client, to: { address: cluster.nodes[0].addresses[family], port: nodePort } },
    ]);
    const made = await Promise.all(
      places.map(async ({ peer, to }) => ({ peer, to, id: (await peer.open(to)).id })),
    );
    cluster.cleanupEach.add(async () => {
      for (const { peer, id } of made) await peer.dropConnection(id, true);
    });
    return async () => {
      for (const { peer, to, id } of made) {
        assert.equal(await peer.echo(id, 'still here'), 'still here');
        assert.deepEqual(await peer.peerName(id), to);
      }
    };
  }

  const cases: Record<string, { specs: () => ServiceSpec[]; table: string; option: string }> = {
    'for frontends': {
      specs: () => Array.from({ length: 60 }, (_, i) => service(i)),
      table: 'services4',
      option: 'frontends',
    },
    'for backends': {
      specs: () => Array.from({ length: 4 }, (_, i) => service(i, { backends })),
      table: 'backends',
      option: 'backends',
    },
    'for Maglev tables': {
      specs: () =>
        Array.from({ length: 4 }, (_, i) =>
          service(i, { backends: backends.slice(i), algorithm: 'maglev', maglevTableSize: 4099 }),
        ),
      table: 'maglev',
      option: 'maglevSlots',
    },
    'for source ranges': {
      specs: () =>
        Array.from({ length: 4 }, (_, i) => service(i, { sourceRanges: ['10.0.0.0/8', `172.16.${i}.0/24`] })),
      table: 'ranges4',
      option: 'sourceRanges',
    },
  };

  it(`${Object.keys(cases).join(', ')}: everything fits, and no connection is lost`, async () => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      capacity,
      maxCapacity,
      devices: ['eth0'],
    });
    await lb.upsertService(web());
    const listing = await lb.formatServices();
    const assertAlive = await connectAll();
    for (const { specs } of Object.values(cases)) {
      await lb.upsertServices(specs());
      await assertAlive();
    }
    await assertServed();
    const listed = await lb.formatServices();
    for (const line of listing.split('\n')) assert.ok(listed.includes(line.trim()), line);
    assert.equal((await lb.status()).enabled, true);
    assert.ok((await lb.devices()).every(({ programs }) => programs.every(({ attached }) => attached)));
    await lb.deleteService('web');
    await assert.rejects(ask(await cluster.nodes[0].pods[0].peer(), 'TCP', clusterIP[4], 2000));
  });

  it('not without leave', async () => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { capacity });
    for (const { specs, table, option } of Object.values(cases)) {
      await assert.rejects(lb.apply(specs()), {
        code: 'ERR_BPF_APPLY',
        message: new RegExp(`table ${table} .* capacity.${option},`),
      });
      await lb.apply([]);
    }
  });

  it('not beyond the maximum; what was there serves on', async () => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      capacity,
      maxCapacity: { frontends: 20 },
      devices: ['eth0'],
    });
    await lb.upsertService(web());
    await assert.rejects(lb.upsertServices(Array.from({ length: 60 }, (_, i) => service(i))), {
      code: 'ERR_BPF_MAP_FULL',
      have: 20,
    });
    await assertServed();
  });

  it('stay as large for the LoadBalancer that comes next', async () => {
    const stateDir = mkdtempSync(path.join(tmpdir(), 'bpf-lb-grown-'));
    cluster.cleanupEach.add(() => {
      execFileSync('umount', [stateDir]);
      rmSync(stateDir, { recursive: true });
    });
    const options = { capacity, maxCapacity, stateDir, devices: ['eth0'] };
    const first = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], options);
    await first.upsertServices([web(), ...(cases['for frontends']?.specs() ?? [])]);
    const assertAlive = await connectAll();
    const listing = await first.formatServices();
    await first.close({ keep: true });
    await assertServed();
    const second = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], options);
    assert.equal(await second.formatServices(), listing);
    assert.ok(((await second.metrics()).tables['services4']?.capacity ?? 0) > 60);
    await assertServed();
    await assertAlive();
    await second.close();
    assert.deepEqual(
      readdirSync(stateDir).filter((name) => /^\d+$/.test(name)),
      [],
    );
  });
});
