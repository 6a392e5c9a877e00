import assert from 'node:assert/strict';
import { statSync } from 'node:fs';

import { findCgroup } from '../../lib/cgroup';
import { loadNative } from '../../lib/native';
import { socketPrograms } from '../../lib/programs';
import type { NodeFunctions } from '../support/cluster/agent';
import { cgroupMount, makeCgroup } from '../support/cluster/cgroup';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { Namespace } from '../support/cluster/namespace';
import type { PeerFunctions } from '../support/cluster/peer';
import { start } from '../support/cluster/process';
import { useTwoNodes } from '../support/cluster/suite';
import { programsAtCgroup } from './kernel';
import { ask, assertBalanced, backendsOf, both, ways } from './ways';

const programs = Object.keys(socketPrograms).sort();

describe('socket layer: attachment', () => {
  const cluster = useTwoNodes();

  async function serveWeb(lb: RemoteLoadBalancer, address = '10.96.0.1', name = 'web'): Promise<void> {
    await lb.upsertService({
      name,
      frontends: both({ type: 'ClusterIP', address, port: 80 }),
      backends: backendsOf(cluster.pods, cluster.nodes[0], address.includes(':') ? 6 : 4),
    });
  }

  async function assertServed(address: string): Promise<void> {
    for (const host of [cluster.nodes[0], cluster.nodes[0].pods[0]]) {
      for (const way of ways) {
        const to = { address, port: 80 };
        assertBalanced(await ask(await host.peer(), way, to), to, cluster.pods);
      }
    }
  }

  async function assertUntouched(address: string): Promise<void> {
    // Nobody has these addresses, and the node knows no way to them.
    const asked = (await cluster.nodes[0].peer()).tcp({ address, port: 80 });
    await assert.rejects(asked, { code: 'ENETUNREACH' });
  }

  it('every program is on its hook, and a canary has shown that they work', async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node);
    assert.deepEqual(programsAtCgroup(node.cgroup), programs);
    const { enabled, socketLB } = await lb.status();
    assert.equal(enabled, true);
    assert.deepEqual(socketLB, {
      enabled: true,
      tracing: false,
      coverage: 'Full',
      cgroup: node.cgroup,
      lost: [],
      failure: undefined,
      others: [],
      exceptionsLost: [],
      verified: { ipv4: 'verified', ipv6: 'verified' },
    });
    assert.match(await lb.formatStatus(), /^ {2}Socket LB: +Enabled$/m);
  });

  it('close() takes all programs off, and sockets are left alone again', async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node);
    await serveWeb(lb);
    await assertServed('10.96.0.1');
    await lb.close();
    assert.deepEqual(programsAtCgroup(node.cgroup), []);
    await assertUntouched('10.96.0.1');
  });

  it('a canary finds IPv6 unavailable where the loopback device has no IPv6', async () => {
    const namespace = Namespace.make(cluster.cleanup, 'no-ipv6');
    namespace.sysctl({ 'ipv6/conf/lo/disable_ipv6': 1 });
    const agent = await start<NodeFunctions>(cluster.cleanup, { namespace }, 'agent.ts');
    const id = await agent.open({ cgroup: makeCgroup(cluster.cleanup, 'no-ipv6') });
    const { socketLB } = await agent.status(id);
    assert.deepEqual(socketLB.verified, { ipv4: 'verified', ipv6: 'unavailable' });
    assert.equal(socketLB.enabled, true);
    await agent.close(id);
  });

  it('socketLB: false leaves sockets alone and says so', async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node, { socketLB: false });
    await serveWeb(lb);
    assert.deepEqual(programsAtCgroup(node.cgroup), []);
    await assertUntouched('10.96.0.1');
    const { enabled, socketLB } = await lb.status();
    assert.equal(enabled, false);
    assert.equal(socketLB.enabled, false);
    assert.deepEqual(socketLB.verified, { ipv4: 'off', ipv6: 'off' });
    assert.equal(socketLB.cgroup, undefined);
  });

  it('covers processes in cgroups below the one that is given, and no others', async () => {
    const { cleanup, cleanupEach, nodes } = cluster;
    const outer = makeCgroup(cleanup, 'outer');
    const inner = makeCgroup(cleanup, 'inner', outer);
    const place = { namespace: nodes[0].namespace, cgroup: inner };
    const inside = await start<PeerFunctions>(cleanup, place, 'peer.ts');
    const lb = await openLoadBalancer(cleanupEach, nodes[0], { cgroup: outer });
    await serveWeb(lb);
    const to = { address: '10.96.0.1', port: 80 };
    for (const way of ways) assertBalanced(await ask(inside, way, to), to, cluster.pods);
    await assertUntouched('10.96.0.1');
  });

  it('several LoadBalancers in one process serve side by side', async () => {
    const { cleanupEach, nodes } = cluster;
    const one = await openLoadBalancer(cleanupEach, nodes[0]);
    const two = await openLoadBalancer(cleanupEach, nodes[0]);
    await serveWeb(one, '10.96.0.1');
    await serveWeb(two, '10.96.0.2');
    await serveWeb(two, 'fd00:96::2', 'web6');
    assert.equal(programsAtCgroup(nodes[0].cgroup).length, 2 * programs.length);
    for (const address of ['10.96.0.1', '10.96.0.2', 'fd00:96::2']) await assertServed(address);
    await one.close();
    assert.deepEqual(programsAtCgroup(nodes[0].cgroup), programs);
    await assertUntouched('10.96.0.1');
    for (const address of ['10.96.0.2', 'fd00:96::2']) await assertServed(address);
    assert.equal((await two.verify()).socketLB.enabled, true);
  });

  it('a LoadBalancer in a worker thread serves beside one in the main thread', async () => {
    const { cleanupEach, nodes } = cluster;
    const main = await openLoadBalancer(cleanupEach, nodes[0]);
    const worker = await openLoadBalancer(cleanupEach, nodes[0], {}, true);
    await serveWeb(main, '10.96.0.1');
    await serveWeb(worker, '10.96.0.2');
    assert.equal((await worker.status()).socketLB.enabled, true);
    for (const address of ['10.96.0.1', '10.96.0.2']) await assertServed(address);
    await main.close();
    await assertServed('10.96.0.2');
    await worker.close();
    await assertUntouched('10.96.0.2');
  });

  it('the cgroup v2 hierarchy is found wherever it is mounted', async () => {
    const found = await findCgroup(loadNative(), undefined);
    // Where this machine has it, beside v1 controllers or not. Nothing is attached there.
    assert.equal(found, cgroupMount());
    assert.ok(statSync(found).isDirectory());
  });
});
