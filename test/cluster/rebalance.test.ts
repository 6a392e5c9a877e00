import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';

import type { BackendSpec, ServiceSpec } from '../../lib';
import { formatEndpoint } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { backendsOf, both } from './ways';

const clusterIP: Endpoint = { address: '10.96.0.1', port: 80 };
const endpointOf = ({ address, port }: BackendSpec) => formatEndpoint(address, port);

/** Connections that last. */
const count = 40;

describe('rebalancing', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;
  let one: BackendSpec;
  let other: BackendSpec;

  beforeEach(async () => {
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0]);
    [one, other] = backendsOf(cluster.pods.slice(0, 2), cluster.nodes[0], 4) as [BackendSpec, BackendSpec];
  });

  const put = (backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}) =>
    lb.upsertService({
      name: 'web',
      frontends: both({ type: 'ClusterIP', ...clusterIP }),
      backends,
      ...more,
    });

  const sockets = async (): Promise<number[]> => {
    const counts = await lb.connections('web');
    return [one, other].map((backend) => counts.find((c) => c.backend === endpointOf(backend))?.sockets ?? 0);
  };

  /** Connections of the node and of a pod that are all on the first backend; the second one comes then. */
  async function crowd(more: Partial<ServiceSpec> = {}) {
    await put([one], more);
    const peers = await Promise.all([cluster.nodes[0], cluster.nodes[0].pods[1]].map((host) => host.peer()));
    const held = await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const peer = peers[i % peers.length] as (typeof peers)[number];
        const { id } = await peer.open(clusterIP);
        cluster.cleanupEach.add(() => peer.dropConnection(id).catch(() => undefined));
        return { peer, id };
      }),
    );
    await put([one, other], more);
    assert.deepEqual(await sockets(), [count, 0]);
    return held;
  }

  type Held = Awaited<ReturnType<typeof crowd>>[number];

  /** Those whose connection answers. */
  async function alive(held: readonly Held[]): Promise<Held[]> {
    const answers = await Promise.all(
      held.map(async (one) => {
        try {
          return (await one.peer.echo(one.id, 'still here')) === 'still here' ? [one] : [];
        } catch {
          return [];
        }
      }),
    );
    return answers.flat();
  }

  it('resets what is above the share until clients have come to others; the rest goes on', async () => {
    const held = await crowd();
    const { peer } = held[0] as Held;
    const direct = await peer.open({ address: one.address, port: one.port });
    const udp = await peer.connectUdp(clusterIP, { type: 'udp4' });
    cluster.cleanupEach.add(() => peer.closeUdp(udp));
    cluster.cleanupEach.add(() => peer.dropConnection(direct.id));
    const { server } = await peer.askUdp(udp, 1000);

    let done = false;
    const rebalanced = lb.rebalance('web', { maxPerSecond: 40, tolerance: 0.3 }).finally(() => (done = true));
    let first = held;
    const returned: Held[] = [];
    for (let last = false; !last;) {
      last = done;
      const living = new Set(await alive(first));
      for (const { peer } of first.filter((one) => !living.has(one))) {
        const { id } = await peer.open(clusterIP);
        cluster.cleanupEach.add(() => peer.dropConnection(id).catch(() => undefined));
        returned.push({ peer, id });
      }
      first = [...living];
      await setTimeout(20);
    }
    assert.ok(returned.length >= 14, 'none is moved without a reset');
    assert.deepEqual(await rebalanced, [{ backend: endpointOf(one), reset: returned.length }]);
    assert.deepEqual(await alive(returned), returned, 'no client is reset twice');
    assert.equal(await peer.echo(direct.id, 'still here'), 'still here');
    assert.equal((await peer.askUdp(udp, 1000)).server, server);
    await peer.closeUdp(udp);
    const [crowded = 0, joined = 0] = await sockets();
    assert.equal(crowded + joined, count);
    /* Three tenths more than its share are tolerated. In one of 50 runs too many clients come back to where they were. */
    assert.ok(crowded <= 26 || first.length === 0, `${crowded} and ${joined}`);
  });

  it('never takes more within a second than it may, and ends with its signal', async () => {
    await crowd();
    const began = performance.now();
    const rebalanced = assert.rejects(lb.rebalance('web', { maxPerSecond: 4, abort: 2200 }), {
      name: 'TimeoutError',
    });
    /* What is counted at a time was taken before the count had ended. */
    while (performance.now() < began + 2000) {
      const taken = count - ((await sockets())[0] as number);
      const seconds = Math.ceil((performance.now() - began) / 1000);
      assert.ok(taken <= 4 * seconds, `${taken} in ${seconds} s`);
    }
    await rebalanced;
    const after = await sockets();
    assert.ok((after[0] as number) < count, String(after));
    await setTimeout(600);
    assert.deepEqual(await sockets(), after);
  });

  it('counts by weight, and leaves backends alone that drain', async () => {
    const held = await crowd();
    await put([one, { ...other, weight: 3 }]);
    await lb.drain('web', endpointOf(one), { deadline: 0 });
    assert.deepEqual(await lb.rebalance('web', { maxPerSecond: 1000 }), []);
    await lb.undrain('web', endpointOf(one));
    assert.deepEqual(await lb.rebalance('web', { maxPerSecond: 1000 }), [
      { backend: endpointOf(one), reset: (count * 3) / 4 },
    ]);
    assert.equal((await alive(held)).length, count / 4);
  });

  it('judges by the service as it has become meanwhile', async () => {
    const held = await crowd();
    const rebalanced = lb.rebalance('web', { maxPerSecond: 4 });
    await eventually(async () => assert.notEqual((await sockets())[0], count));
    await lb.deleteService('web');
    const [taken] = await rebalanced;
    assert.ok(taken && taken.reset < count / 2);
    assert.equal((await alive(held)).length, count - taken.reset);
  });

  it('is rejected where it would not help, and when the LoadBalancer is closed', async () => {
    await crowd();
    const rejected = (options: object, code = 'ERR_BPF_INVALID_OPTION') =>
      assert.rejects(lb.rebalance('web', options as { maxPerSecond: number }), { code });
    for (const options of [
      {},
      { maxPerSecond: 0 },
      { maxPerSecond: NaN },
      { maxPerSecond: 1, tolerance: -1 },
    ])
      await rejected(options);
    await put([one, other], { sessionAffinity: 'ClientIP' });
    await rejected({ maxPerSecond: 10 });
    await put([one, other]);
    const waiting = rejected({ maxPerSecond: 1 }, 'ERR_BPF_CLOSED');
    await eventually(async () => assert.notEqual((await sockets())[0], count));
    await lb.close();
    await waiting;
  });
});
