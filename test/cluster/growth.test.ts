import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { ServiceSpec } from '../../lib';
import { openLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { ask } from './ways';
import { clusterIP, WebService } from './web-service';

describe('tables that grow', () => {
  const cluster = useTwoNodes();
  const web = new WebService(cluster);
  const capacity = {
    frontends: 8,
    backends: 64,
    flows: 16_384,
    sockets: 1024,
    maglevSlots: 2048,
    sourceRanges: 2,
  };
  const maxCapacity = { frontends: 100, backends: 2000, maglevSlots: 40_000, sourceRanges: 20 };

  const service = (i: number, rest: Partial<ServiceSpec> = {}): ServiceSpec => ({
    name: `service ${i}`,
    frontends: [{ type: 'LoadBalancer', address: `192.0.2.${i + 1}`, port: 443 }],
    backends: [],
    ...rest,
  });

  const backends = Array.from({ length: 30 }, (_, i) => ({ address: `10.250.0.${i + 1}`, port: 80 }));

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
    await lb.upsertService(web.spec());
    const listing = await lb.formatServices();
    const assertAlive = await web.connectAll();
    for (const { specs } of Object.values(cases)) {
      await lb.upsertServices(specs());
      await assertAlive();
    }
    await web.assertServed();
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
    await lb.upsertService(web.spec());
    await assert.rejects(lb.upsertServices(Array.from({ length: 60 }, (_, i) => service(i))), {
      code: 'ERR_BPF_MAP_FULL',
      have: 20,
    });
    await web.assertServed();
  });

  it('stay as large for the LoadBalancer that comes next', async () => {
    const stateDir = mkdtempSync(path.join(tmpdir(), 'bpf-lb-grown-'));
    cluster.cleanupEach.add(() => {
      execFileSync('umount', [stateDir]);
      rmSync(stateDir, { recursive: true });
    });
    const options = { capacity, maxCapacity, stateDir, devices: ['eth0'] };
    const first = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], options);
    await first.upsertServices([web.spec(), ...(cases['for frontends']?.specs() ?? [])]);
    const assertAlive = await web.connectAll();
    const listing = await first.formatServices();
    await first.close({ keep: true });
    await web.assertServed();
    const second = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], options);
    assert.equal(await second.formatServices(), listing);
    assert.ok(((await second.metrics()).tables['services4']?.capacity ?? 0) > 60);
    await web.assertServed();
    await assertAlive();
    await second.close();
    assert.deepEqual(
      readdirSync(stateDir).filter((name) => /^\d+$/.test(name)),
      [],
    );
  });
});
