import assert from 'node:assert/strict';

import type { OpenOptions, ServiceSpec, TrafficPolicy } from '../../lib';
import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Host, Node, Pod } from '../support/cluster/two-nodes';
import { ask, backendsOf, both, families, unmapped, ways } from './ways';

const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const loopback = { 4: '127.0.0.1', 6: '::1' };
const nodePort = 30080;

type Caller = 'client' | 'pod' | 'node';
type Frontend = 'ClusterIP' | 'LoadBalancer' | 'NodePort here' | 'NodePort there' | 'NodePort at loopback';
type Way = 'sockets' | 'packets';
type Name = 'node1' | 'node2';

/** On which nodes backends answer, and which address each sees. */
type Outcome = Partial<Record<Name, string>> | 'silence';

interface Policies {
  external: TrafficPolicy;
  internal: TrafficPolicy;
}

const rows: (Policies & { title: string })[] = [
  { title: 'Cluster/Cluster', external: 'Cluster', internal: 'Cluster' },
  { title: 'Local external', external: 'Local', internal: 'Cluster' },
  { title: 'Local internal', external: 'Cluster', internal: 'Local' },
  { title: 'both Local', external: 'Local', internal: 'Local' },
];

/** `here` is node1, to which the client sends what is for addresses of services. */
const questions: Record<Caller, readonly Frontend[]> = {
  client: ['ClusterIP', 'LoadBalancer', 'NodePort here', 'NodePort there'],
  pod: ['ClusterIP', 'LoadBalancer', 'NodePort here', 'NodePort there'],
  node: ['ClusterIP', 'LoadBalancer', 'NodePort here', 'NodePort there', 'NodePort at loopback'],
};

/**
 * What Kubernetes' rules say, with one difference to kube-proxy that is documented at `masqueradeLocal`: a backend on
 * the node that was asked sees the client.
 */
function expected(
  { external, internal }: Policies,
  way: Way,
  caller: Caller,
  frontend: Frontend,
  placement: readonly Name[],
): Outcome {
  const asked: Name = frontend === 'NodePort there' ? 'node2' : 'node1';
  // What another node is asked reaches it from outside, also from a pod or a node.
  const outside = caller === 'client' || asked === 'node2';
  const isClusterIP = frontend === 'ClusterIP';
  const local = isClusterIP ? internal === 'Local' : external === 'Local' && outside;
  const offered = placement.filter((name) => !local || name === asked);
  if (offered.length === 0) return 'silence';
  const own = caller === 'node' ? 'node1' : caller;
  // A socket is translated before it has a packet that could be given another source.
  const packets = outside || (caller === 'pod' && way === 'packets');
  const masqueraded = packets && (isClusterIP ? outside : external === 'Cluster');
  return Object.fromEntries(offered.map((name) => [name, masqueraded && name !== asked ? asked : own]));
}

