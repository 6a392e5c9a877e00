import assert from 'node:assert/strict';

import fc from 'fast-check';

import { ClusterState, type Kind, type KubernetesObject } from '../../../lib/kubernetes';
import { defineService } from '../../../lib/service-definition';
import { ServiceTable } from '../../../lib/service-table';
import { Transaction } from '../../../lib/transaction';
import { thisNode } from './fixtures';

/* Few of everything, and most of it good, so that they meet. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const names = fc.constantFrom('a', 'b', 'c');
const mostly = <T>(usual: T, ...others: T[]) =>
  fc.oneof(
    { weight: 7, arbitrary: fc.constant(usual) },
    { weight: 3, arbitrary: fc.constantFrom(...others) },
  );
const portNames = mostly('http', '', 'dns');
const protocols = mostly('TCP', 'UDP', 'SCTP');
const addresses = fc.constantFrom('10.96.0.1', '10.96.0.2', '010.96.0.3', 'fd00::1', 'fd00::2', 'nonsense');
const endpointAddresses = fc.constantFrom('10.244.0.1', '10.244.0.2', 'fd00:1::1', 'fd00:1::2');
const zoneNames = fc.constantFrom('west', 'east');
const policies = fc.constantFrom('Cluster', 'Local', undefined);
const hidden = mostly<object>({}, {}, { 'service.kubernetes.io/service-proxy-name': 'x' });

const services = fc
  .record({
    name: names,
    labels: hidden,
    annotations: mostly<object>(
      {},
      { 'service.bpf-lb.io/type': 'NodePort,LoadBalancer' },
      { 'service.cilium.io/node-selector': 'tier=edge' },
      { 'service.bpf-lb.io/lb-algorithm': 'least' },
    ),
    type: mostly('LoadBalancer', 'ClusterIP', 'ExternalName'),
    clusterIP: mostly('10.96.0.1', '10.96.0.2', 'fd00::1', 'None'),
    second: maybe(fc.constantFrom('fd00::2', 'fd00::1')),
    externalIPs: fc.array(addresses, { maxLength: 2 }),
    ingress: fc.array(fc.record({ ip: addresses, ipMode: fc.constantFrom('VIP', 'Proxy', undefined) }), {
      maxLength: 2,
    }),
    loadBalancerSourceRanges: fc.subarray(['10.0.0.0/8', 'fd00::/8', 'nonsense']),
    ports: fc.array(
      fc.record({
        name: portNames,
        port: mostly(80, 81, 0),
        protocol: protocols,
        nodePort: mostly(30080, 0, 30081),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    internalTrafficPolicy: policies,
    externalTrafficPolicy: policies,
    healthCheckNodePort: fc.constantFrom(0, 30900),
    sessionAffinity: fc.constantFrom('None', 'ClientIP', undefined),
  })
  .map(({ name, labels, annotations, clusterIP, second, ingress, ...spec }) => ({
    kind: 'Service' as const,
    metadata: { namespace: 'default', name, labels, annotations },
    spec: {
      ...spec,
      clusterIP,
      clusterIPs: second ? [clusterIP, second] : [clusterIP],
      ...(second && { ipFamilies: ['IPv4', 'IPv6'] }),
    },
    status: { loadBalancer: { ingress } },
  }));

const slices = fc
  .record({
    name: fc.constantFrom('s1', 's2', 's3', 's4'),
    owner: fc.oneof({ weight: 9, arbitrary: names }, { weight: 1, arbitrary: fc.constant('') }),
    labels: hidden,
    addressType: mostly('IPv4', 'IPv6', 'FQDN'),
    ports: fc.array(fc.record({ name: portNames, port: mostly(8080, 8081), protocol: protocols }), {
      minLength: 1,
      maxLength: 3,
    }),
    endpoints: fc.array(
      fc.record({
        addresses: endpointAddresses.map((address) => [address]),
        nodeName: fc.constantFrom(thisNode, 'other', undefined),
        conditions: fc.record({
          ready: mostly(true, false),
          serving: fc.boolean(),
          terminating: fc.boolean(),
        }),
        hints: fc.record({
          forZones: zoneNames.map((name) => [{ name }]),
          forNodes: mostly([], [{ name: thisNode }], [{ name: 'other' }]),
        }),
      }),
      { maxLength: 5 },
    ),
  })
  .map(({ name, owner, labels, ...rest }) => ({
    kind: 'EndpointSlice' as const,
    metadata: { namespace: 'default', name, labels: { ...labels, 'kubernetes.io/service-name': owner } },
    ...rest,
  }));

const nodes = fc.record({ zone: zoneNames, tier: maybe(fc.constant('edge')) }).map(({ zone, tier }) => ({
  kind: 'Node' as const,
  metadata: {
    name: thisNode,
    labels: { ...(zone && { 'topology.kubernetes.io/zone': zone }), ...(tier && { tier }) },
  },
}));

const pods = fc
  .record({
    name: names,
    hostPort: fc.constantFrom(0, 30080, 8080),
    hostIP: fc.constantFrom('', '10.96.0.1', '0.0.0.0', '::'),
    protocol: protocols,
    podIPs: fc.subarray([{ ip: '10.244.0.1' }, { ip: 'fd00:1::1' }]),
    phase: fc.constantFrom('Running', 'Running', 'Succeeded'),
    deletionTimestamp: maybe(fc.constant('2026-01-01T00:00:00Z')),
  })
  .map(({ name, podIPs, phase, deletionTimestamp, ...port }) => ({
    kind: 'Pod' as const,
    metadata: { namespace: 'default', name, ...(deletionTimestamp && { deletionTimestamp }) },
    spec: { nodeName: thisNode, containers: [{ ports: [{ containerPort: 80, ...port }] }] },
    status: { phase, podIPs },
  }));

type Step =
  { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: KubernetesObject } | 'take' | 'relist' | 'resync';

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constantFrom('ADDED' as const, 'MODIFIED' as const, 'MODIFIED' as const, 'DELETED' as const),
        object: fc.oneof(services, services, slices, slices, nodes, pods) as fc.Arbitrary<KubernetesObject>,
      }),
    },
    { weight: 3, arbitrary: fc.constant('take' as const) },
    { weight: 1, arbitrary: fc.constantFrom('relist' as const, 'resync' as const) },
  ),
  { minLength: 20, maxLength: 60 },
);

const kinds: readonly Kind[] = ['Service', 'EndpointSlice', 'Node', 'Pod'];

/** What an API server holds. */
class Objects {
  readonly #objects = new Map<string, KubernetesObject>();

