import assert from 'node:assert/strict';

import {
  ClusterState,
  type EndpointSliceObject,
  type KubernetesObject,
  type ServiceObject,
} from '../../../lib/kubernetes';
import { endpoint, local, node, service, slice, thisNode } from './fixtures';

const services = 10_000;
const endpointsEach = 10;
const slicesOfLarge = 5;

function serviceOf(i: number): ServiceObject {
  const clusterIP = `10.96.${i >> 8}.${i & 255}`;
  const ports = [{ name: 'http', port: 80, nodePort: 30000 + i }];
  return service({ clusterIP, ports }, [], { name: `s${i}` });
}

function endpointsOf(i: number) {
  return [...Array(endpointsEach).keys()].map((n) => endpoint(`10.${128 + n}.${i >> 8}.${i & 255}`));
}

/** Counts how often any property, at any depth, is read. */
function counted<T extends object>(object: T, count: { reads: number }): T {
  return new Proxy(object, {
    get(target, key, receiver) {
      count.reads++;
      const value: unknown = Reflect.get(target, key, receiver);
      return typeof value === 'object' && value !== null ? counted(value, count) : value;
    },
  });
}

describe(`kubernetes: a change among ${services} Services with ${services * endpointsEach} endpoints`, () => {
  let cluster: ClusterState;
  const reads = { reads: 0 };

  before(() => {
    cluster = new ClusterState({ nodeName: thisNode });
    const indexes = [...Array(services).keys()];
    cluster.replace(
      'Service',
      indexes.map((i) => counted(serviceOf(i), reads)),
    );
    const slices = indexes.map((i) => counted(slice(endpointsOf(i), {}, `s${i}`), reads));
    const more = [...Array(slicesOfLarge - 1).keys()].map((n): EndpointSliceObject => {
      const labels = { 'kubernetes.io/service-name': 's0' };
      return slice([endpoint(`10.100.0.${n + 1}`)], { metadata: { name: `s0-more-${n}`, labels } });
    });
    cluster.replace('EndpointSlice', [...slices, ...more]);
    cluster.replace('Node', [node('west')]);
    assert.equal(cluster.take()?.upserted.length, services);
  });

  /** What a change costs. */
  function costOf(change: () => void) {
    const before = cluster.translated;
    reads.reads = 0;
    change();
    const upserted = cluster.take()?.upserted.map(({ name }) => name);
    const after = cluster.translated;
    return {
      upserted,
      services: after.services - before.services,
      slices: after.slices - before.slices,
      reads: reads.reads,
    };
  }

  it('of one slice costs that slice and its Service', () => {
    assert.deepEqual(
      costOf(() => cluster.apply('MODIFIED', slice([local('10.128.0.7')], {}, 's7'))),
      { upserted: ['default/s7:http'], services: 1, slices: 1, reads: 0 },
    );
    assert.deepEqual(
      costOf(() => cluster.apply('DELETED', slice([], {}, 's7'))),
      { upserted: ['default/s7:http'], services: 1, slices: 0, reads: 0 },
    );
    const many = costOf(() => cluster.apply('MODIFIED', slice([local('10.128.0.7')], {}, 's0')));
    assert.deepEqual(many, { upserted: ['default/s0:http'], services: 1, slices: slicesOfLarge, reads: 0 });
  });

  it('of one slice is read in proportion to what is in it', () => {
    const readsOf = (endpoints: ReturnType<typeof endpointsOf>) =>
      costOf(() => cluster.apply('MODIFIED', counted(slice(endpoints, {}, 's9'), reads))).reads;
    const [one, ten, hundred] = [1, 10, 100].map((n) =>
      readsOf([...Array(n).keys()].map((i) => endpoint(`10.99.${n}.${i + 1}`))),
    ) as [number, number, number];
    assert.equal(hundred - ten, 10 * (ten - one));
    assert.ok(one < 100, String(one));
  });

  it('of one Service costs that Service, also when it claims what another one has', () => {
    const change = () => {
      const [old, more] = [serviceOf(3), serviceOf(4)];
      const externalIPs = [more.spec?.clusterIP as string];
      cluster.apply('MODIFIED', { ...old, spec: { ...old.spec, externalIPs } } as KubernetesObject);
    };
    assert.deepEqual(costOf(change), {
      upserted: ['default/s4:http', 'default/s3:http'],
      services: 1,
      slices: 1,
      reads: 0,
    });
  });

  it('of nothing that is read costs nothing', () => {
    const metadata = { name: 's5', resourceVersion: '99', annotations: { note: 'x' } };
    assert.deepEqual(
      costOf(() => {
        cluster.apply('MODIFIED', { ...serviceOf(5), metadata: { ...metadata, namespace: 'default' } });
        cluster.apply('MODIFIED', slice(endpointsOf(5), {}, 's5'));
        cluster.apply('MODIFIED', node('west', { spec: { taints: [{ key: 'x' }] } }));
      }),
      { upserted: [], services: 0, slices: 0, reads: 0 },
    );
  });

  it("of the Node's zone costs all, and changes nothing where no hint is", () => {
    const { upserted, services: translated } = costOf(() => cluster.apply('MODIFIED', node('east')));
    assert.deepEqual([upserted, translated], [[], services]);
  });
});
