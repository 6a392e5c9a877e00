import assert from 'node:assert/strict';

import type { OpenOptions, ServiceSpec } from '../../lib';
import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { connect } from '../support/cluster/namespace';
import { type ClusterSuite, listen, podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { ask, assertBalanced, backendsOf, both, families, unmapped, ways } from './ways';

const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const claimed = { 4: '198.51.100.2', 6: '2001:db8:51::2' };
const nodePort = 30080;
const processPort = 9300;

/** Pods' sockets are left alone, their packets are translated at their devices. */
const options: OpenOptions = {
  devices: ['eth0', 'lxc+'],
  socketLB: { hostNamespaceOnly: true },
  externalIPRanges: [`${claimed[4]}/32`, `${claimed[6]}/128`],
};

/** Where the backend of a service is, seen from the pod that asks. */
const placements = {
  'another pod of this node': ({ nodes }: ClusterSuite) => nodes[0].pods[1],
  'a pod of the other node': ({ nodes }: ClusterSuite) => nodes[1].pods[0],
  'a process of this node': ({ nodes }: ClusterSuite) => nodes[0],
  'a process of the other node': ({ nodes }: ClusterSuite) => nodes[1],
  'the pod itself': ({ nodes }: ClusterSuite) => nodes[0].pods[0],
};

type Placement = keyof typeof placements;
const names = Object.keys(placements) as Placement[];

const types: Record<string, (node: Host, family: Family, i: number) => Endpoint> = {
  ClusterIP: (_, f, i) => ({ address: clusterIP[f], port: 80 + i }),
  NodePort: (node, f, i) => ({ address: node.addresses[f], port: nodePort + i }),
  LoadBalancer: (_, f, i) => ({ address: virtual[f], port: 80 + i }),
  ExternalIPs: (_, f, i) => ({ address: claimed[f], port: 80 + i }),
  'HostPort with hostIP': (node, f, i) => ({ address: node.addresses[f], port: 9080 + i }),
  HostPort: (node, f, i) => ({ address: node.addresses[f], port: 8180 + i }),
};

function services(cluster: ClusterSuite): ServiceSpec[] {
  const [node] = cluster.nodes;
  return names.map((name, i) => {
    const host = placements[name](cluster);
    const isPod = cluster.pods.some((pod) => pod === host);
    const local = host === node || node.pods.some((pod) => pod === host);
    return {
      name,
      frontends: [
        ...both({ type: 'NodePort', port: nodePort + i }),
        ...both({ type: 'HostPort', port: 8180 + i }),
        ...families.flatMap((f) => [
          ...both({ type: 'ClusterIP', address: clusterIP[f], port: 80 + i }),
          ...both({ type: 'LoadBalancer', address: virtual[f], port: 80 + i }),
          ...both({ type: 'ExternalIPs', address: claimed[f], port: 80 + i }),
          ...both({ type: 'HostPort', address: node.addresses[f], port: 9080 + i }),
        ]),
      ],
      backends: families.map((f) => ({
        address: host.addresses[f],
        port: isPod ? podPort : processPort,
        local,
      })),
    };
  });
}

/** Bound to each address, because a datagram's answer would else leave with that of the device towards the pod. */
async function listenOnNodes({ nodes, cleanup }: ClusterSuite): Promise<void> {
  for (const node of nodes) {
    for (const address of Object.values(node.addresses)) {
      await listen(cleanup, node, { port: processPort, address, name: node.name });
    }
  }
}

describe('from pods through their devices: the packets of pods whose sockets are not translated', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    await listenOnNodes(cluster);
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0], options);
    await lb.apply(services(cluster));
  });

  /** Who the backend has to see: kube-proxy's rules of masquerading, without SNAT towards backends of this node. */
  function assertSource(type: string, placement: Placement, family: Family, seen: string): void {
    const [node, other] = cluster.nodes;
    const [pod] = node.pods;
    const source = unmapped(seen);
    if (placement === 'the pod itself') {
      assert.notEqual(source, pod.addresses[family], 'hairpin: the pod would answer itself directly');
      const own = [node.addresses[family], { 4: '10.244.1.1', 6: 'fd00:244:1::1' }[family]];
      assert.ok(own.includes(source), `${source} is an address of the node`);
      return;
    }
    const host = placements[placement](cluster);
    const elsewhere = host === other || other.pods.some((other) => other === host);
    const masqueraded = type !== 'ClusterIP' && elsewhere;
    assert.equal(source, (masqueraded ? node : pod).addresses[family]);
  }

  for (const [type, frontend] of Object.entries(types)) {
    for (const [i, placement] of names.entries()) {
      it(`${type}, the backend is ${placement}`, async () => {
        const [node] = cluster.nodes;
        const peer = await node.pods[0].peer();
        for (const family of families) {
          const to = frontend(node, family, i);
          for (const way of ways) {
            const growth = await counted(lb, async () => {
              const exchange = await ask(peer, way, to);
              assertBalanced(exchange, to, [placements[placement](cluster)]);
              assertSource(type, placement, family, exchange.client.address);
            });
            assert.equal(growth.SOCKET_TRANSLATED, 0, `${way} to ${to.address}`);
            assert.equal(growth.FLOW_CREATED, 1, `${way} to ${to.address}`);
          }
        }
      });
    }
  }

  for (const placement of [
    'another pod of this node',
    'a pod of the other node',
    'the pod itself',
  ] as const) {
    it(`10 MB each way, the backend is ${placement}`, async () => {
      const peer = await cluster.nodes[0].pods[0].peer();
      for (const family of families) {
        const to = { address: clusterIP[family], port: 80 + names.indexOf(placement) };
        assert.equal(await peer.transfer(to, 10_000_000), true);
      }
    });

    it(`300 connections at a time, the backend is ${placement}`, async () => {
      const peer = await cluster.nodes[0].pods[0].peer();
      for (const family of families) {
        const to = { address: clusterIP[family], port: 80 + names.indexOf(placement) };
        const { served, failed } = await peer.tally(to, 300, true);
        assert.deepEqual(failed, {});
        assert.deepEqual(served, { [placements[placement](cluster).name]: 300 });
      }
    });
  }

  it('sockets of the host are translated', async () => {
    const peer = await cluster.nodes[0].peer();
    for (const family of families) {
      const to = { address: clusterIP[family], port: 81 };
      for (const way of ways) {
        const growth = await counted(lb, async () =>
          assertBalanced(await ask(peer, way, to), to, [cluster.nodes[1].pods[0]]),
        );
        assert.deepEqual([growth.SOCKET_TRANSLATED, growth.FLOW_CREATED], [1, 0]);
      }
    }
  });
});

