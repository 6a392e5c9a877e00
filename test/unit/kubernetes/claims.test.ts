import assert from 'node:assert/strict';

import { ClusterState, type ServiceObject } from '../../../lib/kubernetes';
import { Claims } from '../../../lib/kubernetes/claims';
import { passOrder } from '../../../lib/kubernetes/pass-order';
import type { ServiceSpec } from '../../../lib';
import { endpoint, frontendsOf, service, slice, thisNode } from './fixtures';

const [x, y] = ['198.51.100.1', '198.51.100.2'];

/** Services with a cluster IP of their own, and external IPs that they may share. */
function claiming(name: string, externalIPs: string[], port = 80): ServiceObject {
  return service({ clusterIP: `10.96.0.${name.charCodeAt(0)}`, externalIPs, ports: [{ port }] }, [], {
    name,
  });
}

function stateOf(...services: ServiceObject[]): ClusterState {
  const cluster = new ClusterState({ nodeName: thisNode });
  cluster.replace('EndpointSlice', []);
  cluster.replace('Service', services);
  cluster.take();
  return cluster;
}

const external = (cluster: ClusterState) =>
  Object.fromEntries(
    [...cluster.services].map(([name, { frontends }]) => [
      name,
      frontends.flatMap(({ type, address }) => (type === 'ExternalIPs' ? address : [])),
    ]),
  );

describe('kubernetes: frontends that several claim', () => {
  it('are had by the first by name, whoever came first', () => {
    const [a, b] = [claiming('a', [x, y]), claiming('b', [x])];
    for (const cluster of [stateOf(a, b), stateOf(b, a)])
      assert.deepEqual(external(cluster), { 'default/a': [x, y], 'default/b': [] });
    const cluster = stateOf(b);
    cluster.apply('ADDED', a);
    assert.deepEqual(
      cluster
        .take()
        ?.upserted.map(({ name }) => name)
        .sort(),
      ['default/a', 'default/b'],
    );
    assert.deepEqual(external(cluster), { 'default/a': [x, y], 'default/b': [] });
  });

  it('go to the next one when the first goes, or wants them no longer', () => {
    const cluster = stateOf(claiming('a', [x]), claiming('b', [x]), claiming('c', [x]));
    cluster.apply('DELETED', claiming('a', [x]));
    assert.deepEqual(external(cluster), { 'default/b': [x], 'default/c': [] });
    cluster.apply('MODIFIED', claiming('b', [y]));
    assert.deepEqual(external(cluster), { 'default/b': [y], 'default/c': [x] });
  });

  it('are settled again only for whom it makes a difference', () => {
    const claims = new Claims();
    const claimant = (name: string) => ({ name, rank: `0${name}` });
    assert.deepEqual(claims.add('x', claimant('b')), []);
    assert.deepEqual(claims.add('x', claimant('d')), []);
    assert.deepEqual(claims.add('x', claimant('c')), []);
    assert.deepEqual(claims.add('x', claimant('a')), ['b', 'c', 'd']);
    assert.deepEqual(claims.remove('x', 'c'), []);
    assert.deepEqual(claims.remove('x', 'a'), ['b', 'd']);
    assert.equal(claims.ownerOf('x'), 'b');
  });

  it('are those of the same address, port and protocol', () => {
    const cluster = stateOf(claiming('a', [x], 80), claiming('b', [x], 81));
    assert.deepEqual(external(cluster), { 'default/a': [x], 'default/b': [x] });
    assert.deepEqual(cluster.warnings, []);
  });

  it('are a warning to the one that has to do without, for as long as that lasts', () => {
    const cluster = stateOf(claiming('a', [x]), claiming('b', [x]));
    assert.deepEqual(cluster.warnings, [
      {
        object: { kind: 'Service', namespace: 'default', name: 'b' },
        reason: 'FrontendTaken',
        message: `default/b: ExternalIPs ${x}:80/TCP belongs to default/a`,
      },
    ]);
    cluster.apply('DELETED', claiming('a', []));
    assert.deepEqual(cluster.warnings, []);
  });

  it('leave a service without any frontend out, and bring it back', () => {
    const [a, b] = ['a', 'b'].map((name) => service({}, [], { name })) as [ServiceObject, ServiceObject];
    const cluster = stateOf(a, b);
    assert.deepEqual([...cluster.services.keys()], ['default/a:http']);
    cluster.apply('DELETED', a);
    assert.deepEqual([...cluster.services.keys()], ['default/b:http']);
  });

  it('of one Service are its first port of that number', () => {
    const ports = [
      { name: 'b', port: 80 },
      { name: 'a', port: 80 },
    ];
    assert.deepEqual([...stateOf(service({ ports })).services.keys()], ['default/web:a']);
  });

  it('may leave backends of a family without a frontend', () => {
    const ipFamilies = ['IPv4', 'IPv6'];
    const metadata = { name: 'web-6', labels: { 'kubernetes.io/service-name': 'web' } };
    const cluster = stateOf(
      service({ clusterIP: '10.96.0.10' }, [], { name: 'first' }),
      service({ clusterIPs: ['10.96.0.10', 'fd00::10'], ipFamilies }),
    );
    cluster.apply('ADDED', slice([endpoint('10.244.0.1')]));
    cluster.apply('ADDED', slice([endpoint('fd00:1::1')], { addressType: 'IPv6', metadata }));
    const spec = cluster.services.get('default/web:http') as ServiceSpec;
    assert.deepEqual(frontendsOf(spec), ['ClusterIP fd00::10 80/TCP']);
    assert.deepEqual(
      spec.backends.map(({ address }) => address),
      ['fd00:1::1'],
    );
  });

  describe('pass on', () => {
    const spec = (name: string, ...addresses: string[]): ServiceSpec => ({
      name,
      frontends: addresses.map((address) => ({ type: 'ExternalIPs', address, port: 80, protocol: 'TCP' })),
      backends: [],
    });
    const stepsOf = (...changes: [before: ServiceSpec | undefined, after: ServiceSpec][]) => {
      const { upserted, deleted } = passOrder(changes.map(([before, after]) => ({ before, after })));
      return [
        deleted,
        ...upserted.map(({ name, frontends }) => [
          name,
          ...frontends.flatMap(({ address }) => address ?? []),
        ]),
      ];
    };

    it('from the one that had it first', () => {
      assert.deepEqual(
        stepsOf([spec('a'), spec('a', x)], [undefined, spec('n', 'z')], [spec('b', x, y), spec('b', y)]),
        [[], ['b', y], ['a', x], ['n', 'z']],
      );
    });

    it('in a circle: both let go, then both take', () => {
      assert.deepEqual(
        stepsOf([spec('a', 'a', x), spec('a', 'a', y)], [spec('b', 'b', y), spec('b', 'b', x)]),
        [[], ['a', 'a'], ['b', 'b'], ['a', 'a', y], ['b', 'b', x]],
      );
    });

    it('in a circle, from services that have nothing else: they are deleted first', () => {
      assert.deepEqual(stepsOf([spec('a', x), spec('a', y)], [spec('b', y), spec('b', x)]), [
        ['a', 'b'],
        ['a', y],
        ['b', x],
      ]);
    });
  });
});
