import type {
  EndpointSliceObject,
  NodeObject,
  ObjectMeta,
  PodObject,
  ServiceObject,
} from '../../../lib/kubernetes';
import type { ServiceSpec } from '../../../lib';
import { toServiceSpecs, type TranslateOptions } from '../../../lib/kubernetes';

export const thisNode = 'node-1';

type Spec = NonNullable<ServiceObject['spec']>;
type EndpointObject = NonNullable<EndpointSliceObject['endpoints']>[number];

/** One port, `http` 80, unless the spec says otherwise. */
export function service(
  spec: Spec = {},
  ingress: NonNullable<NonNullable<ServiceObject['status']>['loadBalancer']>['ingress'] = [],
  metadata: ObjectMeta = {},
): ServiceObject {
  return {
    kind: 'Service',
    metadata: { namespace: 'default', name: 'web', ...metadata },
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80 }], ...spec },
    status: { loadBalancer: { ingress } },
  };
}

/** Of Service `web`, with port `http` 8080, unless the slice says otherwise. */
export function slice(
  endpoints: readonly EndpointObject[],
  { metadata, ...others }: EndpointSliceObject = {},
  owner = 'web',
): EndpointSliceObject {
  const labels = { 'kubernetes.io/service-name': owner };
  return {
    kind: 'EndpointSlice',
    metadata: { namespace: 'default', name: `${owner}-1`, labels, ...metadata },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints,
    ...others,
  };
}

export function endpoint(address: string, others: Omit<EndpointObject, 'addresses'> = {}): EndpointObject {
  return { addresses: [address], ...others };
}

export function local(address: string, others: Omit<EndpointObject, 'addresses'> = {}): EndpointObject {
  return endpoint(address, { nodeName: thisNode, ...others });
}

export const unready = { conditions: { ready: false } };
export const terminating = { conditions: { ready: false, serving: true, terminating: true } };
export const gone = { conditions: { ready: false, serving: false, terminating: true } };

export function zones(...names: string[]): Pick<EndpointObject, 'hints'> {
  return { hints: { forZones: names.map((name) => ({ name })) } };
}

export function node(zone?: string, others: NodeObject = {}): NodeObject {
  const labels = zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone };
  return { kind: 'Node', metadata: { name: thisNode, labels }, ...others };
}

export function pod(
  name: string,
  ports: readonly { containerPort: number; hostPort?: number; hostIP?: string; protocol?: string }[],
  { spec, status, metadata }: PodObject = {},
): PodObject {
  return {
    kind: 'Pod',
    metadata: { namespace: 'default', name, ...metadata },
    spec: { nodeName: thisNode, containers: [{ ports }], ...spec },
    status: { phase: 'Running', podIPs: [{ ip: '10.244.1.9' }], ...status },
  };
}

export function translateAll(
  object: ServiceObject,
  slices: readonly EndpointSliceObject[] = [],
  options: Partial<TranslateOptions> = {},
) {
  return toServiceSpecs(object, slices, { nodeName: thisNode, ...options });
}

/** For Services with one port. */
export function translateOne(
  object: ServiceObject,
  slices: readonly EndpointSliceObject[] = [],
  options: Partial<TranslateOptions> = {},
): ServiceSpec {
  const { services } = translateAll(object, slices, options);
  const [spec] = services;
  if (!spec || services.length !== 1) throw new Error(`${services.length} services`);
  return spec;
}

export function frontendsOf({ frontends }: ServiceSpec): string[] {
  return frontends.map(({ type, address = '*', port, protocol }) => `${type} ${address} ${port}/${protocol}`);
}

/** With what is unusual about them. */
export function backendsOf(spec: ServiceSpec | undefined): string[] {
  return (spec?.backends ?? []).map(({ address, port, state, local, clusterWide }) =>
    [
      `${address} ${port}`,
      ...(state ? [state] : []),
      ...(local ? ['local'] : []),
      ...(clusterWide === false ? ['elsewhere'] : []),
    ].join(' '),
  );
}

/** What comes over the network may be anything. */
export function malformed<T>(value: unknown): T {
  return value as T;
}
