import assert from 'node:assert/strict';

import type { OpenOptions, Query, ServiceSpec, Verdict } from '../../lib';
import type { Family } from '../../lib/address';
import type { Endpoint, Exchange } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host, Node, Pod } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { backendsOf, both, families, udpType, unmapped } from './ways';

type Caller = 'client' | 'pod' | 'node';

const vips = (last: number) => ({ 4: `198.51.100.${last}`, 6: `2001:db8:51::${last}` });
const clusterIPs = (last: number) => ({ 4: `10.96.0.${last}`, 6: `fd00:96::${last}` });
const nodePort = 30080;

/** A ClusterIP and a LoadBalancer IP of each family, of which the number is the last part. */
const frontends = (last: number): ServiceSpec['frontends'] =>
  families.flatMap((f) => [
    ...both({ type: 'ClusterIP', address: clusterIPs(last)[f], port: 80 }),
    ...both({ type: 'LoadBalancer', address: vips(last)[f], port: 80 }),
  ]);

/** One service for every answer that there is. */
function servicesFor(node: Node, pods: readonly Pod[], caller: Pod): ServiceSpec[] {
  const there = pods.filter((pod) => pod.node !== node);
  return [
    {
      name: 'web',
      frontends: [...frontends(1), ...both({ type: 'NodePort', port: nodePort })],
      backends: backendsOf(pods, node),
    },
    {
      name: 'local',
      frontends: frontends(2),
      backends: backendsOf(there, node),
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Local',
    },
    { name: 'empty', frontends: frontends(3), backends: [] },
    {
      name: 'closed',
      frontends: frontends(4),
      backends: backendsOf(pods, node),
      sourceRanges: [`${caller.addresses[4]}/32`, `${caller.addresses[6]}/128`],
    },
    {
      name: 'partly',
      frontends: frontends(5),
      backends: backendsOf(pods, node).map((backend, i) => ({
        ...backend,
        state: (['active', 'quarantined', 'terminating', 'active'] as const)[i % 4]!,
      })),
    },
    { name: 'one', frontends: frontends(6), backends: backendsOf(there.slice(0, 1), node) },
    {
      name: 'foreign',
      frontends: families.map((f) => ({ type: 'ExternalIPs', address: vips(7)[f], port: 80 })),
      backends: backendsOf(pods, node),
    },
  ];
}