describe('from pods through their devices: replies that arrive on another device', () => {
  const cluster = useTwoNodes();
  const second = { 4: ['10.101.0.1', '10.101.0.2'], 6: ['fd00:101::1', 'fd00:101::2'] } as const;

  before(async () => {
    const [node, other] = cluster.nodes;
    await listenOnNodes(cluster);
    connect(
      { namespace: node.namespace, device: 'eth1', addresses: [`${second[4][0]}/24`, `${second[6][0]}/64`] },
      { namespace: other.namespace, device: 'eth1', addresses: [`${second[4][1]}/24`, `${second[6][1]}/64`] },
    );
    cluster.cleanup.add(() => node.namespace.ip('link del eth1'));
    // What is sent to pods of this node comes back on the second link.
    const routes = [`10.244.1.0/24 via ${second[4][0]}`, `fd00:244:1::/64 via ${second[6][0]}`];
    const restore = [`10.244.1.0/24 via ${node.addresses[4]}`, `fd00:244:1::/64 via ${node.addresses[6]}`];
    cluster.cleanup.add(() => other.namespace.ip(...restore.map((route) => `route replace ${route}`)));
    other.namespace.ip(...routes.map((route) => `route replace ${route}`));
  });

  for (const [title, devices] of [
    ['that has the programs', ['eth0', 'eth1', 'lxc+']],
    ['that is not selected', ['eth0', 'lxc+']],
  ] as const) {
    for (const way of ways) {
      it(`${title}: ${way}`, async () => {
        const [node, other] = cluster.nodes;
        const lb = await openLoadBalancer(cluster.cleanupEach, node, { ...options, devices });
        await lb.apply(services(cluster));
        const peer = await node.pods[0].peer();
        for (const placement of ['a pod of the other node', 'a process of the other node'] as const) {
          for (const family of families) {
            const to = { address: clusterIP[family], port: 80 + names.indexOf(placement) };
            assertBalanced(await ask(peer, way, to), to, [placements[placement](cluster)]);
          }
        }
        assert.ok(received(other.namespace.run('ip', '-s', '-j', 'link', 'show', 'eth1')) > 0);
      });
    }
  }

  function received(links: string): number {
    const [link] = JSON.parse(links) as { stats64: { tx: { packets: number } } }[];
    return link?.stats64.tx.packets ?? 0;
  }
});

