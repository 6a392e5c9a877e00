import assert from 'node:assert/strict';

import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Pod } from '../support/cluster/two-nodes';
import { ask, assertBalanced, backendsOf, both, ways } from './ways';

const clusterIP = { address: '10.96.0.1', port: 80 };
const nodePort = 30080;

describe('two LoadBalancers on one cgroup and one device', () => {
  const cluster = useTwoNodes();

  const open = (options = {}) =>
    openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['eth0'],
      watchPeriod: 0,
      ...options,
    });

  /** The same frontends, whoever asks. */
  const serve = (lb: RemoteLoadBalancer, pod: Pod) =>
    lb.upsertService({
      name: 'web',
      frontends: [
        ...both({ type: 'ClusterIP', ...clusterIP }),
        ...both({ type: 'NodePort', port: nodePort }),
      ],
      backends: backendsOf([pod], cluster.nodes[0], 4),
    });

  async function assertServedBy(pod: Pod): Promise<void> {
    const outside = { address: cluster.nodes[0].addresses[4], port: nodePort };
    for (const way of ways) {
      const peer = await cluster.nodes[0].pods[0].peer();
      assertBalanced(await ask(peer, way, clusterIP), clusterIP, [pod]);
      assertBalanced(await ask(await cluster.client.peer(), way, outside), outside, [pod]);
    }
  }

  it('a frontend that both have is served by the one that was attached first, then by the other', async () => {
    const [here, there] = [cluster.nodes[0].pods[1], cluster.nodes[1].pods[0]];
    const first = await open();
    const second = await open({ snatPorts: [40_000, 49_999] });
    // The order of services says nothing.
    await serve(second, there);
    await serve(first, here);
    await assertServedBy(here);
    await first.close();
    await assertServedBy(there);
    assert.equal((await second.verify()).socketLB.enabled, true);
  });

  it('the canary of one is not translated by the other', async () => {
    await open();
    const excepted = await open({ socketLB: { except: { cgroups: [cluster.nodes[0].cgroup] } } });
    const { socketLB } = await excepted.status();
    assert.deepEqual(socketLB.verified, { ipv4: 'failed', ipv6: 'failed' });
    assert.equal(socketLB.enabled, false);
  });
});
