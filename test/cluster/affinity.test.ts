import assert from 'node:assert/strict';

import type { BackendSpec, ServiceSpec } from '../../lib';
import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { ask, backendsOf, both, families, ways } from './ways';

/** Enough that a client that is not remembered is not given the same backend of four everywhere by chance. */
const numbers = Array.from({ length: 10 }, (_, i) => i + 1);

const clusterIP = (family: Family, n: number): Endpoint => ({
  address: family === 4 ? `10.96.0.${n}` : `fd00:96::${n}`,
  port: 80,
});
const virtual = (family: Family, n: number): Endpoint => ({
  address: family === 4 ? `198.51.100.${n}` : `2001:db8:51::${n}`,
  port: 80,
});

describe('session affinity ClientIP', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  beforeEach(async () => {
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { devices: ['eth0', 'lxc+'] });
  });

  const all = () => backendsOf(cluster.pods, cluster.nodes[0]);

  function service(n: number, backends: readonly BackendSpec[]): ServiceSpec {
    return {
      name: `service ${n}`,
      frontends: [
        ...both({ type: 'NodePort', port: 30_000 + n }),
        ...families.flatMap((f) => [
          ...both({ type: 'ClusterIP', ...clusterIP(f, n) }),
          ...both({ type: 'LoadBalancer', ...virtual(f, n) }),
        ]),
      ],
      backends,
      sessionAffinity: 'ClientIP',
    };
  }

  const nodePort = (family: Family, n: number): Endpoint => ({
    address: cluster.nodes[0].addresses[family],
    port: 30_000 + n,
  });

  async function put(backends: readonly BackendSpec[]): Promise<void> {
    await lb.apply(numbers.map((n) => service(n, backends)));
  }

  /** The same backends in another order: who is not remembered is given other ones from now on. */
  async function reorder(): Promise<void> {
    await put(all().reverse());
  }

  async function answers(
    host: Host,
    to: (family: Family, n: number) => Endpoint,
    family: Family,
  ): Promise<string[]> {
    const peer = await host.peer();
    const names: string[] = [];
    for (const n of numbers) names.push((await ask(peer, ways[n % ways.length]!, to(family, n))).server);
    return names;
  }

  const except = (host: Host) => lb.exceptSockets({ netns: [`/run/netns/${host.namespace.name}`] });

  for (const family of families) {
    for (const first of ['at the socket', 'per packet'] as const) {
      it(`the same pod gets the same backend, IPv${family}: translated ${first} first, then the other way`, async () => {
        await put(all());
        const [pod] = cluster.nodes[0].pods;
        if (first === 'per packet') await except(pod);
        let before: string[] = [];
        const early = await counted(lb, async () => (before = await answers(pod, clusterIP, family)));
        await reorder();
        await (first === 'per packet' ? lb.exceptSockets() : except(pod));
        let after: string[] = [];
        const late = await counted(lb, async () => (after = await answers(pod, clusterIP, family)));
        assert.deepEqual(after, before);
        assert.ok(new Set(before).size > 1, 'each service chooses for itself');
        const [socket, packet] = first === 'per packet' ? [late, early] : [early, late];
        assert.equal(socket.SOCKET_TRANSLATED, numbers.length);
        assert.equal(packet.FLOW_CREATED, numbers.length);
      });
    }

    it(`all frontends share the choice, IPv${family}`, async () => {
      await put(all());
      const [node] = cluster.nodes;
      for (const host of [node.pods[1], node]) {
        await put(all());
        const byClusterIP = await answers(host, clusterIP, family);
        await reorder();
        assert.deepEqual(await answers(host, virtual, family), byClusterIP);
        assert.deepEqual(await answers(host, nodePort, family), byClusterIP);
      }
    });

    it(`from outside, by the client's address, IPv${family}`, async () => {
      await put(all());
      const before = await answers(cluster.client, nodePort, family);
      await reorder();
      for (let i = 0; i < 5; i++) {
        assert.deepEqual(await answers(cluster.client, nodePort, family), before);
        assert.deepEqual(await answers(cluster.client, virtual, family), before);
      }
    });

    it(`clients with other addresses choose for themselves, IPv${family}`, async () => {
      await put(all());
      const [node] = cluster.nodes;
      const choices = [];
      for (const host of [cluster.client, node, ...node.pods])
        choices.push(await answers(host, nodePort, family));
      // 4 clients, 10 services, 4 backends: two clients agree everywhere once in 170,000 runs.
      assert.equal(new Set(choices.map(String)).size, choices.length);
    });

    for (const [title, hostOf] of [
      ['a pod', () => cluster.nodes[0].pods[0]],
      ['the client outside', () => cluster.client],
    ] as const) {
      it(`an endpoint that leaves loses its pins, IPv${family}, of ${title}`, async () => {
        await put(all());
        const host = hostOf();
        const before = await answers(host, nodePort, family);
        const gone = cluster.pods.find(({ name }) => name === before[0])!;
        const others = cluster.pods.filter((pod) => pod !== gone);
        await put(backendsOf(others, cluster.nodes[0]));
        const between = await answers(host, nodePort, family);
        for (const [i, name] of between.entries()) {
          if (before[i] === gone.name) assert.notEqual(name, gone.name);
          else assert.equal(name, before[i], 'the others stay');
        }
        await put(all());
        assert.deepEqual(await answers(host, nodePort, family), between, 'and does not get them back');
      });
    }
  }
});