  change(type: string, object: KubernetesObject): void {
    const key = `${object.kind} ${object.metadata?.name}`;
    if (type === 'DELETED') this.#objects.delete(key);
    else this.#objects.set(key, object);
  }

  list(cluster: ClusterState): void {
    const objects = [...this.#objects.values()];
    for (const kind of kinds)
      cluster.replace(
        kind,
        objects.filter((object) => object.kind === kind),
      );
  }
}

/** The tables of a LoadBalancer, which refuse what may not be. */
class Node {
  readonly table = new ServiceTable({ frontends: 1000, backends: 10_000 }, new Set());

  follow(cluster: ClusterState): void {
    const { full, upserted, deleted } = cluster.take() ?? assert.fail('it is synced');
    const transaction = new Transaction(this.table);
    for (const name of deleted) transaction.remove(name);
    if (full) this.#forget(transaction, new Set(upserted.map(({ name }) => name)));
    for (const spec of upserted) transaction.put(defineService(spec));
    transaction.accept();
  }

  /** A full change comes in no order: all that is there gives its frontends away. */
  #forget(transaction: Transaction, desired: ReadonlySet<string>): void {
    for (const name of this.table.records.keys()) {
      if (desired.has(name)) transaction.disown(name);
      else transaction.remove(name);
    }
  }
}

describe('kubernetes: cluster state, after any sequence of events', () => {
  it('is as if it had only seen the end; and each change can be carried out as it is given', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const [objects, cluster, node] = [
          new Objects(),
          new ClusterState({ nodeName: thisNode }),
          new Node(),
        ];
        objects.list(cluster);
        for (const step of sequence) {
          if (step === 'take') {
            node.follow(cluster);
          } else if (step === 'relist') {
            objects.list(cluster);
          } else if (step === 'resync') {
            cluster.resync();
          } else {
            objects.change(step.type, step.object);
            cluster.apply(step.type, step.object);
          }
        }
        const fresh = new ClusterState({ nodeName: thisNode });
        objects.list(fresh);
        assert.deepEqual(cluster.services, fresh.services);
        assert.deepEqual(sorted(cluster.warnings), sorted(fresh.warnings));
        assert.deepEqual(sorted(cluster.healthChecks), sorted(fresh.healthChecks));
        assert.deepEqual(cluster.noLocalEndpoints, fresh.noLocalEndpoints);
        assert.deepEqual(cluster.node, fresh.node);
        node.follow(cluster);
        assert.deepEqual(
          new Map([...node.table.records].map(([name, { definition }]) => [name, definition])),
          new Map([...fresh.services].map(([name, spec]) => [name, defineService(spec)])),
        );
        const { upserted, deleted, warnings } = cluster.take() ?? assert.fail('it is synced');
        assert.deepEqual([upserted, deleted, warnings], [[], [], []]);
      }),
      { numRuns: 500 },
    );
  });
});

function sorted(list: readonly object[]): string[] {
  return list.map((item) => JSON.stringify(item)).sort();
}
