import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import type { Endpoint, Exchange } from '../support/cluster/exchange';
import { openLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Node, Pod } from '../support/cluster/two-nodes';
import { ask, assertBalanced, backendsOf, both, families, mapped, udpType, ways } from './ways';

const nodePort = 30080;
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const claimed = { 4: '198.51.100.2', 6: '2001:db8:51::2' };

/** Where the backends of a service are, seen from the node that the client asks. */
const placements = ['this node', 'the other node', 'both nodes'] as const;

for (const devices of [['eth0'], ['eth0', 'lxc+']]) {
  describe(`from outside, through ${devices.join(' and ')}`, () => {
    const cluster = useTwoNodes();

    function podsOf(node: Node, placement: (typeof placements)[number]): readonly Pod[] {
      if (placement === 'both nodes') return cluster.pods;
      return cluster.pods.filter((pod) => (pod.node === node) === (placement === 'this node'));
    }

    /** One service for each placement: ports and addresses tell them apart. */
    function services(node: Node): ServiceSpec[] {
      return placements.map((placement, i) => ({
        name: placement,
        frontends: [
          ...both({ type: 'NodePort', port: nodePort + i }),
          ...families.flatMap((f) => [
            ...both({ type: 'LoadBalancer', address: virtual[f], port: 80 + i }),
            ...both({ type: 'ExternalIPs', address: claimed[f], port: 80 + i }),
            ...both({ type: 'HostPort', address: node.addresses[f], port: 9080 + i }),
          ]),
          ...both({ type: 'HostPort', port: 8080 + i }),
        ],
        backends: backendsOf(podsOf(node, placement), node),
      }));
    }

    before(async () => {
      for (const node of cluster.nodes) {
        const lb = await openLoadBalancer(cluster.cleanup, node, { devices });
        await lb.apply(services(node));
      }
    });

    const frontends: [
      type: string,
      nodes: number[],
      endpoint: (node: Node, f: 4 | 6, i: number) => Endpoint,
    ][] = [
      ['NodePort', [0, 1], (node, f, i) => ({ address: node.addresses[f], port: nodePort + i })],
      ['LoadBalancer', [0], (_, f, i) => ({ address: virtual[f], port: 80 + i })],
      ['ExternalIPs', [0], (_, f, i) => ({ address: claimed[f], port: 80 + i })],
      ['HostPort with hostIP', [0, 1], (node, f, i) => ({ address: node.addresses[f], port: 9080 + i })],
      ['HostPort', [0, 1], (node, f, i) => ({ address: node.addresses[f], port: 8080 + i })],
    ];

    for (const [type, nodes, endpoint] of frontends) {
      for (const [i, placement] of placements.entries()) {
        for (const way of ways) {
          it(`${type}, backends on ${placement}: ${way}`, async () => {
            const peer = await cluster.client.peer();
            for (const node of nodes.map((n) => cluster.nodes[n] as Node)) {
              for (const family of families) {
                const to = endpoint(node, family, i);
                const pods = podsOf(node, placement);
                // Often enough to meet backends of both kinds.
                for (let n = 0; n < (placement === 'both nodes' ? 12 : 3); n++) {
                  const exchange = await ask(peer, way, to);
                  assertBalanced(exchange, to, pods);
                  assertSource(exchange, node, family);
                }
              }
            }
          });
        }
      }
    }

    /** A backend on this node sees the client; one on the other node sees this node. */
    function assertSource({ server, client }: Exchange, node: Node, family: 4 | 6): void {
      const isLocal = cluster.pods.some((pod) => pod.name === server && pod.node === node);
      const source = (isLocal ? cluster.client : node).addresses[family];
      assert.equal(client.address, family === 4 ? mapped(source) : source);
    }

    it("backends on this node see the client's own port", async () => {
      const peer = await cluster.client.peer();
      for (const [i, family] of families.entries()) {
        // One that no socket of the other tests was given.
        const localPort = 20_001 + i;
        const to = { address: cluster.nodes[0].addresses[family], port: nodePort };
        assert.equal((await peer.tcp(to, { localPort })).client.port, localPort);
        const [answer] = await peer.unconnectedUdp([to], { type: udpType(to.address), localPort });
        assert.equal(answer?.client.port, localPort);
      }
    });

    it('mapped addresses of IPv6 sockets are nothing special on the wire', async () => {
      const peer = await cluster.client.peer();
      const to = { address: mapped(cluster.nodes[0].addresses[4]), port: nodePort + 2 };
      for (const way of ways) assertBalanced(await ask(peer, way, to), to, cluster.pods);
    });

    it('uses every backend of both nodes', async () => {
      const peer = await cluster.client.peer();
      for (const family of families) {
        const to = { address: cluster.nodes[0].addresses[family], port: nodePort + 2 };
        const { served, failed } = await peer.tally(to, 100);
        assert.deepEqual(failed, {});
        // The chance that one of 4 is missed by 100 is below 1e-11.
        assert.deepEqual(Object.keys(served).sort(), cluster.pods.map(({ name }) => name).sort());
      }
    });
  });
}

describe('from pods through their devices, without socket load balancing', () => {
  const cluster = useTwoNodes();

  before(async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanup, node, { devices: ['eth0', 'lxc+'], socketLB: false });
    await lb.apply(
      [node.pods[1], ...cluster.nodes[1].pods].map((pod, i) => ({
        name: pod.name,
        frontends: both({ type: 'NodePort', port: nodePort + i }),
        backends: backendsOf([pod], node),
      })),
    );
  });

  for (const way of ways) {
    it(`NodePort: ${way}`, async () => {
      const [node, other] = cluster.nodes;
      const peer = await node.pods[0].peer();
      for (const family of families) {
        for (const [i, pod] of [node.pods[1], ...other.pods].entries()) {
          const to = { address: node.addresses[family], port: nodePort + i };
          assertBalanced(await ask(peer, way, to), to, [pod]);
        }
      }
    });
  }
});
