import assert from 'node:assert/strict';

import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { type Probe, probe } from '../support/cluster/probe';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Pod } from '../support/cluster/two-nodes';
import { both, families } from './ways';

const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const nodePort = 30080;
/** Nobody listens there. */
const closedPort = 9999;

const timeExceeded = { 4: { type: 11, code: 0 }, 6: { type: 3, code: 0 } };
const portUnreachable = { 4: { type: 3, code: 3 }, 6: { type: 1, code: 4 } };

for (const devices of [['eth0'], ['eth0', 'lxc+']]) {
  describe(`traceroute through ${devices.join(' and ')}`, () => {
    const cluster = useTwoNodes();
    let lb: RemoteLoadBalancer;

    before(async () => {
      lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0], { devices });
    });

    async function put(pod: Pod, port: number): Promise<void> {
      await lb.upsertService({
        name: 'web',
        frontends: [
          ...both({ type: 'NodePort', port: nodePort }),
          ...families.flatMap((f) => both({ type: 'LoadBalancer', address: virtual[f], port: 80 })),
        ],
        backends: families.map((f) => ({
          address: pod.addresses[f],
          port,
          local: pod.node === cluster.nodes[0],
        })),
      });
    }

    const frontends = (family: Family): Endpoint[] => [
      { address: cluster.nodes[0].addresses[family], port: nodePort },
      { address: virtual[family], port: 80 },
    ];

    /** Probes with growing TTL, until one arrives. */
    function trace(to: Endpoint): Probe[] {
      const hops: Probe[] = [];
      for (let ttl = 1; ttl <= 5; ttl++) {
        const hop = probe(cluster.client.namespace, to, ttl);
        hops.push(hop);
        if (hop.error !== 'EHOSTUNREACH') break;
      }
      return hops;
    }

    const exceeded = (family: Family, to: Endpoint, from: string): Probe => ({
      error: 'EHOSTUNREACH',
      ...timeExceeded[family],
      from,
      about: `${to.address} ${to.port}`,
    });

    for (const family of families) {
      for (const [where, podOf] of [
        ['the other node, through SNAT', () => cluster.nodes[1].pods[0]],
        ['this node', () => cluster.nodes[0].pods[0]],
      ] as const) {
        it(`shows the routers, and the frontend at the end; backend on ${where}, IPv${family}`, async () => {
          const pod = podOf();
          await put(pod, podPort);
          const routers = pod.node === cluster.nodes[0] ? [pod.node] : cluster.nodes;
          for (const to of frontends(family)) {
            const way = routers.map(({ addresses }) => exceeded(family, to, addresses[family]));
            assert.deepEqual(trace(to), [...way, { answer: true, from: to.address }]);
          }
        });

        it(`the refusal of a backend comes from the frontend; backend on ${where}, IPv${family}`, async () => {
          const pod = podOf();
          await put(pod, closedPort);
          for (const to of frontends(family)) {
            assert.deepEqual(trace(to).at(-1), {
              error: 'ECONNREFUSED',
              ...portUnreachable[family],
              from: to.address,
              about: `${to.address} ${to.port}`,
            });
          }
        });
      }
    }

    it('every error was translated or made here', async () => {
      const { counters } = await lb.metrics();
      assert.ok(counters.ERROR_TRANSLATED > 0n);
      assert.ok(counters.DROP_TTL > 0n);
    });
  });
}
