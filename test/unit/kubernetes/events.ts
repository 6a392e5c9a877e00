import fc from 'fast-check';

import type { ClusterState, Kind, KubernetesObject } from '../../../lib/kubernetes';
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
/* One that is deleted and made again is another one of the same name. */
const uids = mostly('1', '2');
const hidden = mostly<object>({}, {}, { 'service.kubernetes.io/service-proxy-name': 'x' });

const services = fc
  .record({
    name: names,
    uid: uids,
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
  .map(({ name, uid, labels, annotations, clusterIP, second, ingress, ...spec }) => ({
    kind: 'Service' as const,
    metadata: { namespace: 'default', name, uid, labels, annotations },
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
    uid: uids,
    hostPort: fc.constantFrom(0, 30080, 8080),
    hostIP: fc.constantFrom('', '10.96.0.1', '0.0.0.0', '::'),
    protocol: protocols,
    podIPs: fc.subarray([{ ip: '10.244.0.1' }, { ip: 'fd00:1::1' }]),
    phase: fc.constantFrom('Running', 'Running', 'Succeeded'),
    deletionTimestamp: maybe(fc.constant('2026-01-01T00:00:00Z')),
  })
  .map(({ name, uid, podIPs, phase, deletionTimestamp, ...port }) => ({
    kind: 'Pod' as const,
    metadata: { namespace: 'default', name, uid, ...(deletionTimestamp && { deletionTimestamp }) },
    spec: { nodeName: thisNode, containers: [{ ports: [{ containerPort: 80, ...port }] }] },
    status: { phase, podIPs },
  }));

/** What may happen. */
export type Step =
  { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: KubernetesObject } | 'take' | 'relist' | 'resync';

/** A sequence of it. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
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
export class Objects {
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