for (const way of ['sockets', 'packets'] as const) {
  describe(`explain() says what becomes of a connection; pods are translated by ${way}`, () => {
    const cluster = useTwoNodes();
    let node: Node;
    let pod: Pod;
    let lb: RemoteLoadBalancer;
    let hosts: Record<Caller, Host>;

    before(async () => {
      [node] = cluster.nodes;
      [pod] = node.pods;
      hosts = { client: cluster.client, pod, node };
      const options: OpenOptions = {
        devices: way === 'packets' ? ['eth0', 'lxc+'] : ['eth0'],
        socketLB: { hostNamespaceOnly: way === 'packets' },
        serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/48'],
      };
      lb = await openLoadBalancer(cluster.cleanup, node, options);
      await lb.apply(servicesFor(node, cluster.pods, pod));
    });

    function queryOf(caller: Caller, to: Endpoint, family: Family): Query {
      const asked = { from: hosts[caller].addresses[family], to: to.address, port: to.port };
      if (caller === 'client') return { ...asked, device: 'eth0' };
      if (caller === 'pod' && way === 'packets') return { ...asked, device: pod.device };
      return { ...asked, socket: { hostNetwork: caller === 'node' } };
    }

    const backendOf = (server: string, family: Family) => {
      const { addresses } = cluster.pods.find(({ name }) => name === server)!;
      return family === 4 ? `${addresses[4]}:${podPort}` : `[${addresses[6]}]:${podPort}`;
    };

    async function connect(caller: Caller, to: Endpoint): Promise<Exchange | string> {
      try {
        return await (await hosts[caller].peer()).tcp(to, { timeout: 250 });
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? String(error);
      }
    }

    /** What the counters say happened, in the words of a verdict. */
    async function observe(caller: Caller, to: Endpoint) {
      let outcome: Exchange | string = '';
      const growth = await counted(lb, async () => (outcome = await connect(caller, to)));
      const grown = (prefix: RegExp) =>
        Object.entries(growth).some(([name, count]) => prefix.test(name) && count > 0);
      const verdict = grown(/^SOCKET_TRANSLATED|^FLOW_CREATED/)
        ? 'forward'
        : grown(/^SOCKET_REFUSED|^REJECT_(?!LIMITED)/)
          ? 'reject'
          : grown(/^SOCKET_|^DROP_/)
            ? 'drop'
            : 'untouched';
      return { verdict, outcome: outcome as Exchange | string };
    }

    const targets = (family: Family): [string, Endpoint][] => [
      ...[1, 2, 3, 4, 5, 6].flatMap((last): [string, Endpoint][] => [
        [`ClusterIP ${last}`, { address: clusterIPs(last)[family], port: 80 }],
        [`LoadBalancer ${last}`, { address: vips(last)[family], port: 80 }],
      ]),
      ['external IP', { address: vips(7)[family], port: 80 }],
      ['NodePort', { address: node.addresses[family], port: nodePort }],
      ['another port of a ClusterIP', { address: clusterIPs(1)[family], port: 81 }],
      ['another port of a LoadBalancer', { address: vips(1)[family], port: 81 }],
      ['no service', { address: clusterIPs(99)[family], port: 80 }],
      ['a pod itself', { address: cluster.pods[1]!.addresses[family], port: podPort }],
    ];

    /** What a caller gets to see of a verdict. */
    function assertMet(
      verdict: Verdict,
      outcome: Exchange | string,
      caller: Caller,
      family: Family,
      what: string,
    ) {
      if (verdict.verdict === 'reject') assert.equal(outcome, 'ECONNREFUSED', what);
      if (verdict.verdict === 'drop')
        assert.ok(outcome === 'ETIMEDOUT' || outcome === 'NO_ANSWER', `${what}: ${JSON.stringify(outcome)}`);
      if (verdict.verdict !== 'forward') return;
      assert.ok(typeof outcome === 'object', `${what}: ${JSON.stringify(outcome)}`);
      assert.ok(verdict.candidates.includes(backendOf(outcome.server, family)), `${what}: ${outcome.server}`);
      if (verdict.candidates.length > 1 || caller === 'node') return;
      const seen = unmapped(outcome.client.address) === hosts[caller].addresses[family];
      assert.equal(!seen, verdict.snat, `${what}: the server sees ${outcome.client.address}`);
    }

    for (const family of families) {
      for (const caller of ['client', 'pod', 'node'] satisfies Caller[]) {
        it(`${caller}, IPv${family}`, async () => {
          for (const [name, to] of targets(family)) {
            const verdict = await lb.explain(queryOf(caller, to, family));
            const what = `${name}: ${JSON.stringify(verdict)}`;
            const seen = await observe(caller, to);
            assert.equal(seen.verdict, verdict.verdict, what);
            assertMet(verdict, seen.outcome, caller, family, what);
          }
        });
      }
    }

    it('every candidate is reached, and no backend that is excluded', async () => {
      for (const last of [1, 5]) {
        const to = { address: clusterIPs(last)[4], port: 80 };
        const { candidates, excluded } = await lb.explain(queryOf('pod', to, 4));
        assert.equal(
          candidates.length + excluded.filter(({ reason }) => reason !== 'other-family').length,
          4,
        );
        const reached = new Set<string>();
        /* Of four, one stays away from so many draws with a probability of 10^-9. */
        for (let i = 0; i < 75; i++) {
          const outcome = await connect('pod', to);
          assert.ok(typeof outcome === 'object', JSON.stringify(outcome));
          reached.add(backendOf(outcome.server, 4));
        }
        assert.deepEqual([...reached].sort(), [...candidates].sort());
      }
    });

    it('with session affinity it says which backend it will be, and pins nobody by that', async () => {
      const sticky = { ...servicesFor(node, cluster.pods, pod)[0]!, sessionAffinity: 'ClientIP' } as const;
      await lb.upsertService(sticky);
      for (const family of families) {
        const to = { address: vips(1)[family], port: 80 };
        for (const caller of ['client', 'pod', 'node'] satisfies Caller[]) {
          const query = queryOf(caller, to, family);
          const before = await lb.explain(query);
          assert.equal(before.affinity, 'new', caller);
          assert.deepEqual(await lb.explain(query), before);
          const outcome = await connect(caller, to);
          assert.ok(typeof outcome === 'object', JSON.stringify(outcome));
          assert.equal(backendOf(outcome.server, family), before.backend, caller);
          assert.deepEqual(await lb.explain(query), { ...before, affinity: 'hit' });
        }
      }
    });

    it("with Maglev it says which backend a packet goes to, from the client's port", async () => {
      const maglev = { ...servicesFor(node, cluster.pods, pod)[0]!, algorithm: 'maglev' } as const;
      await lb.upsertService(maglev);
      const peer = await cluster.client.peer();
      for (const family of families) {
        const to = { address: vips(1)[family], port: 80 };
        const told = new Set<string>();
        for (let localPort = 20_000; localPort < 20_030; localPort++) {
          const query: Query = { ...queryOf('client', to, family), protocol: 'UDP', fromPort: localPort };
          const { backend } = await lb.explain(query);
          const { server } = await peer.connectedUdp(to, { type: udpType(to.address), localPort });
          assert.equal(backendOf(server, family), backend, `from port ${localPort}`);
          told.add(server);
        }
        assert.ok(told.size > 1, 'several backends are asked');
      }
    });

    it('follows every change at once', async () => {
      const to = { address: clusterIPs(1)[4], port: 80 };
      for (let count = 1; count <= cluster.pods.length; count++) {
        const backends = backendsOf(cluster.pods.slice(0, count), node, 4);
        await lb.upsertService({
          name: 'web',
          frontends: [{ type: 'ClusterIP', address: to.address, port: to.port }],
          backends,
        });
        const { candidates } = await lb.explain(queryOf('node', to, 4));
        assert.deepEqual(
          [...candidates].sort(),
          backends.map(({ address, port }) => `${address}:${port}`).sort(),
        );
      }
      await lb.deleteService('web');
      const { reason, service } = await lb.explain(queryOf('node', to, 4));
      assert.deepEqual([reason, service], ['unallocated-cluster-ip', undefined]);
    });
  });
}
