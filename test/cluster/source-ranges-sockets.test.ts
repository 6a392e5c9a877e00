import assert from 'node:assert/strict';

import type { ServiceSpec, SourceRangesPolicy } from '../../lib';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { ask, assertBalanced, backendsOf, both, families, mapped, ways } from './ways';

const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const nodePort = 30080;

describe('socket layer: source ranges apply to pods and this node, too', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0]);
  });

  /** Ranges of both families around some hosts. */
  const rangesOf = (...hosts: Host[]) =>
    hosts.flatMap(({ addresses }) => [`${addresses[4]}/32`, `${addresses[6]}/128`]);

  async function put(
    sourceRanges: readonly string[],
    sourceRangesPolicy?: SourceRangesPolicy,
    addresses = virtual,
  ): Promise<void> {
    const spec: ServiceSpec = {
      name: 'web',
      frontends: [
        ...both({ type: 'NodePort', port: nodePort }),
        ...families.flatMap((f) => [
          ...both({ type: 'ClusterIP', address: clusterIP[f], port: 80 }),
          ...both({ type: 'LoadBalancer', address: addresses[f], port: 81 }),
        ]),
      ],
      backends: backendsOf(cluster.pods, cluster.nodes[0]),
      sourceRanges,
      ...(sourceRangesPolicy ? { sourceRangesPolicy } : {}),
    };
    await lb.upsertService(spec);
  }

  async function assertServed(host: Host, addresses: readonly string[], port = 81): Promise<void> {
    const peer = await host.peer();
    for (const address of addresses) {
      for (const way of ways)
        assertBalanced(await ask(peer, way, { address, port }), { address, port }, cluster.pods);
    }
  }

  async function assertDenied(host: Host, addresses: readonly string[]): Promise<void> {
    const peer = await host.peer();
    const growth = await counted(lb, async () => {
      for (const address of addresses) {
        for (const way of ways)
          await assert.rejects(ask(peer, way, { address, port: 81 }), { code: 'ETIMEDOUT' });
      }
    });
    assert.equal(growth.SOCKET_DENIED, addresses.length * ways.length);
    assert.equal(growth.SOCKET_TRANSLATED, 0);
  }

  const everyVip = [virtual[4], mapped(virtual[4]), virtual[6]];

  it('allow: who is in a range is served, others see what silence ends in', async () => {
    const [node] = cluster.nodes;
    const [pod, other] = node.pods;
    await put(rangesOf(pod));
    await assertServed(pod, everyVip);
    await assertDenied(other, everyVip);
    await assertDenied(node, everyVip);
    await put(rangesOf(node));
    await assertServed(node, everyVip);
    await assertDenied(pod, everyVip);
  });

  it('deny: who is in a range is not served, others are', async () => {
    const [node] = cluster.nodes;
    const [pod, other] = node.pods;
    await put(rangesOf(pod, node), 'deny');
    await assertDenied(pod, everyVip);
    await assertDenied(node, everyVip);
    await assertServed(other, everyVip);
  });

  it('the other frontends of the service are open to all', async () => {
    const [node] = cluster.nodes;
    await put(rangesOf(cluster.client));
    for (const host of [node, ...node.pods]) {
      await assertServed(host, Object.values(clusterIP), 80);
      await assertServed(host, Object.values(node.addresses), nodePort);
    }
  });

  it('ranges of one family leave the other one open', async () => {
    const [node] = cluster.nodes;
    const [pod] = node.pods;
    await put([`${cluster.client.addresses[4]}/32`]);
    await assertDenied(pod, [virtual[4]]);
    await assertServed(pod, [virtual[6]]);
    await put([`${cluster.client.addresses[6]}/128`]);
    await assertDenied(pod, [virtual[6]]);
    await assertServed(pod, [virtual[4]]);
  });

  it('a change applies at once, and open connections go on', async () => {
    const [pod] = cluster.nodes[0].pods;
    const peer = await pod.peer();
    await put(rangesOf(pod));
    const { id } = await peer.open({ address: virtual[4], port: 81 });
    await put(rangesOf(cluster.client));
    await assertDenied(pod, everyVip);
    assert.equal(await peer.echo(id, 'still here'), 'still here');
    await peer.dropConnection(id);
    await put([]);
    await assertServed(pod, everyVip);
  });

  it("the node dials a VIP that is its own address, if a range contains the node's", async () => {
    const [node] = cluster.nodes;
    await put(rangesOf(node), 'allow', node.addresses);
    await assertServed(node, Object.values(node.addresses));
    await put(rangesOf(cluster.client), 'allow', node.addresses);
    await assertDenied(node, Object.values(node.addresses));
  });
});
