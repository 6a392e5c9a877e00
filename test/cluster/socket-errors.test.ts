import assert from 'node:assert/strict';

import type { BackendSpec, ServiceSpec, TrafficPolicy } from '../../lib';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { ask, assertBalanced, backendsOf, both, mapped, ways } from './ways';

const port = 80;
const addresses = ['10.96.0.1', mapped('10.96.0.1'), 'fd00:96::1'];
const loopback = ['127.0.0.1', '::1'];
const nodePort = 30080;

function service(backends: readonly BackendSpec[], policy: TrafficPolicy = 'Cluster'): ServiceSpec {
  return {
    name: 'web',
    frontends: [
      ...both({ type: 'ClusterIP', address: '10.96.0.1', port }),
      ...both({ type: 'ClusterIP', address: 'fd00:96::1', port }),
      ...both({ type: 'NodePort', port: nodePort }),
    ],
    backends,
    internalTrafficPolicy: policy,
    externalTrafficPolicy: policy,
  };
}

describe('socket layer: when nobody can serve', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;
  let callers: Host[];

  before(async () => {
    const [node] = cluster.nodes;
    lb = await openLoadBalancer(cluster.cleanup, node, { nodePortAddresses: ['primary', 'localhost'] });
    callers = [node, node.pods[1]];
  });

  async function assertRefused(code: string, to: readonly string[], toPort: number, from = callers) {
    for (const caller of from) {
      const peer = await caller.peer();
      for (const address of to) {
        for (const way of ways) {
          const asked = ask(peer, way, { address, port: toPort });
          await assert.rejects(asked, { code }, `${way} from ${caller.name} to ${address}`);
        }
      }
    }
  }

  async function assertServed(pods: readonly Host[], to: readonly string[], toPort: number, from = callers) {
    for (const caller of from) {
      const peer = await caller.peer();
      for (const address of to) {
        for (const way of ways) {
          // Often enough that a choice among all backends would show.
          for (let i = 0; i < 8; i++) {
            const to = { address, port: toPort };
            assertBalanced(await ask(peer, way, to), to, pods);
          }
        }
      }
    }
  }

  it('refuses at once: a service without backends', async () => {
    await lb.upsertService(service([]));
    await assertRefused('ECONNREFUSED', addresses, port);
    await assertRefused('ECONNREFUSED', loopback, nodePort, [cluster.nodes[0]]);
    const { counters } = await lb.metrics();
    assert.equal(counters.SOCKET_REFUSED, 24n);
  });

  it('refuses at once: backends that are quarantined or in maintenance', async () => {
    const backends = backendsOf(cluster.pods, cluster.nodes[0]);
    await lb.upsertService(
      service(backends.map((b, i) => ({ ...b, state: i % 2 ? 'quarantined' : 'maintenance' }))),
    );
    await assertRefused('ECONNREFUSED', addresses, port);
  });

  it('refuses in the family that has no backend, and serves in the other', async () => {
    await lb.upsertService(service(backendsOf(cluster.pods, cluster.nodes[0], 6)));
    await assertRefused('ECONNREFUSED', addresses.slice(0, 2), port);
    await assertServed(cluster.pods, addresses.slice(2), port);
  });

  it('policy Local: times out at once while backends are elsewhere only', async () => {
    const [here, there] = cluster.nodes;
    await lb.upsertService(service(backendsOf(there.pods, here), 'Local'));
    await assertRefused('ETIMEDOUT', addresses, port);
    const { counters } = await lb.metrics();
    assert.equal(counters.SOCKET_NO_LOCAL_BACKEND, 18n);
  });

  it('policy Local: refuses when there is no backend anywhere', async () => {
    await lb.upsertService(service([], 'Local'));
    await assertRefused('ECONNREFUSED', addresses, port);
    const [here, there] = cluster.nodes;
    const unusable = backendsOf(there.pods, here).map((b) => ({ ...b, state: 'maintenance' as const }));
    await lb.upsertService(service(unusable, 'Local'));
    await assertRefused('ECONNREFUSED', addresses, port);
  });

  it('policy Local: only backends of this node are used', async () => {
    const [here] = cluster.nodes;
    await lb.upsertService(service(backendsOf(cluster.pods, here), 'Local'));
    await assertServed(here.pods, addresses, port);
  });

  it('policy Local for traffic from outside does not bind sockets of the cluster', async () => {
    const [here, there] = cluster.nodes;
    await lb.upsertService(service(backendsOf(there.pods, here), 'Local'));
    await assertServed(there.pods, Object.values(here.addresses), nodePort);
    await assertServed(there.pods, loopback, nodePort, [here]);
  });

  it('is served again as soon as there is a backend', async () => {
    await lb.upsertService(service([]));
    await assertRefused('ECONNREFUSED', addresses, port);
    await lb.upsertService(service(backendsOf(cluster.pods, cluster.nodes[0])));
    await assertServed(cluster.pods, addresses, port);
  });

  it('leaves the address alone once the service is deleted', async () => {
    await lb.upsertService(service([]));
    assert.equal(await lb.deleteService('web'), true);
    assert.equal(await lb.deleteService('web'), false);
    // Nobody has the address, and the node has no default route.
    await assertRefused('ENETUNREACH', addresses, port, [cluster.nodes[0]]);
  });
});
