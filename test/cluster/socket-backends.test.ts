import assert from 'node:assert/strict';

import type { BackendSpec, BackendState, ServiceSpec } from '../../lib';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { listen, useTwoNodes } from '../support/cluster/suite';
import type { Pod } from '../support/cluster/two-nodes';
import { ask, assertBalanced, backendsOf, both, ways } from './ways';

const port = 80;
const frontends = ['10.96.0.1', 'fd00:96::1'].map((address) => ({ address, port }));

describe('socket layer: choice of backends', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0]);
  });

  function backends(pods: readonly Pod[], state: BackendState = 'active'): BackendSpec[] {
    return backendsOf(pods, cluster.nodes[0]).map((backend) => ({ ...backend, state }));
  }

  async function put(...lists: BackendSpec[][]): Promise<void> {
    const spec: ServiceSpec = {
      name: 'web',
      frontends: frontends.flatMap(({ address }) => both({ type: 'ClusterIP', address, port })),
      backends: lists.flat(),
    };
    await lb.upsertService(spec);
  }

  /** Of each way and family, the names of those who answered. */
  async function answerers(times: number): Promise<Set<string>[]> {
    const peer = await cluster.nodes[0].pods[1].peer();
    const sets: Set<string>[] = [];
    for (const to of frontends) {
      for (const way of ways) {
        const names = new Set<string>();
        for (let i = 0; i < times; i++) names.add((await ask(peer, way, to)).server);
        sets.push(names);
      }
    }
    return sets;
  }

  function names(...pods: Pod[]): Set<string> {
    return new Set(pods.map(({ name }) => name));
  }

  it('spreads connections over all backends', async () => {
    await put(backends(cluster.pods));
    const peer = await cluster.nodes[0].peer();
    for (const to of frontends) {
      const { served, failed } = await peer.tally(to, 400);
      assert.deepEqual(failed, {});
      assert.deepEqual(Object.keys(served).sort(), [...names(...cluster.pods)].sort());
      // A hundred each on average; further off than this once in a billion runs.
      for (const [name, count] of Object.entries(served))
        assert.ok(count > 45 && count < 160, `${name}: ${count}`);
    }
  });

  it('spreads datagram sockets over all backends', async () => {
    await put(backends(cluster.pods));
    // The chance that one of 4 is missed by 100 is below 1e-11.
    for (const set of await answerers(100)) assert.deepEqual(set, names(...cluster.pods));
  });

  it('never chooses quarantined backends or those in maintenance', async () => {
    const [a, b, c, d] = cluster.pods as [Pod, Pod, Pod, Pod];
    await put(backends([a], 'quarantined'), backends([b]), backends([c], 'maintenance'), backends([d]));
    for (const set of await answerers(40)) assert.deepEqual(set, names(b, d));
  });

  it('leaves terminating backends out while there is an active one', async () => {
    const [a, b, c, d] = cluster.pods as [Pod, Pod, Pod, Pod];
    await put(backends([a, b], 'terminating'), backends([c], 'quarantined'), backends([d]));
    for (const set of await answerers(20)) assert.deepEqual(set, names(d));
  });

  it('falls back to terminating backends when there is no active one', async () => {
    const [a, b, c, d] = cluster.pods as [Pod, Pod, Pod, Pod];
    await put(backends([a, b], 'terminating'), backends([c], 'quarantined'), backends([d], 'maintenance'));
    for (const set of await answerers(40)) assert.deepEqual(set, names(a, b));
  });

  it('keeps open connections when their backend is removed; new ones go elsewhere', async () => {
    const [a, , , d] = cluster.pods as [Pod, Pod, Pod, Pod];
    const peer = await cluster.nodes[0].peer();
    await put(backends([a]));
    const opened = await Promise.all(frontends.map((to) => peer.open(to)));
    await put(backends([d]));
    for (const set of await answerers(5)) assert.deepEqual(set, names(d));
    await lb.deleteService('web');
    for (const [i, { id, server }] of opened.entries()) {
      assert.equal(server, a.name);
      assert.equal(await peer.echo(id, 'still here'), 'still here');
      assert.deepEqual(await peer.peerName(id), frontends[i], 'the name stays, too');
      await peer.dropConnection(id);
    }
  });

  it('keeps an unconnected datagram socket on one backend while the backends stay the same', async () => {
    await put(backends(cluster.pods));
    const peer = await cluster.nodes[0].peer();
    for (const to of frontends) {
      const answers = await peer.unconnectedUdp(Array<typeof to>(20).fill(to), {
        type: to.address.includes(':') ? 'udp6' : 'udp4',
      });
      assert.equal(new Set(answers.map(({ server }) => server)).size, 1);
    }
  });

  it('moves an unconnected datagram socket on when its backend is removed', async () => {
    const [a, , , d] = cluster.pods as [Pod, Pod, Pod, Pod];
    const peer = await cluster.nodes[0].peer();
    for (const to of frontends) {
      const id = await peer.openUdp({ type: to.address.includes(':') ? 'udp6' : 'udp4' });
      cluster.cleanupEach.add(() => peer.closeUdp(id));
      for (const pod of [a, d, a]) {
        await put(backends([pod]));
        const [answer] = await peer.sendUdp(id, [to]);
        assert.ok(answer);
        assertBalanced(answer, to, [pod]);
      }
    }
  });

  it('fails no connection while backends are replaced', async () => {
    const peer = await cluster.nodes[0].peer();
    await put(backends(cluster.pods));
    for (const to of frontends) {
      await peer.startStream(to, 5000);
      for (let i = 0; i < 100; i++)
        await put(backends([cluster.pods[i % 4] as Pod, cluster.pods[(i + 1) % 4] as Pod]));
      const { served, failed } = await peer.stopStream();
      assert.deepEqual(failed, {});
      assert.ok(Object.keys(served).length > 1, 'the choice has changed on the way');
    }
  });

  it('uses the port of each backend', async () => {
    const [a] = cluster.pods as [Pod];
    await listen(cluster.cleanupEach, a, { port: 9999, name: 'other port' });
    const other = backends([a]).map((backend) => ({ ...backend, port: 9999 }));
    await put(backends([a]), other);
    for (const set of await answerers(40)) assert.deepEqual(set, new Set([a.name, 'other port']));
  });
});
