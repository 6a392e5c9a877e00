import assert from 'node:assert/strict';

import fc from 'fast-check';

import { ClusterState, type KubernetesObject, toServiceSpecs } from '../../../lib/kubernetes';
import { defineService } from '../../../lib/service-definition';
import { node, pod, service, slice, endpoint, thisNode } from './fixtures';

/** Objects in which any value may have been replaced by any other. */
function damaged(value: unknown): fc.Arbitrary<unknown> {
  const junk = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(null, 0, -1, 1e9, '', 'None', '0.0.0.0', '::', [], {}, [null], { toString: 1 }),
  );
  let whole: fc.Arbitrary<unknown> = fc.constant(value);
  if (Array.isArray(value)) whole = fc.tuple(...value.map(damaged));
  else if (typeof value === 'object' && value !== null)
    whole = fc.record(
      Object.fromEntries(Object.entries(value).map(([key, child]) => [key, damaged(child)])),
      { requiredKeys: [] },
    );
  return fc.oneof({ weight: 6, arbitrary: whole }, { weight: 1, arbitrary: junk });
}

const good = {
  Service: service(
    {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10', 'fd00::10'],
      ipFamilies: ['IPv4', 'IPv6'],
      externalIPs: ['198.51.100.8'],
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 30900,
      loadBalancerSourceRanges: ['203.0.113.0/24'],
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      ports: [
        { name: 'http', port: 80, nodePort: 30080 },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    },
    [{ ip: '198.51.100.7', ipMode: 'VIP' }],
    { annotations: { 'service.bpf-lb.io/node-selector': 'a=b', 'service.cilium.io/type': 'NodePort' } },
  ),
  EndpointSlice: slice([
    endpoint('10.244.0.1', {
      nodeName: thisNode,
      conditions: { ready: true, serving: true, terminating: false },
      hints: { forZones: [{ name: 'west' }], forNodes: [{ name: thisNode }] },
    }),
    endpoint('10.244.0.2'),
  ]),
  Node: node('west', {
    status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
    spec: { podCIDRs: ['10.244.0.0/24'], taints: [{ key: 'x' }] },
  }),
  Pod: pod('p', [{ containerPort: 80, hostPort: 8080, hostIP: '192.0.2.1' }]),
};

const kinds = ['Service', 'EndpointSlice', 'Node', 'Pod'] as const;

describe('kubernetes: malformed objects', () => {
  it('never throw, and never make a service that cannot be', () => {
    const objects = fc.array(
      fc.oneof(...kinds.map((kind) => fc.record({ kind: fc.constant(kind), object: damaged(good[kind]) }))),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(objects, (list) => {
        const cluster = new ClusterState({ nodeName: thisNode });
        for (const kind of kinds)
          cluster.replace(
            kind,
            list.flatMap((entry) => (entry.kind === kind ? [entry.object as KubernetesObject] : [])),
          );
        for (const { kind, object } of list) cluster.apply('MODIFIED', object as KubernetesObject, kind);
        for (const spec of cluster.services.values()) defineService(spec);
        for (const { object, reason, message } of cluster.warnings) {
          assert.ok(kinds.includes(object.kind));
          assert.match(reason, /^[A-Z][A-Za-z]+$/);
          assert.ok(message.length > 0 && message.length < 1000 && !message.includes('\n'));
        }
        for (const { kind, object } of list) cluster.apply('DELETED', object as KubernetesObject, kind);
        assert.deepEqual([cluster.services.size, cluster.warnings, cluster.node], [0, [], undefined]);
        const of = (kind: string) => list.flatMap((e) => (e.kind === kind ? [e.object as object] : []));
        for (const object of of('Service'))
          for (const spec of toServiceSpecs(object, of('EndpointSlice'), { nodeName: thisNode }).services)
            defineService(spec);
      }),
      { numRuns: 2000 },
    );
  });

  it('do not stop the others', () => {
    const cluster = new ClusterState({ nodeName: thisNode });
    const bad = [
      null,
      7,
      'x',
      [],
      {},
      { metadata: null },
      { metadata: { name: 'a/b' } },
      { metadata: { name: 5 } },
    ];
    cluster.replace('Service', [...(bad as object[]), service()]);
    cluster.replace('EndpointSlice', [...(bad as object[]), slice([endpoint('10.244.0.1')])]);
    assert.deepEqual(
      [...cluster.services.values()].map(({ name, backends }) => [name, backends.length]),
      [['default/web:http', 1]],
    );
    const reasons = new Set(cluster.warnings.map(({ reason }) => reason));
    assert.deepEqual(reasons, new Set(['InvalidName']));
  });

  it('that cannot be read any more are served no longer', () => {
    const cluster = new ClusterState({ nodeName: thisNode });
    cluster.replace('EndpointSlice', []);
    cluster.replace('Service', [service()]);
    cluster.apply('MODIFIED', { ...service(), spec: 7 } as KubernetesObject, 'Service');
    assert.equal(cluster.services.size, 0);
  });
});