for (const way of ['sockets', 'packets'] satisfies Way[]) {
  describe(`traffic policies, pods translated at ${way === 'sockets' ? 'their sockets' : 'their devices'}`, () => {
    const cluster = useTwoNodes();
    const lbs: RemoteLoadBalancer[] = [];
    let hosts: Record<Caller, Host>;
    let servers: Record<Name, Pod>;

    before(async () => {
      const [here, there] = cluster.nodes;
      hosts = { client: cluster.client, pod: here.pods[0], node: here };
      servers = { node1: here.pods[1], node2: there.pods[0] };
      const options: OpenOptions = {
        devices: way === 'packets' ? ['eth0', 'lxc+'] : ['eth0'],
        socketLB: { hostNamespaceOnly: way === 'packets' },
        externalClusterIP: true,
        nodePortAddresses: ['primary', 'localhost'],
      };
      for (const node of cluster.nodes) lbs.push(await openLoadBalancer(cluster.cleanup, node, options));
    });

    function service(node: Node, policies: Policies, placement: readonly Name[]): ServiceSpec {
      return {
        name: 'web',
        frontends: [
          ...both({ type: 'NodePort', port: nodePort }),
          ...families.flatMap((f) => [
            ...both({ type: 'ClusterIP', address: clusterIP[f], port: 80 }),
            ...both({ type: 'LoadBalancer', address: virtual[f], port: 80 }),
          ]),
        ],
        backends: backendsOf(
          placement.map((name) => servers[name]),
          node,
        ),
        externalTrafficPolicy: policies.external,
        internalTrafficPolicy: policies.internal,
      };
    }

    function endpoint(frontend: Frontend, family: Family): Endpoint {
      const [here, there] = cluster.nodes;
      switch (frontend) {
        case 'ClusterIP':
          return { address: clusterIP[family], port: 80 };
        case 'LoadBalancer':
          return { address: virtual[family], port: 80 };
        case 'NodePort here':
          return { address: here.addresses[family], port: nodePort };
        case 'NodePort there':
          return { address: there.addresses[family], port: nodePort };
        case 'NodePort at loopback':
          return { address: loopback[family], port: nodePort };
      }
    }

    function label(address: string, family: Family): string {
      const [here, there] = cluster.nodes;
      // The node's sockets use its address towards the pod.
      const own: Record<string, string> = {
        [cluster.client.addresses[family]]: 'client',
        [here.pods[0].addresses[family]]: 'pod',
        [here.addresses[family]]: 'node1',
        [{ 4: '10.244.1.1', 6: 'fd00:244:1::1' }[family]]: 'node1',
        [there.addresses[family]]: 'node2',
      };
      return own[unmapped(address)] ?? address;
    }

    /** Asks until all have answered that may, and often enough to hear one that may not. */
    async function observe(
      caller: Caller,
      to: Endpoint,
      family: Family,
      enough: (outcome: Outcome) => boolean,
    ): Promise<Outcome> {
      const peer = await hosts[caller].peer();
      const outcome: Partial<Record<string, string>> = {};
      for (let i = 0; i < 40 && (i < 10 || !enough(outcome)); i++) {
        const { server, client } = await ask(peer, ways[i % ways.length]!, to);
        const name = server === servers.node1.name ? 'node1' : 'node2';
        const seen = label(client.address, family);
        assert.equal(outcome[name] ?? seen, seen, `${server} sees one client`);
        outcome[name] = seen;
      }
      return outcome;
    }

    async function isSilent(caller: Caller, to: Endpoint): Promise<boolean> {
      const peer = await hosts[caller].peer();
      try {
        await ask(peer, 'TCP', to, 250);
        return false;
      } catch (error) {
        return ['NO_ANSWER', 'ETIMEDOUT'].includes((error as NodeJS.ErrnoException).code ?? '');
      }
    }

    function format(outcome: Outcome): string {
      if (outcome === 'silence') return outcome;
      const nodes = Object.entries(outcome).sort(([a], [b]) => a.localeCompare(b));
      return nodes.map(([name, client]) => `${name} sees ${client}`).join(', ');
    }

    for (const [where, placement] of [
      ['backends on both nodes', ['node1', 'node2']],
      ['backends on node2 only', ['node2']],
    ] as const) {
      for (const { title, ...policies } of rows) {
        it(`${title}, ${where}`, async () => {
          for (const [i, node] of cluster.nodes.entries()) {
            await lbs[i]?.upsertService(service(node, policies, placement));
          }
          const lines: string[] = [];
          for (const caller of Object.keys(questions) as Caller[]) {
            for (const frontend of questions[caller]) {
              const wanted = expected(policies, way, caller, frontend, placement);
              let seen: Outcome = 'silence';
              for (const family of families) {
                const to = endpoint(frontend, family);
                const where = `${caller} to ${frontend}, IPv${family}`;
                if (wanted === 'silence') {
                  assert.ok(await isSilent(caller, to), `${where}: silence`);
                  continue;
                }
                seen = await observe(caller, to, family, (outcome) => format(outcome) === format(wanted));
                assert.equal(format(seen), format(wanted), where);
              }
              lines.push(`        ${caller.padEnd(8)}${frontend.padEnd(22)}${format(seen)}`);
            }
          }
          console.log(lines.join('\n'));
        });
      }
    }
  });
}
