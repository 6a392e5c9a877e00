import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';

import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { Namespace } from '../support/cluster/namespace';
import type { PeerFunctions } from '../support/cluster/peer';
import { ping } from '../support/cluster/probe';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import { tunnel } from '../support/cluster/tunnel';
import type { Host } from '../support/cluster/two-nodes';
import { skip } from '../support/skip';
import { programsOnDevicesOf } from './kernel';
import { ask, assertBalanced, backendsOf, both, families, unmapped, ways } from './ways';

const near = { 4: '10.200.0.1', 6: 'fd00:200::1' };
const far = { 4: '10.200.0.2', 6: 'fd00:200::2' };
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const nodePort = 30080;

describe('a device without link headers', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;
  /** At the other end of the tunnel. */
  let beyond: { namespace: Namespace; peer: Remote<PeerFunctions> };

  before(async function () {
    if (!existsSync('/dev/net/tun')) skip(this, 'needs /dev/net/tun');
    const { cleanup, nodes } = cluster;
    const [node] = nodes;
    const namespace = Namespace.make(cleanup, 'beyond');
    const ends = [node.namespace, namespace].map((namespace, i) => ({
      namespace,
      device: 'tun0',
      addresses: families.map((f) => `${[near, far][i]![f]}/${f === 4 ? 24 : 64}`),
    }));
    await tunnel(cleanup, ends[0]!, ends[1]!);
    for (const family of families) {
      namespace.ip(`route add ${family === 4 ? '0.0.0.0/0' : '::/0'} via ${near[family]}`);
    }
    beyond = { namespace, peer: await start<PeerFunctions>(cleanup, { namespace }, 'peer.ts') };
    for (const protocol of ['TCP', 'UDP'] as const) {
      await beyond.peer.listen({ protocol, port: podPort, name: 'beyond' });
    }
    lb = await openLoadBalancer(cleanup, node, { devices: ['tun0', 'eth0'] });
  });

  it('carries programs that know it has none', () => {
    const programs = programsOnDevicesOf(cluster.nodes[0].cgroup);
    assert.deepEqual(programs, ['bpf_lb_egress', 'bpf_lb_egress_l3', 'bpf_lb_ingress', 'bpf_lb_ingress_l3']);
  });

  async function put(pods: Parameters<typeof backendsOf>[0]): Promise<void> {
    await lb.upsertService({
      name: 'web',
      frontends: [
        ...both({ type: 'NodePort', port: nodePort }),
        ...families.flatMap((f) => both({ type: 'LoadBalancer', address: virtual[f], port: 80 })),
      ],
      backends: backendsOf(pods, cluster.nodes[0]),
    });
  }

  const frontends = (family: Family): Endpoint[] => [
    { address: near[family], port: nodePort },
    { address: virtual[family], port: 80 },
  ];

  for (const family of families) {
    for (const [where, podOf] of [
      ['this node', () => cluster.nodes[0].pods[0]],
      ['the other node', () => cluster.nodes[1].pods[0]],
    ] as const) {
      it(`clients that come through it are served by a backend on ${where}, IPv${family}`, async () => {
        const pod = podOf();
        await put([pod]);
        const [node] = cluster.nodes;
        for (const to of frontends(family)) {
          for (const way of ways) {
            const exchange = await ask(beyond.peer, way, to);
            assertBalanced(exchange, to, [pod]);
            const seen = pod.node === node ? far[family] : node.addresses[family];
            assert.equal(unmapped(exchange.client.address), seen);
          }
          assert.equal(await beyond.peer.transfer(to, 2_000_000), true);
        }
      });
    }

    it(`a backend that is reached through it serves clients of another device, IPv${family}`, async () => {
      const [node] = cluster.nodes;
      await lb.upsertService({
        name: 'web',
        frontends: both({ type: 'NodePort', port: nodePort }),
        backends: [{ address: far[family], port: podPort }],
      });
      const peer = await cluster.client.peer();
      const to = { address: node.addresses[family], port: nodePort };
      for (const way of ways) {
        const exchange = await ask(peer, way, to);
        assertBalanced(exchange, to, [{ name: 'beyond' } as Host]);
        assert.equal(unmapped(exchange.client.address), near[family], 'SNAT to the address of the device');
      }
      assert.equal(await peer.transfer(to, 2_000_000), true);
    });

    it(`a backend at the same end as the client is sent back through it, IPv${family}`, async () => {
      await lb.upsertService({
        name: 'web',
        frontends: both({ type: 'NodePort', port: nodePort }),
        backends: [{ address: far[family], port: podPort }],
      });
      const to = { address: near[family], port: nodePort };
      for (const way of ways) {
        assertBalanced(await ask(beyond.peer, way, to), to, [{ name: 'beyond' } as Host]);
      }
    });

    it(`refusals and echo replies go back through it, IPv${family}`, async () => {
      await put([]);
      for (const to of frontends(family)) {
        for (const way of ['TCP', 'connected UDP'] as const) {
          await assert.rejects(ask(beyond.peer, way, to), { code: 'ECONNREFUSED' });
        }
      }
      assert.deepEqual(ping(beyond.namespace, virtual[family]), {
        reply: true,
        from: virtual[family],
        checksum: true,
      });
    });
  }
});
