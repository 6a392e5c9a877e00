import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../../lib';
import { ClusterState, type PodObject } from '../../../lib/kubernetes';
import { backendsOf, frontendsOf, pod, service, thisNode } from './fixtures';

function stateOf(...pods: PodObject[]): ClusterState {
  const cluster = new ClusterState({ nodeName: thisNode });
  cluster.replace('Service', []);
  cluster.replace('EndpointSlice', []);
  cluster.replace('Pod', pods);
  return cluster;
}

const described = ({ services }: { services: ReadonlyMap<string, ServiceSpec> }) =>
  [...services.values()].map((spec) =>
    [spec.name, ...frontendsOf(spec), '->', ...backendsOf(spec)].join(' '),
  );

const http = { containerPort: 80, hostPort: 8080 };

describe('kubernetes: host ports of Pods', () => {
  it('are a service each, from the port of the node to that of the container', () => {
    const ports = [http, { containerPort: 53, hostPort: 5353, protocol: 'UDP' }, { containerPort: 81 }];
    assert.deepEqual(described(stateOf(pod('p', ports))), [
      'default/p:host-port:8080 HostPort * 8080/TCP -> 10.244.1.9 80 local',
      'default/p:host-port:5353 HostPort * 5353/UDP -> 10.244.1.9 53 local',
    ]);
  });

  it('on one address, protocol or port do not clash with those on others', () => {
    const pods = [
      pod('a', [{ ...http, hostIP: '192.0.2.1' }]),
      pod('b', [{ ...http, hostIP: '192.0.2.2' }]),
      pod('c', [{ ...http, hostIP: '192.0.2.2', protocol: 'UDP' }]),
      pod('d', [http, { ...http, protocol: 'UDP' }, { ...http, hostIP: '127.0.0.1' }]),
    ];
    const cluster = stateOf(...pods);
    assert.deepEqual(described(cluster), [
      'default/a:host-port:8080:192.0.2.1 HostPort 192.0.2.1 8080/TCP -> 10.244.1.9 80 local',
      'default/b:host-port:8080:192.0.2.2 HostPort 192.0.2.2 8080/TCP -> 10.244.1.9 80 local',
      'default/c:host-port:8080:192.0.2.2 HostPort 192.0.2.2 8080/UDP -> 10.244.1.9 80 local',
      'default/d:host-port:8080 HostPort * 8080/TCP -> 10.244.1.9 80 local',
      'default/d:host-port:8080/UDP HostPort * 8080/UDP -> 10.244.1.9 80 local',
      'default/d:host-port:8080:127.0.0.1 HostPort 127.0.0.1 8080/TCP -> 10.244.1.9 80 local',
    ]);
    assert.deepEqual(cluster.warnings, []);
  });

  it('are of the families that the Pod and the hostIP share', () => {
    const status = { podIPs: [{ ip: '10.244.1.9' }, { ip: 'fd00:1::9' }] };
    const of = (hostIP: string) => described(stateOf(pod('p', [{ ...http, hostIP }], { status })));
    const rest = ['10.244.1.9 80 local', 'fd00:1::9 80 local'] as const;
    assert.deepEqual(of(''), [`default/p:host-port:8080 HostPort * 8080/TCP -> ${rest.join(' ')}`]);
    assert.deepEqual(of('0.0.0.0'), [`default/p:host-port:8080:0.0.0.0 HostPort * 8080/TCP -> ${rest[0]}`]);
    assert.deepEqual(of('::'), [`default/p:host-port:8080::: HostPort * 8080/TCP -> ${rest[1]}`]);
    assert.deepEqual(of('2001:DB8::1'), [
      `default/p:host-port:8080:2001:db8::1 HostPort 2001:db8::1 8080/TCP -> ${rest[1]}`,
    ]);
    const single = { status: { podIPs: [{ ip: '10.244.1.9' }] } };
    assert.deepEqual(described(stateOf(pod('p', [{ ...http, hostIP: '2001:db8::1' }], single))), []);
  });

  it('are those of Pods that run on this node, in a network of their own', () => {
    for (const others of [
      { spec: { nodeName: 'other' } },
      { spec: { hostNetwork: true } },
      { status: { phase: 'Succeeded' } },
      { status: { phase: 'Failed' } },
      { status: { podIPs: [] } },
    ])
      assert.deepEqual(described(stateOf(pod('p', [http], others))), []);
    assert.equal(
      described(stateOf(pod('p', [http], { status: { podIPs: [], podIP: '10.244.1.7' } }))).length,
      1,
    );
  });

  it('are those of sidecars, not of containers that only init', () => {
    const spec = {
      containers: [],
      initContainers: [{ ports: [http] }, { restartPolicy: 'Always', ports: [{ ...http, hostPort: 8081 }] }],
    };
    assert.deepEqual([...stateOf(pod('p', [], { spec })).services.keys()], ['default/p:host-port:8081']);
  });

  it('follow their Pod', () => {
    const cluster = stateOf(pod('p', [http]));
    cluster.take();
    cluster.apply('MODIFIED', pod('p', [http], { status: { podIPs: [{ ip: '10.244.1.8' }] } }));
    assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [['10.244.1.8 80 local']]);
    cluster.apply('MODIFIED', pod('p', [http], { status: { phase: 'Succeeded' } }));
    assert.deepEqual(cluster.take()?.deleted, ['default/p:host-port:8080']);
  });

  it('pass from a Pod that terminates to the one that takes its place', () => {
    const ends = { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } };
    const cluster = stateOf(pod('a', [http], ends), pod('b', [http]));
    assert.deepEqual([...cluster.services.keys()], ['default/b:host-port:8080']);
    cluster.apply('DELETED', pod('b', [http]));
    assert.deepEqual([...cluster.services.keys()], ['default/a:host-port:8080']);
  });

  it('leave a port to the Service that has it as its NodePort', () => {
    const cluster = stateOf(pod('p', [http]));
    cluster.apply(
      'ADDED',
      service({ ports: [{ name: 'http', port: 80, nodePort: 8080 }] }, [], { name: 'zzz' }),
    );
    assert.deepEqual([...cluster.services.keys()], ['default/zzz:http']);
    assert.deepEqual(
      cluster.warnings.map(({ reason, message }) => [reason, message]),
      [['FrontendTaken', 'default/p:host-port:8080: HostPort *:8080/TCP belongs to default/zzz:http']],
    );
  });

  it('that cannot be are named', () => {
    const reasonsOf = (...ports: object[]) =>
      stateOf(pod('p', ports as never)).warnings.map(({ reason }) => reason);
    assert.deepEqual(reasonsOf({ ...http, hostPort: 70_000 }), ['InvalidPort']);
    assert.deepEqual(reasonsOf({ ...http, containerPort: undefined }), ['InvalidPort']);
    assert.deepEqual(reasonsOf({ ...http, protocol: 'ICMP' }), ['InvalidProtocol']);
    assert.deepEqual(reasonsOf({ ...http, hostIP: 'x' }), ['InvalidAddress']);
    assert.deepEqual(reasonsOf(http, { ...http, containerPort: 81 }), ['DuplicatePort']);
  });
});