describe('from pods through their devices: refused and silent, as a client sees it', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0], {
      ...options,
      serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/48'],
    });
    const [node, other] = cluster.nodes;
    const [pod] = node.pods;
    await lb.apply([
      {
        name: 'nobody',
        frontends: [
          ...both({ type: 'NodePort', port: nodePort }),
          ...families.flatMap((f) => [
            ...both({ type: 'ClusterIP', address: clusterIP[f], port: 80 }),
            ...both({ type: 'LoadBalancer', address: virtual[f], port: 80 }),
          ]),
        ],
        backends: [],
        externalTrafficPolicy: 'Local',
        internalTrafficPolicy: 'Local',
      },
      {
        name: 'elsewhere',
        frontends: families.flatMap((f) => both({ type: 'ClusterIP', address: clusterIP[f], port: 81 })),
        backends: backendsOf(other.pods, node),
        internalTrafficPolicy: 'Local',
      },
      {
        name: 'guarded',
        frontends: families.flatMap((f) => both({ type: 'LoadBalancer', address: virtual[f], port: 82 })),
        backends: backendsOf(other.pods, node),
        sourceRanges: [`${pod.addresses[4]}/32`, `${pod.addresses[6]}/128`],
        sourceRangesPolicy: 'deny',
      },
    ]);
  });

  const to = (addresses: typeof clusterIP, port: number) =>
    families.map((family) => ({ address: addresses[family], port }));

  const cases: [title: string, endpoints: () => Endpoint[], code: string, counter: string][] = [
    ['a ClusterIP without backends', () => to(clusterIP, 80), 'ECONNREFUSED', 'REJECT_NO_BACKEND'],
    ['a LoadBalancer without backends', () => to(virtual, 80), 'ECONNREFUSED', 'REJECT_NO_BACKEND'],
    [
      'a NodePort without backends',
      () => to(cluster.nodes[0].addresses, nodePort),
      'ECONNREFUSED',
      'REJECT_NO_BACKEND',
    ],
    ['a port that the ClusterIP does not have', () => to(clusterIP, 99), 'ECONNREFUSED', 'REJECT_PORT'],
    [
      'internalTrafficPolicy Local, while all backends are elsewhere',
      () => to(clusterIP, 81),
      'NO_ANSWER',
      'DROP_NO_LOCAL_BACKEND',
    ],
    ['a pod outside the source ranges', () => to(virtual, 82), 'NO_ANSWER', 'DROP_DENIED'],
    [
      'a ClusterIP that no service has',
      () => to({ 4: '10.96.9.9', 6: 'fd00:96::9:9' }, 80),
      'NO_ANSWER',
      'DROP_UNALLOCATED',
    ],
  ];

  for (const [title, endpoints, code, counter] of cases) {
    it(`${title}: ${code}`, async () => {
      const peer = await cluster.nodes[0].pods[0].peer();
      for (const endpoint of endpoints()) {
        for (const way of ['TCP', 'connected UDP'] as const) {
          const growth = await counted(lb, async () => {
            // Long before the kernel would repeat a SYN, an answer has come.
            const asked = ask(peer, way, endpoint, 700);
            await assert.rejects(asked, { code }, `${way} to ${endpoint.address}`);
          });
          assert.ok(growth[counter as 'DROP_DENIED'] > 0, `${way} to ${endpoint.address} is counted`);
          assert.equal(growth.FLOW_CREATED, 0);
        }
      }
    });
  }

  it("noBackend: 'drop' is silent", async () => {
    const silent = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[1], {
      ...options,
      noBackend: 'drop',
    });
    await silent.upsertService({
      name: 'nobody',
      frontends: families.flatMap((f) => both({ type: 'ClusterIP', address: clusterIP[f], port: 80 })),
      backends: [],
    });
    const peer = await cluster.nodes[1].pods[0].peer();
    for (const endpoint of to(clusterIP, 80)) {
      const growth = await counted(silent, () =>
        assert.rejects(ask(peer, 'TCP', endpoint, 300), { code: 'NO_ANSWER' }),
      );
      assert.ok(growth.DROP_NO_BACKEND > 0);
    }
  });
});
