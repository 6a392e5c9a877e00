import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { OpenOptions, ServiceSpec } from '../../lib';
import type { NodeFunctions } from '../support/cluster/agent';
import { cgroupMount } from '../support/cluster/cgroup';
import { openLoadBalancer, type RemoteLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import { useTwoNodes } from '../support/cluster/suite';
import { programsAtCgroup } from './kernel';
import { assertBalanced, backendsOf } from './ways';

const clusterIP = { address: '10.96.0.1', port: 80 };
const nodePort = 30080;

describe('errors', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  const web = (): ServiceSpec => ({
    name: 'web',
    frontends: [
      { type: 'ClusterIP', ...clusterIP },
      { type: 'NodePort', port: nodePort },
    ],
    backends: backendsOf(cluster.pods, cluster.nodes[0], 4),
  });

  const other: ServiceSpec = {
    name: 'other',
    frontends: [{ type: 'ClusterIP', address: '10.96.0.2', port: 80 }],
    backends: [{ address: '10.244.1.11', port: 8080 }],
  };

  async function assertServed(): Promise<void> {
    for (const host of [cluster.nodes[0], cluster.nodes[0].pods[0]]) {
      assertBalanced(await (await host.peer()).tcp(clusterIP), clusterIP, cluster.pods);
    }
    const outside = { address: cluster.nodes[0].addresses[4], port: nodePort };
    assertBalanced(await (await cluster.client.peer()).tcp(outside), outside, cluster.pods);
  }

  /** The call fails as it is to, and all is as it was before. */
  async function assertFails(call: () => Promise<unknown>, error: object): Promise<void> {
    const [services, devices] = [await lb.formatServices(), await lb.devices()];
    const { tables } = await lb.metrics();
    await assert.rejects(call(), error);
    assert.equal(await lb.formatServices(), services);
    assert.deepEqual(await lb.devices(), devices);
    assert.deepEqual((await lb.metrics()).tables, tables);
    await assertServed();
  }

  describe('of services', () => {
    before(async () => {
      lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0], { devices: ['eth0'] });
      await lb.upsertService(web());
    });

    after(() => lb.close());

    const frontend = { type: 'ClusterIP', address: '10.96.0.9', port: 80 } as const;
    const backend = { address: '10.244.1.11', port: 8080 };
    const cases: [title: string, code: string, changes: object][] = [
      [
        'a malformed address',
        'ERR_BPF_INVALID_ADDRESS',
        { frontends: [{ ...frontend, address: '10.96.0' }] },
      ],
      ['a malformed backend', 'ERR_BPF_INVALID_ADDRESS', { backends: [{ ...backend, address: 'pod1' }] }],
      ['port 0', 'ERR_BPF_INVALID_PORT', { frontends: [{ ...frontend, port: 0 }] }],
      ['port 70000', 'ERR_BPF_INVALID_PORT', { backends: [{ ...backend, port: 70000 }] }],
      ['an unknown protocol', 'ERR_BPF_INVALID_PROTOCOL', { frontends: [{ ...frontend, protocol: 'DCCP' }] }],
      ['mixed families', 'ERR_BPF_MIXED_FAMILIES', { backends: [{ ...backend, address: 'fd00:244:1::11' }] }],
      ['an empty name', 'ERR_BPF_INVALID_NAME', { name: '' }],
      ['a name of an internal service', 'ERR_BPF_INVALID_NAME', { name: '\0canary' }],
      ['no frontend', 'ERR_BPF_INVALID_FRONTEND', { frontends: [] }],
      [
        'a NodePort among the source ports of SNAT',
        'ERR_BPF_INVALID_PORT',
        { frontends: [{ type: 'NodePort', port: 65000 }] },
      ],
      [
        "another service's frontend",
        'ERR_BPF_DUPLICATE_FRONTEND',
        { frontends: [frontend, { ...frontend, ...clusterIP }] },
      ],
      [
        "another service's NodePort",
        'ERR_BPF_DUPLICATE_FRONTEND',
        { frontends: [{ type: 'NodePort', port: nodePort }] },
      ],
    ];

    for (const [title, code, changes] of cases) {
      const spec = { name: 'wrong', frontends: [frontend], backends: [backend], ...changes } as ServiceSpec;

      it(`${title}: a new service is not made`, async () => {
        await assertFails(() => lb.upsertService(spec), { name: 'LoadBalancerError', code });
      });

      it(`${title}: apply() says so, and leaves the others as they are to be`, async () => {
        await assertFails(() => lb.apply([spec, web()]), { code: 'ERR_BPF_APPLY' });
      });
    }

    it('a change of an existing service that is wrong leaves it as it is', async () => {
      await assertFails(() => lb.upsertService({ ...web(), backends: [{ address: '10.0.0.1', port: 0 }] }), {
        code: 'ERR_BPF_INVALID_PORT',
      });
    });

    it('two services of one name in apply() stay as they are; of two with one frontend, the one that has it does', async () => {
      const code = 'ERR_BPF_APPLY';
      await assertFails(() => lb.apply([web(), { ...web(), backends: [] }]), {
        code,
      });
      await assertFails(() => lb.apply([{ ...web(), name: 'other', backends: [] }, web()]), {
        code,
        message: /web and other/,
      });
    });

    it('of calls in one tick, only those fail that are wrong', async () => {
      const wrong = { ...other, name: 'wrong', frontends: [{ type: 'ClusterIP' as const, ...clusterIP }] };
      await assert.rejects(lb.upsertServices([other, wrong]), { code: 'ERR_BPF_DUPLICATE_FRONTEND' });
      const peer = await cluster.nodes[0].peer();
      const to = { address: '10.96.0.2', port: 80 };
      assertBalanced(await peer.tcp(to), to, cluster.pods);
      assert.equal(await lb.deleteService('other'), true);
      await assertServed();
    });
  });

  describe('of full tables', () => {
    beforeEach(async () => {
      const capacity = { ...smallCapacity, frontends: 4, backends: 8 };
      lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { devices: ['eth0'], capacity });
      await lb.upsertService(web());
    });

    const frontends = (count: number) =>
      Array.from({ length: count }, (_, i) => ({
        type: 'ClusterIP' as const,
        address: `10.96.1.${i + 1}`,
        port: 80,
      }));
    const backends = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ address: `10.244.1.${i + 1}`, port: 8080 }));

    it('frontends', async () => {
      const error = { name: 'MapFullError', code: 'ERR_BPF_MAP_FULL', map: 'services4', have: 4 };
      const many = { name: 'many', frontends: frontends(3), backends: [] };
      await assertFails(() => lb.upsertService(many), { ...error, need: 5 });
      await assertFails(() => lb.apply([web(), many]), {
        code: 'ERR_BPF_APPLY',
      });
      await lb.upsertService({ ...many, frontends: frontends(2) });
      await assertServed();
    });

    it('backends', async () => {
      const error = { name: 'MapFullError', code: 'ERR_BPF_MAP_FULL', map: 'backends', have: 8 };
      const many = { name: 'many', frontends: frontends(1), backends: backends(5) };
      await assertFails(() => lb.upsertService(many), { ...error, need: 9 });
      await assertFails(() => lb.apply([web(), many]), {
        code: 'ERR_BPF_APPLY',
      });
      await lb.upsertService({ ...many, backends: backends(4) });
      await assertServed();
      const to = { address: '10.96.1.1', port: 80 };
      const peer = await cluster.nodes[0].peer();
      await assert.rejects(peer.tcp({ ...to, address: '10.96.1.2' }), { code: 'ENETUNREACH' });
    });

    it('a full table is changed again and again without getting fuller', async () => {
      const spare = { name: 'spare', frontends: frontends(1), backends: backends(2) };
      await lb.upsertService(spare);
      for (let i = 0; i < 50; i++) {
        await lb.upsertService({ ...spare, backends: backends(1 + (i % 2)) });
        if (i % 10 === 0) await assertServed();
      }
      await lb.deleteService('spare');
      assert.equal((await lb.metrics()).tables.services4.used, 2);
    });
  });

  describe('of devices', () => {
    it('open() with a device that is missing attaches nothing', async () => {
      const { cleanupEach, nodes } = cluster;
      await assert.rejects(openLoadBalancer(cleanupEach, nodes[0], { devices: ['eth0', 'eth9'] }), {
        name: 'LoadBalancerError',
        code: 'ERR_BPF_NO_DEVICE',
        message: /eth9/,
      });
      assert.deepEqual(programsAtCgroup(nodes[0].cgroup), []);
    });

    it('selectDevices() with a device that is missing changes nothing', async () => {
      lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { devices: ['eth0'] });
      await lb.upsertService(web());
      await assertFails(() => lb.selectDevices(['lxc1', 'eth9']), { code: 'ERR_BPF_NO_DEVICE' });
      await assertFails(() => lb.selectDevices(['lo']), { code: 'ERR_BPF_NO_DEVICE' });
      await assertFails(() => lb.selectDevices(['not a name']), { code: 'ERR_BPF_INVALID_OPTION' });
      // Without an argument the devices are looked at again that were selected last with success.
      assert.deepEqual(
        (await lb.selectDevices()).map(({ name }) => name),
        ['eth0'],
      );
      await assertServed();
    });
  });

  describe('of open()', () => {
    let agent: Awaited<ReturnType<(typeof cluster.nodes)[0]['agent']>>;

    before(async () => {
      agent = await cluster.nodes[0].agent();
    });

    it('a wrong option', async () => {
      for (const options of [
        { capacity: { frontends: 0 } },
        { devices: 'eth0' },
        { cgroup: 'relative' },
        { snatPorts: [1] },
        { flowLifetimes: { opening: 'long' } },
      ] as unknown as OpenOptions[]) {
        await assert.rejects(agent.open(options), {
          name: 'LoadBalancerError',
          code: 'ERR_BPF_INVALID_OPTION',
        });
      }
    });

    it('a cgroup that is none', async () => {
      const code = 'ERR_BPF_NO_CGROUP2';
      for (const cgroup of ['/nonexistent', '/proc', '/tmp', path.join(cgroupMount() ?? '', 'nonexistent')]) {
        await assert.rejects(agent.open({ cgroup }), {
          name: 'LoadBalancerError',
          code,
          message: new RegExp(cgroup),
        });
      }
    });

    it('a file of cgroup v2 instead of a directory', async () => {
      const cgroup = path.join(cluster.nodes[0].cgroup, 'cgroup.procs');
      await assert.rejects(agent.open({ cgroup, capacity: smallCapacity }), {
        name: 'KernelError',
        code: 'ERR_BPF_SYSCALL',
      });
    });

    it('a state directory that is a file', async () => {
      const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-test-'));
      cluster.cleanupEach.add(() => rmSync(directory, { recursive: true }));
      const file = path.join(directory, 'file');
      writeFileSync(file, '');
      const { cgroup } = cluster.nodes[0];
      for (const stateDir of [file, path.join(file, 'below')]) {
        await assert.rejects(agent.open({ cgroup, capacity: smallCapacity, stateDir }), {
          name: 'KernelError',
          code: 'ERR_BPF_SYSCALL',
          syscall: 'mkdir',
          message: new RegExp(stateDir),
        });
      }
      assert.deepEqual(programsAtCgroup(cgroup), []);
    });

    it('no cgroup v2 is mounted', async () => {
      const { namespace } = cluster.nodes[0];
      const unmounted = ['unshare', '--mount', 'sh', '-c', 'umount "$0" && exec "$@"', cgroupMount() ?? ''];
      const blind = await start<NodeFunctions>(
        cluster.cleanup,
        { namespace, through: unmounted },
        'agent.ts',
      );
      await assert.rejects(blind.open({ capacity: smallCapacity }), {
        name: 'LoadBalancerError',
        code: 'ERR_BPF_NO_CGROUP2',
        message: /mount -t cgroup2/,
      });
    });

    it('no permission', async () => {
      const { namespace, cgroup } = cluster.nodes[0];
      const through = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
      const powerless = await start<NodeFunctions>(cluster.cleanup, { namespace, through }, 'agent.ts');
      await assert.rejects(
        powerless.open({ cgroup, capacity: smallCapacity }),
        (error: NodeJS.ErrnoException) => {
          const { name, code, errno, syscall, message } = error;
          assert.deepEqual(
            { name, code, errno },
            { name: 'KernelError', code: 'ERR_BPF_PERMISSION', errno: -1 },
          );
          assert.equal(typeof syscall, 'string');
          assert.match(message, /The process lacks CAP_BPF and/);
          return true;
        },
      );
    });
  });

  it('after close() every call says so', async () => {
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0]);
    await lb.upsertService(web());
    await lb.close();
    await lb.close();
    for (const call of [
      () => lb.upsertService(web()),
      () => lb.deleteService('web'),
      () => lb.apply([]),
      () => lb.plan([]),
      () => lb.selectDevices(),
      () => lb.exposure(),
      () => lb.status(),
      () => lb.verify(),
      () => lb.metrics(),
    ]) {
      await assert.rejects(call(), { name: 'LoadBalancerError', code: 'ERR_BPF_CLOSED' });
    }
  });
});
