import assert from 'node:assert/strict';

import type { OpenOptions } from '../../lib';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { ping } from '../support/cluster/probe';
import { useTwoNodes } from '../support/cluster/suite';
import { counted } from './counters';
import { backendsOf, families } from './ways';

const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const unknown = { 4: '198.51.100.99', 6: '2001:db8:51::99' };

describe('an echo request to an address of frontends', () => {
  const cluster = useTwoNodes();

  async function open(options: OpenOptions = {}): Promise<RemoteLoadBalancer> {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node, { devices: ['eth0', 'lxc+'], ...options });
    await lb.upsertService({
      name: 'web',
      frontends: families.flatMap((f) => [
        { type: 'ClusterIP', address: clusterIP[f], port: 80 },
        { type: 'LoadBalancer', address: virtual[f], port: 80 },
        { type: 'ExternalIPs', address: node.addresses[f], port: 80 },
      ]),
      backends: backendsOf([cluster.nodes[1].pods[0]], node),
    });
    return lb;
  }

  for (const family of families) {
    it(`is answered: a VIP, by a client and a pod, IPv${family}`, async () => {
      const lb = await open();
      for (const host of [cluster.client, cluster.nodes[0].pods[0]]) {
        const growth = await counted(lb, () => {
          const expected = { reply: true, from: virtual[family], checksum: true };
          assert.deepEqual(ping(host.namespace, virtual[family]), expected);
          return Promise.resolve();
        });
        assert.equal(growth.ECHO_ANSWERED, 1);
      }
    });

    it(`is answered: a ClusterIP, by a pod, and not outside, IPv${family}`, async () => {
      const lb = await open();
      const [pod] = cluster.nodes[0].pods;
      assert.equal(ping(pod.namespace, clusterIP[family]).reply, true);
      const growth = await counted(lb, () => {
        assert.deepEqual(ping(cluster.client.namespace, clusterIP[family]), {});
        return Promise.resolve();
      });
      assert.equal(growth.DROP_CLUSTER_IP, 1);
    });

    it(`is not answered with answerEcho: false, IPv${family}`, async () => {
      const lb = await open({ answerEcho: false });
      for (const host of [cluster.client, cluster.nodes[0].pods[0]]) {
        assert.deepEqual(ping(host.namespace, virtual[family]), {});
      }
      assert.equal((await lb.metrics()).counters.ECHO_ANSWERED, 0n);
    });

    it(`to an address that is the node's own, or no frontend's, is left alone, IPv${family}`, async () => {
      const [node] = cluster.nodes;
      const lb = await open();
      for (const host of [cluster.client, node.pods[0]]) {
        const own = node.addresses[family];
        assert.deepEqual(ping(host.namespace, own), { reply: true, from: own, checksum: true });
        assert.deepEqual(ping(host.namespace, unknown[family]), {});
      }
      assert.equal((await lb.metrics()).counters.ECHO_ANSWERED, 0n);
    });
  }
});
