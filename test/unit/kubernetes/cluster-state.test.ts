import assert from 'node:assert/strict';

import { ClusterState, type ClusterOptions, type Kind, type KubernetesObject } from '../../../lib/kubernetes';
import {
  backendsOf,
  endpoint,
  frontendsOf,
  local,
  malformed,
  node,
  pod,
  service,
  slice,
  thisNode,
  zones,
} from './fixtures';

/** Synced; what it began with is taken. */
function clusterOf(
  objects: readonly KubernetesObject[] = [],
  options: Partial<ClusterOptions> = {},
): ClusterState {
  const cluster = new ClusterState({ nodeName: thisNode, ...options });
  for (const kind of ['Service', 'EndpointSlice', 'Node', 'Pod'] as const)
    cluster.replace(
      kind,
      objects.filter((object) => object.kind === kind),
    );
  assert.ok(cluster.take()?.full);
  return cluster;
}

const taken = (cluster: ClusterState) => {
  const { upserted, deleted } = cluster.take() ?? {};
  return { upserted: upserted?.map(({ name }) => name), deleted };
};

const nothing = { upserted: [], deleted: [] };

describe('kubernetes: cluster state', () => {
  it('gives nothing before both Services and EndpointSlices have been listed', () => {
    const cluster = new ClusterState({ nodeName: thisNode });
    let called = 0;
    cluster.on(() => called++);
    cluster.apply('ADDED', service());
    cluster.replace('EndpointSlice', [slice([endpoint('10.244.0.1')])]);
    cluster.replace('Node', [node()]);
    assert.deepEqual([cluster.synced, cluster.dirty, cluster.take(), called], [false, false, undefined, 0]);
    cluster.replace('Service', [service()]);
    assert.deepEqual([cluster.synced, cluster.dirty, called], [true, true, 1]);
    const change = cluster.take();
    assert.equal(change?.full, true);
    assert.deepEqual(change.upserted.map(backendsOf), [['10.244.0.1 8080']]);
    assert.equal(cluster.dirty, false);
    assert.equal(cluster.take()?.full, false);
  });

  it('has a first change even where there is nothing', () => {
    const cluster = new ClusterState({ nodeName: thisNode });
    cluster.replace('Service', []);
    cluster.replace('EndpointSlice', []);
    assert.equal(cluster.dirty, true);
    assert.deepEqual({ ...cluster.take() }.upserted, []);
  });

  it('gives what changes, whoever changes', () => {
    const cluster = clusterOf([service(), slice([endpoint('10.244.0.1')])]);
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.1'), endpoint('10.244.0.2')]));
    assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [['10.244.0.1 8080', '10.244.0.2 8080']]);
    cluster.apply('MODIFIED', service({ ports: [{ name: 'http', port: 81 }] }));
    assert.deepEqual(cluster.take()?.upserted.map(frontendsOf), [['ClusterIP 10.96.0.10 81/TCP']]);
    cluster.apply('DELETED', slice([]));
    assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [[]]);
    cluster.apply('DELETED', service());
    assert.deepEqual(taken(cluster), { upserted: [], deleted: ['default/web:http'] });
    assert.equal(cluster.services.size, 0);
  });

  it('takes the kind from the object, or as it is given', () => {
    const cluster = clusterOf();
    const listed = service();
    delete listed.kind;
    cluster.apply('ADDED', listed, 'Service');
    assert.deepEqual(taken(cluster).upserted, ['default/web:http']);
    assert.throws(() => cluster.apply('ADDED', listed), TypeError);
    assert.throws(() => cluster.apply('ADDED', { kind: 'Endpoints' }), TypeError);
    assert.throws(() => cluster.replace('Endpoints' as Kind, []), TypeError);
  });

  it('refuses what is no list, which would delete everything', () => {
    const cluster = clusterOf([service()]);
    for (const list of [undefined, { kind: 'ServiceList', items: [service()] }])
      assert.throws(() => cluster.replace('Service', malformed(list)), {
        name: 'TypeError',
        message: /is not a list of objects/,
      });
    assert.equal(cluster.services.size, 1);
  });

  it('needs the name of its Node', () => {
    for (const nodeName of [undefined, '', 7])
      assert.throws(() => new ClusterState({ nodeName: malformed(nodeName) }), {
        code: 'ERR_BPF_INVALID_OPTION',
        message: /^nodeName: /,
      });
  });

  it('joins a slice that comes before its Service', () => {
    const cluster = clusterOf();
    cluster.apply('ADDED', slice([endpoint('10.244.0.1')]));
    assert.deepEqual(taken(cluster), nothing);
    cluster.apply('ADDED', service());
    assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [['10.244.0.1 8080']]);
  });

  it('takes the record of the first slice by name, where two differ in their hints, whichever came last', () => {
    const labels = { 'kubernetes.io/service-name': 'web' };
    const of = (name: string, zone: string, ...more: Parameters<typeof slice>[0]) =>
      slice([endpoint('10.244.0.1', zones(zone)), ...more], { metadata: { name, labels } });
    const east = endpoint('10.244.0.2', zones('east'));
    const cluster = clusterOf([service(), of('b', 'east', east), of('a', 'west'), node('west')]);
    const offered = () => [...cluster.services.values()].map(backendsOf);
    assert.deepEqual(offered(), [['10.244.0.1 8080', '10.244.0.2 8080 elsewhere']]);
    cluster.apply('MODIFIED', of('a', 'east'));
    cluster.apply('MODIFIED', of('b', 'west', east));
    assert.deepEqual(offered(), [['10.244.0.1 8080', '10.244.0.2 8080']]);
    cluster.apply('MODIFIED', of('a', 'west'));
    assert.deepEqual(offered(), [['10.244.0.1 8080', '10.244.0.2 8080 elsewhere']]);
  });

  it('moves a slice that has another owner', () => {
    const other = service({ clusterIP: '10.96.0.11' }, [], { name: 'other' });
    const cluster = clusterOf([service(), other, slice([endpoint('10.244.0.1')])]);
    const labels = { 'kubernetes.io/service-name': 'other' };
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.1')], { metadata: { labels, name: 'web-1' } }));
    assert.deepEqual(taken(cluster).upserted, ['default/web:http', 'default/other:http']);
    assert.deepEqual([...cluster.services.values()].map(backendsOf), [[], ['10.244.0.1 8080']]);
  });

  it('can be prepared piece by piece, which changes nothing of what is taken', () => {
    const names = ['a', 'b', 'c'];
    const services = names.map((name, i) => service({ clusterIP: `10.96.0.${i}` }, [], { name }));
    const cluster = clusterOf();
    cluster.replace('Service', services.slice(1));
    assert.deepEqual([cluster.prepare(0), cluster.prepare(0)], [false, true]);
    cluster.apply('ADDED', services[0] as KubernetesObject);
    assert.deepEqual(
      [cluster.dirty, cluster.prepare(Infinity), cluster.translated.services],
      [true, true, 3],
    );
    const { upserted = [] } = cluster.take() ?? {};
    assert.deepEqual(upserted.map(({ name }) => name).sort(), [
      'default/a:http',
      'default/b:http',
      'default/c:http',
    ]);
    assert.equal(cluster.translated.services, 3);
  });

  it('counts several changes as one, and those that cancel as none', () => {
    const cluster = clusterOf([service()]);
    const added = service({ clusterIP: '10.96.0.11' }, [], { name: 'new' });
    cluster.apply('ADDED', added);
    cluster.apply('DELETED', added);
    cluster.apply('DELETED', service());
    cluster.apply('ADDED', service());
    assert.equal(cluster.services.size, 1);
    assert.deepEqual(taken(cluster), nothing);
    cluster.apply('DELETED', service());
    assert.equal(cluster.services.size, 0);
    cluster.apply('ADDED', service({ clusterIP: '10.96.0.12' }));
    assert.deepEqual(cluster.take()?.upserted.map(frontendsOf), [['ClusterIP 10.96.0.12 80/TCP']]);
  });

  it('takes no notice of what it does not read', () => {
    const cluster = clusterOf([service(), slice([endpoint('10.244.0.1')]), node('west'), pod('p', [])]);
    const metadata = {
      labels: { 'kubernetes.io/service-name': 'web', more: 'x' },
      resourceVersion: '7',
      annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' },
    };
    cluster.apply('MODIFIED', service({ sessionAffinity: 'None' }, [], { labels: { a: 'b' } }));
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.1', { conditions: { ready: true } })], { metadata }));
    cluster.apply('MODIFIED', { ...node('west'), ...{ spec: { unschedulable: true } } });
    cluster.apply('MODIFIED', { ...node('east'), metadata: { name: 'other' } });
    cluster.apply('MODIFIED', pod('p', [{ containerPort: 80 }]));
    cluster.apply('DELETED', slice([], { metadata: { name: 'unknown' } }));
    cluster.apply('DELETED', service({}, [], { name: 'unknown' }));
    cluster.apply('DELETED', pod('unknown', []));
    assert.equal(cluster.dirty, false);
    assert.deepEqual(taken(cluster), nothing);
  });

  it('deletes with a new list what is not in it', () => {
    const other = service({ clusterIP: '10.96.0.11' }, [], { name: 'other' });
    const cluster = clusterOf([service(), other, slice([endpoint('10.244.0.1')])]);
    cluster.replace('Service', [other]);
    assert.deepEqual(taken(cluster), { upserted: [], deleted: ['default/web:http'] });
    cluster.replace('Service', [other, service()]);
    cluster.replace('EndpointSlice', []);
    assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [[]]);
    cluster.replace('EndpointSlice', null);
    cluster.replace('Service', null);
    assert.equal(cluster.services.size, 0, 'Go writes an empty list as null');
  });

  it('takes labels that begin to hide an object for its deletion, and back', () => {
    const cluster = clusterOf([service(), slice([endpoint('10.244.0.1')])]);
    for (const label of ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']) {
      cluster.apply('MODIFIED', service({}, [], { labels: { [label]: '' } }));
      assert.deepEqual(taken(cluster), { upserted: [], deleted: ['default/web:http'] });
      cluster.apply('MODIFIED', service());
      assert.deepEqual(taken(cluster), { upserted: ['default/web:http'], deleted: [] });
      const labels = { 'kubernetes.io/service-name': 'web', [label]: '' };
      cluster.apply('MODIFIED', slice([endpoint('10.244.0.1')], { metadata: { labels } }));
      assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [[]]);
      cluster.apply('MODIFIED', slice([endpoint('10.244.0.1')]));
      assert.deepEqual(cluster.take()?.upserted.map(backendsOf), [['10.244.0.1 8080']]);
    }
  });

  it('follows the zone of its Node', () => {
    const cluster = clusterOf([
      service(),
      slice([endpoint('10.244.0.1', zones('west')), endpoint('10.244.0.2', zones('east'))]),
    ]);
    const offered = () => cluster.take()?.upserted.map(backendsOf);
    cluster.apply('ADDED', node('west'));
    assert.deepEqual(offered(), [['10.244.0.1 8080', '10.244.0.2 8080 elsewhere']]);
    cluster.apply('MODIFIED', node('east'));
    assert.deepEqual(offered(), [['10.244.0.1 8080 elsewhere', '10.244.0.2 8080']]);
    cluster.apply('DELETED', node('east'));
    assert.deepEqual(offered(), [['10.244.0.1 8080', '10.244.0.2 8080']]);
  });

  it('follows the labels of its Node where annotations choose by them', () => {
    const annotations = { 'service.bpf-lb.io/node-selector': 'tier=edge' };
    const cluster = clusterOf([service({}, [], { annotations }), service({}, [], { name: 'other' }), node()]);
    assert.equal(cluster.services.has('default/web:http'), false);
    cluster.apply('MODIFIED', { ...node(), metadata: { name: thisNode, labels: { tier: 'edge' } } });
    assert.deepEqual(taken(cluster).deleted, []);
    assert.equal(cluster.services.has('default/web:http'), false, 'the other one has its address');
    cluster.apply('DELETED', service({}, [], { name: 'other' }));
    assert.deepEqual(taken(cluster), { upserted: ['default/web:http'], deleted: ['default/other:http'] });
  });

  it('tells a listener once until it is asked', () => {
    const cluster = clusterOf([service()]);
    let called = 0;
    const stop = cluster.on(() => called++);
    cluster.apply('ADDED', slice([endpoint('10.244.0.1')]));
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.2')]));
    assert.equal(called, 1);
    cluster.take();
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.2')]));
    assert.equal(called, 1, 'nothing has changed');
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.3')]));
    assert.equal(called, 2);
    cluster.take();
    stop();
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.4')]));
    assert.deepEqual([called, cluster.dirty], [2, true]);
  });

  it('gives a listener all of a list, not a part', () => {
    const cluster = clusterOf([service()]);
    const sizes: (number | undefined)[] = [];
    cluster.on(() => sizes.push(cluster.take()?.upserted.length));
    const others = [1, 2, 3].map((i) => service({ clusterIP: `10.96.1.${i}` }, [], { name: `s${i}` }));
    cluster.replace('Service', [service(), ...others]);
    assert.deepEqual(sizes, [3]);
  });

  it('gives everything again when asked to', () => {
    const cluster = clusterOf([service(), service({ clusterIP: '10.96.0.11' }, [], { name: 'other' })]);
    cluster.apply('DELETED', service());
    cluster.resync();
    const change = cluster.take();
    assert.equal(change?.full, true);
    assert.deepEqual(
      change.upserted.map(({ name }) => name),
      ['default/other:http'],
    );
    assert.deepEqual(change.deleted, ['default/web:http']);
    assert.equal(cluster.take()?.full, false);
  });

  it('counts changes, and tells when those of slices were triggered', () => {
    const cluster = clusterOf([service()]);
    const at = (time: string) => ({
      metadata: {
        labels: { 'kubernetes.io/service-name': 'web' },
        annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': time },
      },
    });
    cluster.apply('ADDED', slice([endpoint('10.244.0.1')], at('2026-01-01T00:00:00Z')));
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.1')], at('2026-01-01T00:00:01Z')));
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.2')], at('2026-01-01T00:00:02.5Z')));
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.3')], at('soon')));
    cluster.apply('DELETED', slice([endpoint('10.244.0.3')], at('2026-01-01T00:00:09Z')));
    cluster.apply('MODIFIED', service());
    cluster.apply('MODIFIED', service({ sessionAffinity: 'ClientIP' }));
    const { triggerTimes, serviceChanges, endpointChanges } = cluster.take() ?? {};
    const start = Date.UTC(2026, 0, 1);
    assert.deepEqual(triggerTimes, [start, start + 2500]);
    assert.deepEqual([serviceChanges, endpointChanges], [1, 4]);
    assert.deepEqual({ ...cluster.take() }.triggerTimes, []);
  });

  describe('warnings', () => {
    const bad = service({ externalIPs: ['nonsense'] });

    it('are in force until the object is mended or deleted, and are told once', () => {
      const cluster = clusterOf([service()]);
      cluster.apply('MODIFIED', bad);
      assert.equal(cluster.dirty, true);
      const change = cluster.take();
      assert.deepEqual(change?.upserted, []);
      assert.deepEqual(change.warnings, [
        {
          object: { kind: 'Service', namespace: 'default', name: 'web' },
          reason: 'InvalidAddress',
          message: "ExternalIPs 'nonsense' is not an address",
        },
      ]);
      cluster.apply('MODIFIED', { ...bad });
      assert.deepEqual(cluster.take()?.warnings, []);
      assert.deepEqual(cluster.warnings, change.warnings);
      cluster.apply('MODIFIED', service());
      assert.deepEqual([cluster.warnings, cluster.take()?.warnings], [[], []]);
      cluster.apply('MODIFIED', bad);
      assert.equal(cluster.take()?.warnings.length, 1);
      cluster.apply('DELETED', bad);
      assert.deepEqual(cluster.warnings, []);
    });

    it('that come and go before they are told are not', () => {
      const cluster = clusterOf([service()]);
      cluster.apply('MODIFIED', bad);
      cluster.apply('MODIFIED', service());
      assert.deepEqual(cluster.take()?.warnings, []);
    });

    it('name the object by its uid, so that another one of the same name is warned of again', () => {
      const uid = (value: string) => service({ externalIPs: ['x'] }, [], { uid: value });
      const cluster = clusterOf([uid('a')]);
      cluster.apply('MODIFIED', uid('b'));
      assert.deepEqual(
        cluster.take()?.warnings.map(({ object }) => object.uid),
        ['b'],
      );
    });

    it('of frontends that are taken do so, too, though nothing else has changed', () => {
      const [first, rest] = [service({}, [], { name: 'first' }), [{ containerPort: 80, hostPort: 8080 }]];
      const objects = (uid: string) => [service({}, [], { uid }), pod('second', rest, { metadata: { uid } })];
      const cluster = clusterOf([first, pod('first', rest), ...objects('a')]);
      for (const object of objects('b')) cluster.apply('MODIFIED', object);
      assert.deepEqual(
        cluster.warnings.map(({ object, reason }) => `${object.name} ${object.uid} ${reason}`).sort(),
        ['second b FrontendTaken', 'web b FrontendTaken'],
      );
      assert.deepEqual(taken(cluster), nothing);
    });

    it('are about slices, Nodes and Pods, too', () => {
      const cluster = clusterOf([
        slice([endpoint('x')]),
        node(undefined, { status: { addresses: [{ type: 'InternalIP', address: 'x' }] } }),
        pod('p', [{ containerPort: 80, hostPort: 8080, hostIP: 'x' }]),
      ]);
      assert.deepEqual(
        cluster.warnings.map(({ object, reason }) => [object.kind, object.name, reason]),
        [
          ['EndpointSlice', 'web-1', 'InvalidAddress'],
          ['Node', thisNode, 'InvalidAddress'],
          ['Pod', 'p', 'InvalidAddress'],
        ],
      );
    });
  });

  describe('health checks', () => {
    const checked = (spec: object = {}) =>
      service({
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 30900,
        ports: [
          { name: 'http', port: 80 },
          { name: 'https', port: 443 },
        ],
        ...spec,
      });
    const ports = [
      { name: 'http', port: 8080 },
      { name: 'https', port: 8443 },
    ];
    const countOf = (object: KubernetesObject, ...slices: KubernetesObject[]) =>
      clusterOf([object, ...slices]).healthChecks.map(({ port, localEndpoints }) => [port, localEndpoints]);

    it('are of Services of type LoadBalancer with externalTrafficPolicy Local and a port for them', () => {
      assert.deepEqual(countOf(checked()), [[30900, 0]]);
      for (const spec of [
        { type: 'NodePort' },
        { externalTrafficPolicy: 'Cluster' },
        { healthCheckNodePort: 0 },
      ])
        assert.deepEqual(countOf(checked(spec)), []);
    });

    it('count the addresses of ready local endpoints, over all ports and slices', () => {
      const one = slice([local('10.244.0.1'), local('10.244.0.2'), endpoint('10.244.0.3')], { ports });
      const two = slice([local('10.244.0.2'), local('10.244.0.4', { conditions: { ready: false } })], {
        ports: [{ name: 'other', port: 1 }],
        metadata: { name: 'web-2', labels: { 'kubernetes.io/service-name': 'web' } },
      });
      assert.deepEqual(countOf(checked(), one, two), [[30900, 2]]);
    });

    it('do not count endpoints that serve while they terminate, though they have traffic', () => {
      const conditions = { ready: false, serving: true, terminating: true };
      const cluster = clusterOf([checked(), slice([local('10.244.0.1', { conditions })], { ports })]);
      assert.deepEqual([...cluster.services.values()].map(backendsOf), [
        ['10.244.0.1 8080 terminating local'],
        ['10.244.0.1 8443 terminating local'],
      ]);
      assert.equal(cluster.healthChecks[0]?.localEndpoints, 0);
    });

    it('count a Pod of two families once', () => {
      const metadata = { name: 'web-6', labels: { 'kubernetes.io/service-name': 'web' } };
      const six = slice([local('fd00::1')], { ports, addressType: 'IPv6', metadata });
      assert.deepEqual(countOf(checked(), slice([local('10.244.0.1')], { ports }), six), [[30900, 1]]);
    });

    it('follow their Service and its slices', () => {
      const cluster = clusterOf([checked()]);
      cluster.apply('ADDED', slice([local('10.244.0.1')], { ports }));
      assert.deepEqual(cluster.healthChecks, [
        { namespace: 'default', name: 'web', port: 30900, localEndpoints: 1 },
      ]);
      cluster.apply('MODIFIED', checked({ healthCheckNodePort: 30901 }));
      assert.equal(cluster.healthChecks[0]?.port, 30901);
      cluster.apply('DELETED', checked());
      assert.deepEqual(cluster.healthChecks, []);
    });
  });

  describe('Services without local endpoints', () => {
    const policies = (internalTrafficPolicy: string, externalTrafficPolicy: string, nodePort = 30080) => ({
      internalTrafficPolicy,
      externalTrafficPolicy,
      ports: [
        { name: 'http', port: 80, nodePort },
        { name: 'more', port: 81 },
      ],
    });
    const ports = [
      { name: 'http', port: 8080 },
      { name: 'more', port: 8081 },
    ];
    const countOf = (spec: object, endpoints: Parameters<typeof slice>[0]) =>
      clusterOf([service(spec), slice(endpoints, { ports })]).noLocalEndpoints;

    it('are counted for each direction whose policy is Local, once', () => {
      const remote = [endpoint('10.244.0.1')];
      assert.deepEqual(countOf(policies('Local', 'Local'), remote), { internal: 1, external: 1 });
      assert.deepEqual(countOf(policies('Local', 'Cluster'), remote), { internal: 1, external: 0 });
      assert.deepEqual(countOf(policies('Cluster', 'Local'), remote), { internal: 0, external: 1 });
      assert.deepEqual(countOf(policies('Cluster', 'Cluster'), remote), { internal: 0, external: 0 });
      assert.deepEqual(countOf(policies('Local', 'Local', 0), remote), { internal: 1, external: 0 });
    });

    it('are not those that have local ones, if only terminating, or none at all', () => {
      const conditions = { ready: false, serving: true, terminating: true };
      const both = policies('Local', 'Local');
      const remote = endpoint('10.244.0.2');
      for (const endpoints of [
        [],
        [local('10.244.0.1'), remote],
        [local('10.244.0.1', { conditions }), remote],
      ])
        assert.deepEqual(countOf(both, endpoints), { internal: 0, external: 0 });
    });

    it('are no longer counted when the Service goes', () => {
      const cluster = clusterOf([
        service(policies('Local', 'Local')),
        slice([endpoint('10.244.0.1')], { ports }),
      ]);
      assert.deepEqual(cluster.noLocalEndpoints, { internal: 1, external: 1 });
      cluster.apply('DELETED', service());
      assert.deepEqual(cluster.noLocalEndpoints, { internal: 0, external: 0 });
    });
  });

  describe('its Node', () => {
    const address = (type: string, text: string) => ({ type, address: text });
    const nodeOf = (cluster: ClusterState) => cluster.node ?? assert.fail('it is not known');

    it('is told as it is: addresses by their kind, zone, Pods and whether load balancers may use it', () => {
      const cluster = clusterOf();
      assert.equal(cluster.node, undefined);
      const addresses = [
        address('Hostname', 'node-1'),
        address('ExternalIP', '198.51.100.1'),
        address('InternalIP', '192.000.2.1'),
        address('InternalIP', '2001:DB8::1'),
        address('InternalIP', '192.0.2.1'),
      ];
      const podCIDRs = ['10.244.1.0/24', 'fd00:1::/64'];
      cluster.apply('ADDED', node('west', { status: { addresses }, spec: { podCIDRs } }));
      const { labels, ...rest } = nodeOf(cluster);
      assert.deepEqual(rest, {
        name: thisNode,
        addresses: ['192.0.2.1', '2001:db8::1', '198.51.100.1'],
        zone: 'west',
        podCIDRs,
        eligible: true,
      });
      assert.equal(labels.size, 1);
      cluster.apply('MODIFIED', node('', { spec: { podCIDR: '10.244.1.0/24' } }));
      assert.deepEqual([nodeOf(cluster).podCIDRs, nodeOf(cluster).zone], [['10.244.1.0/24'], undefined]);
    });

    it('is worth a sync when its addresses change: health checks may listen on them', () => {
      const at = (text: string) => node('west', { status: { addresses: [address('InternalIP', text)] } });
      const cluster = clusterOf([at('192.0.2.1')]);
      cluster.apply('MODIFIED', at('192.0.2.1'));
      assert.equal(cluster.dirty, false);
      cluster.apply('MODIFIED', at('192.0.2.2'));
      assert.equal(cluster.dirty, true);
      assert.deepEqual(taken(cluster), nothing);
    });

    it('is not eligible while it is being deleted, or is going to be', () => {
      const eligible = (object: object) => clusterOf([{ ...node(), ...object }]).node?.eligible;
      assert.equal(eligible({ spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }] } }), false);
      assert.equal(
        eligible({ metadata: { name: thisNode, deletionTimestamp: '2026-01-01T00:00:00Z' } }),
        false,
      );
      assert.equal(eligible({ spec: { taints: [{ key: 'other' }], unschedulable: true } }), true);
    });
  });
});
