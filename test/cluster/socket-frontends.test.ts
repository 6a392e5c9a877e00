import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import { openLoadBalancer } from '../support/cluster/load-balancer';
import { listen, useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { ask, assertBalanced, backendsOf, both, mapped, ways } from './ways';

const outsider = { 4: '203.0.113.9', 6: '2001:db8:99::9' };
const nodePort = 30080;
const hostPort = 8081;

describe('socket layer: frontends', () => {
  const cluster = useTwoNodes();

  const callers: Record<string, () => Host> = {
    'the host': () => cluster.nodes[0],
    'a pod': () => cluster.nodes[0].pods[1],
  };

  function services(): ServiceSpec[] {
    const [node] = cluster.nodes;
    const backends = backendsOf(cluster.pods, node);
    return [
      {
        name: 'web',
        frontends: [
          ...both({ type: 'ClusterIP', address: '10.96.0.1', port: 80 }),
          ...both({ type: 'ClusterIP', address: 'fd00:96::1', port: 80 }),
          { type: 'ClusterIP', address: '10.96.0.1', port: 82, protocol: 'UDP' },
          ...both({ type: 'NodePort', port: nodePort }),
          ...both({ type: 'LoadBalancer', address: '198.51.100.1', port: 80 }),
          ...both({ type: 'LoadBalancer', address: '2001:db8:51::1', port: 80 }),
          ...both({ type: 'HostPort', port: hostPort }),
          ...both({ type: 'HostPort', address: '10.100.0.1', port: 8082 }),
          ...both({ type: 'HostPort', address: 'fd00:100::1', port: 8082 }),
          ...both({ type: 'HostPort', address: '127.0.0.1', port: 8083 }),
          ...both({ type: 'HostPort', address: '::1', port: 8083 }),
          ...both({ type: 'ExternalIPs', address: '10.100.0.1', port: 81 }),
          ...both({ type: 'ExternalIPs', address: 'fd00:100::1', port: 81 }),
          ...both({ type: 'ExternalIPs', address: outsider[4], port: 81 }),
          ...both({ type: 'ExternalIPs', address: outsider[6], port: 81 }),
        ],
        backends,
      },
    ];
  }

  /** Commands of ip(8) with `{}` for `add`, and for `del` after the suite. */
  function furnish({ namespace }: Host, commands: string[]): void {
    namespace.ip(...commands.map((command) => command.replace('{}', 'add')));
    cluster.cleanup.add(() => namespace.ip(...commands.map((command) => command.replace('{}', 'del'))));
  }

  before(async () => {
    const { cleanup, client } = cluster;
    const [node] = cluster.nodes;
    furnish(client, [`addr {} ${outsider[4]}/32 dev eth0`, `addr {} ${outsider[6]}/128 dev eth0`]);
    furnish(node, [
      `route {} ${outsider[4]}/32 via ${client.addresses[4]}`,
      `route {} ${outsider[6]}/128 via ${client.addresses[6]}`,
    ]);
    // So that pods get an answer from there.
    for (const pod of node.pods) {
      furnish(client, [
        `route {} ${pod.addresses[4]}/32 via ${node.addresses[4]}`,
        `route {} ${pod.addresses[6]}/128 via ${node.addresses[6]}`,
      ]);
    }
    // Bound to each address, because a datagram's answer would else leave with the client's first one.
    for (const address of Object.values(outsider)) {
      await listen(cleanup, client, { port: 81, address, name: 'the address itself' });
    }
    const lb = await openLoadBalancer(cleanup, node, { nodePortAddresses: ['primary', 'localhost'] });
    await lb.apply(services());
  });

  const served: [title: string, callers: string[], addresses: string[], port: number][] = [
    ['ClusterIP', ['the host', 'a pod'], ['10.96.0.1', mapped('10.96.0.1'), 'fd00:96::1'], 80],
    ['LoadBalancer', ['the host', 'a pod'], ['198.51.100.1', mapped('198.51.100.1'), '2001:db8:51::1'], 80],
    [
      "NodePort on the node's addresses",
      ['the host', 'a pod'],
      ['10.100.0.1', mapped('10.100.0.1'), 'fd00:100::1'],
      nodePort,
    ],
    [
      "NodePort on the host's loopback",
      ['the host'],
      ['127.0.0.1', '127.1.2.3', mapped('127.0.0.1'), '::1'],
      nodePort,
    ],
    [
      'HostPort without hostIP',
      ['the host', 'a pod'],
      ['10.100.0.1', mapped('10.100.0.1'), 'fd00:100::1', '10.244.1.1', 'fd00:244:1::1'],
      hostPort,
    ],
    ["HostPort on the host's loopback", ['the host'], ['127.0.0.1', '::1'], hostPort],
    [
      'HostPort with hostIP',
      ['the host', 'a pod'],
      ['10.100.0.1', mapped('10.100.0.1'), 'fd00:100::1'],
      8082,
    ],
    ['HostPort with a loopback hostIP', ['the host'], ['127.0.0.1', mapped('127.0.0.1'), '::1'], 8083],
    [
      "ExternalIPs that are the node's",
      ['the host', 'a pod'],
      ['10.100.0.1', mapped('10.100.0.1'), 'fd00:100::1'],
      81,
    ],
  ];

  for (const [title, from, addresses, port] of served) {
    describe(title, () => {
      for (const caller of from) {
        for (const way of ways) {
          it(`is served to ${caller}: ${way}`, async () => {
            const peer = await callers[caller]?.().peer();
            assert.ok(peer);
            for (const address of addresses) {
              assertBalanced(await ask(peer, way, { address, port }), { address, port }, cluster.pods);
            }
          });
        }
      }
    });
  }

  describe('what is not served', () => {
    for (const caller of ['the host', 'a pod']) {
      for (const way of ways) {
        it(`ExternalIPs that are not the node's: ${way} from ${caller} reaches the address itself`, async () => {
          const peer = await callers[caller]?.().peer();
          assert.ok(peer);
          for (const address of [outsider[4], mapped(outsider[4]), outsider[6]]) {
            const { server, peer: name } = await ask(peer, way, { address, port: 81 });
            assert.equal(server, 'the address itself');
            assert.deepEqual(name, { address, port: 81 });
          }
        });
      }
    }

    it("a pod's own loopback stays the pod's", async () => {
      const pod = cluster.nodes[0].pods[0];
      const peer = await pod.peer();
      for (const port of [nodePort, hostPort, 8083]) {
        await listen(cluster.cleanupEach, pod, { port, name: 'my own' });
        for (const address of ['127.0.0.1', mapped('127.0.0.1'), '::1']) {
          for (const way of ways) {
            assert.equal((await ask(peer, way, { address, port })).server, 'my own', `${address} ${way}`);
          }
        }
      }
    });

    it("a pod's own address does not answer NodePorts", async () => {
      const pod = cluster.nodes[0].pods[0];
      const peer = await pod.peer();
      for (const address of Object.values(pod.addresses)) {
        await assert.rejects(peer.tcp({ address, port: nodePort }), { code: 'ECONNREFUSED' });
      }
    });

    it("NodePorts at addresses that are not primary, as that of pods' gateway", async () => {
      for (const caller of [cluster.nodes[0], cluster.nodes[0].pods[0]]) {
        const peer = await caller.peer();
        for (const address of ['10.244.1.1', 'fd00:244:1::1']) {
          await assert.rejects(peer.tcp({ address, port: nodePort }), { code: 'ECONNREFUSED' });
        }
      }
    });

    it('HostPort with hostIP, on other addresses of the node', async () => {
      const peer = await cluster.nodes[0].peer();
      for (const address of ['10.244.1.1', 'fd00:244:1::1', '127.0.0.1', '::1']) {
        await assert.rejects(peer.tcp({ address, port: 8082 }), { code: 'ECONNREFUSED' });
      }
    });

    it('unknown ports, and the other protocol, of an active ClusterIP are rejected', async () => {
      const peer = await cluster.nodes[0].peer();
      await assert.rejects(peer.tcp({ address: '10.96.0.1', port: 81 }), { code: 'ECONNREFUSED' });
      await assert.rejects(peer.tcp({ address: '10.96.0.1', port: 82 }), { code: 'ECONNREFUSED' });
      assertBalanced(
        await ask(peer, 'connected UDP', { address: '10.96.0.1', port: 82 }),
        { address: '10.96.0.1', port: 82 },
        cluster.pods,
      );
    });

    it('other ports of a VIP are left alone', async () => {
      const peer = await cluster.nodes[0].peer();
      // They have no route.
      await assert.rejects(peer.tcp({ address: '198.51.100.1', port: 81 }), { code: 'ENETUNREACH' });
    });

    it('processes that are not in the cgroup', async () => {
      // The client's process is outside; so the NodePort of node1 is just a closed port, as no device is selected.
      const peer = await cluster.client.peer();
      for (const address of ['10.100.0.1', 'fd00:100::1']) {
        await assert.rejects(peer.tcp({ address, port: nodePort }), { code: 'ECONNREFUSED' });
      }
    });
  });

  it('shows backends the address of the pod that asks', async () => {
    const pod = cluster.nodes[0].pods[1];
    const peer = await pod.peer();
    for (const way of ways) {
      assert.equal(
        (await ask(peer, way, { address: 'fd00:96::1', port: 80 })).client.address,
        pod.addresses[6],
      );
      const { client } = await ask(peer, way, { address: '10.96.0.1', port: 80 });
      assert.equal(client.address, mapped(pod.addresses[4]));
    }
  });
});
