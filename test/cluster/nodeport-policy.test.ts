import assert from 'node:assert/strict';

import type { BackendSpec, ServiceSpec } from '../../lib';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { ask, assertBalanced, backendsOf, both, families, mapped, type Way, ways } from './ways';

const nodePort = 30080;

describe('from outside: policies and states of backends', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0], { devices: ['eth0'] });
  });

  function service(backends: readonly BackendSpec[], policy: 'Cluster' | 'Local'): ServiceSpec {
    return {
      name: 'web',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends,
      externalTrafficPolicy: policy,
    };
  }

  const endpoints = () =>
    families.map((family) => ({
      family,
      to: { address: cluster.nodes[0].addresses[family], port: nodePort },
    }));

  async function assertServed(pods: readonly Host[], times = 10): Promise<void> {
    const peer = await cluster.client.peer();
    for (const { to } of endpoints()) {
      for (const way of ways) {
        const seen = new Set<string>();
        for (let i = 0; i < times; i++) {
          const exchange = await ask(peer, way, to);
          assertBalanced(exchange, to, pods);
          seen.add(exchange.server);
        }
      }
    }
  }

  it('policy Local: only backends of this node, and they see the client', async () => {
    const [node] = cluster.nodes;
    await lb.upsertService(service(backendsOf(cluster.pods, node), 'Local'));
    await assertServed(node.pods);
    const peer = await cluster.client.peer();
    for (const { family, to } of endpoints()) {
      const { client } = await peer.tcp(to);
      const address = cluster.client.addresses[family];
      assert.equal(client.address, family === 4 ? mapped(address) : address);
    }
  });

  it('policy Local: silence while all backends are elsewhere', async () => {
    const [node, other] = cluster.nodes;
    await lb.upsertService(service(backendsOf(other.pods, node), 'Local'));
    const before = (await lb.metrics()).counters;
    const peer = await cluster.client.peer();
    for (const { to } of endpoints()) {
      for (const way of ways) await assert.rejects(ask(peer, way, to, 300), { code: 'NO_ANSWER' });
    }
    const after = (await lb.metrics()).counters;
    assert.ok(after.DROP_NO_LOCAL_BACKEND - before.DROP_NO_LOCAL_BACKEND >= 6n);
    assert.equal(after.FLOW_CREATED, before.FLOW_CREATED);
  });

  for (const policy of ['Cluster', 'Local'] as const) {
    it(`policy ${policy}: refused when there is no usable backend at all`, async () => {
      const unusable = backendsOf(cluster.pods, cluster.nodes[0]).map((backend, i) => ({
        ...backend,
        state: i % 2 ? ('quarantined' as const) : ('maintenance' as const),
      }));
      const peer = await cluster.client.peer();
      for (const backends of [[], unusable]) {
        await lb.upsertService(service(backends, policy));
        for (const { to } of endpoints()) {
          for (const way of ['TCP', 'connected UDP'] satisfies Way[]) {
            await assert.rejects(ask(peer, way, to), { code: 'ECONNREFUSED' });
          }
        }
      }
    });
  }

  it('terminating backends serve only when there is no active one', async () => {
    const [node, other] = cluster.nodes;
    const leaving = backendsOf(node.pods, node).map((b) => ({ ...b, state: 'terminating' as const }));
    await lb.upsertService(service([...leaving, ...backendsOf(other.pods, node)], 'Cluster'));
    await assertServed(other.pods);
    const out = backendsOf(other.pods, node).map((b) => ({ ...b, state: 'quarantined' as const }));
    await lb.upsertService(service([...leaving, ...out], 'Cluster'));
    await assertServed(node.pods);
  });

  it('policy Local: terminating backends of this node serve while active ones are elsewhere', async () => {
    const [node, other] = cluster.nodes;
    const leaving = backendsOf(node.pods, node).map((b) => ({ ...b, state: 'terminating' as const }));
    await lb.upsertService(service([...leaving, ...backendsOf(other.pods, node)], 'Local'));
    await assertServed(node.pods);
  });
});
