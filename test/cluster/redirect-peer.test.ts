import assert from 'node:assert/strict';

import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Pod } from '../support/cluster/two-nodes';
import { backendsOf, both, families, udpType } from './ways';

const nodePort = 30085;

/** The other end of the node's eth0 is the port of a bridge, that of a pod's device is the pod's. */
describe('packets for devices that are pairs', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  const open = async (redirectPeer: boolean) => {
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['eth0', 'lxc+'],
      socketLB: false,
      redirectPeer,
    });
  };

  const put = (pods: readonly Pod[]) =>
    lb.upsertService({
      name: 'web',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends: backendsOf(pods, cluster.nodes[0]),
    });

  const frontend = (family: 4 | 6): Endpoint => ({
    address: cluster.nodes[0].addresses[family],
    port: nodePort,
  });

  /** Packets that the node's end of a device has sent. */
  const sent = (device: string): number => {
    const [link] = JSON.parse(cluster.nodes[0].namespace.run('ip', '-j', '-s', 'link', 'show', device)) as [
      { stats64: { tx: { packets: number } } },
    ];
    return link.stats64.tx.packets;
  };

  for (const redirectPeer of [true, false]) {
    describe(redirectPeer ? 'handed to the other end' : 'sent', () => {
      for (const family of families) {
        for (const [where, index] of [
          ['on the node', 0],
          ['on the other node', 1],
        ] as const) {
          it(`IPv${family}, backends ${where}`, async () => {
            const { pods } = cluster.nodes[index];
            await open(redirectPeer);
            await put(pods);
            const peer = await cluster.client.peer();
            await peer.tcp(frontend(family)); // afterwards the neighbours are known
            const before = sent('eth0');
            assert.equal(await peer.transfer(frontend(family), 2_000_000), true);
            const { failed } = await peer.tally(frontend(family), 100, true);
            assert.deepEqual(failed, {});
            const { server } = await peer.connectedUdp(frontend(family), {
              type: udpType(frontend(family).address),
              localPort: 7777,
            });
            assert.ok(pods.some(({ name }) => name === server));
            const packets = sent('eth0') - before;
            /* Neighbours are asked for now and then. */
            assert.ok(redirectPeer ? packets < 50 : packets > 200, `${packets} packets`);
          });
        }
      }
    });
  }
});
