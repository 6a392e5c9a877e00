import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import { openLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import { assertBalanced, backendsOf } from './ways';

const port = 80;

describe('apply', () => {
  const cluster = useTwoNodes();

  const address = (i: number) => `10.96.${1 + (i >> 8)}.${i & 0xff}`;

  /** Some thousand frontends and backends: more than one commit takes. */
  const services = (backendPort: number): ServiceSpec[] =>
    Array.from({ length: 900 }, (_, i) => ({
      name: `service-${i}`,
      frontends: [{ type: 'ClusterIP', address: address(i), port }],
      backends: Array.from({ length: 3 }, () => backendsOf(cluster.pods, cluster.nodes[0], 4)).flatMap(
        (backends, copy) => backends.map((backend) => ({ ...backend, port: backendPort + copy })),
      ),
    }));

  it('that is aborted leaves every service what it was or what it is to be, and can be called again', async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node, {
      capacity: { ...smallCapacity, backends: 32_768 },
    });
    const [old, next] = [
      services(9200),
      services(podPort).map((spec) => ({ ...spec, backends: backendsOf(cluster.pods, node, 4) })),
    ];
    await lb.apply([
      ...old,
      { ...old[0]!, name: 'extra', frontends: [{ type: 'ClusterIP', address: '10.97.0.1', port }] },
    ]);
    const { added, changed, removed } = await lb.applyOneStep(next);
    assert.deepEqual([added, removed], [[], ['extra']]);
    assert.ok(changed.length > 0 && changed.length < next.length, `${changed.length} changed`);

    const { services: found } = await lb.snapshot();
    const done = new Set(changed);
    assert.equal(found.length, next.length);
    for (const { name, backends = [] } of found) {
      const ports = new Set(backends.map((backend) => backend.port));
      assert.deepEqual([...ports], done.has(name) ? [podPort] : [9200, 9201, 9202], name);
    }
    const peer = await node.peer();
    const at = (name: string) => ({ address: address(Number(name.slice('service-'.length))), port });
    assertBalanced(await peer.tcp(at(changed[0]!)), at(changed[0]!), cluster.pods);
    const left = next.find(({ name }) => !done.has(name))!;
    await assert.rejects(peer.tcp(at(left.name)), { code: 'ECONNREFUSED' });

    assert.equal((await lb.apply(next)).changed.length, next.length - changed.length);
    assertBalanced(await peer.tcp(at(left.name)), at(left.name), cluster.pods);
  });

  it('of services of which some cannot be brings over the others', async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node);
    const backends = backendsOf(cluster.pods, node, 4);
    const web = (i: number): ServiceSpec => ({
      name: `web-${i}`,
      frontends: [{ type: 'ClusterIP', address: address(i), port }],
      backends,
    });
    await lb.apply([web(1), web(2), web(3)]);
    const many = Array.from({ length: 5000 }, (_, i) => ({ address: `10.240.${i >> 8}.${i & 0xff}`, port }));
    const desired = [
      { ...web(1), backends: many },
      { ...web(2), backends: [{ address: 'nowhere', port }] },
      web(4),
    ];
    const { 'web-1': full, 'web-2': malformed, ...rest } = await lb.applyFailures(desired);
    /* While a service is changed, both of its sets of backends have a place. */
    const need = 5000 + backends.length * 3;
    assert.deepEqual(full, {
      name: 'MapFullError',
      code: 'ERR_BPF_MAP_FULL',
      map: 'backends',
      option: 'backends',
      have: 4096,
      need,
    });
    assert.deepEqual(malformed, { name: 'LoadBalancerError', code: 'ERR_BPF_INVALID_ADDRESS' });
    assert.deepEqual(rest, {});
    const { services: found } = await lb.snapshot();
    assert.deepEqual(found.map(({ name }) => name).sort(), ['web-1', 'web-2', 'web-4']);
    const peer = await node.peer();
    for (const i of [1, 2, 4]) {
      const to = { address: address(i), port };
      assertBalanced(await peer.tcp(to), to, cluster.pods);
    }
  });
});
