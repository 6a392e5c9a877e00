import type { EndpointSliceObject, ServiceObject } from '../../../lib/kubernetes';
import { formatEndpoint } from '../../../lib/address';
import type { CaseConfig, CaseFlow, CaseNode, Mode, PacketFlowCase } from '../packet-flow-case';
import type { Family } from '../node';

/* What cases are made of: each of them in both families. */

type ServiceSpecObject = NonNullable<ServiceObject['spec']>;
type EndpointObject = NonNullable<EndpointSliceObject['endpoints']>[number];
type Port = NonNullable<ServiceSpecObject['ports']>[number];

/** What is asked for. The numbers are those of services. */
export type Target =
  'clusterIP' | 'vip' | 'externalIP' | 'node' | 'otherNodeAddress' | 'loopback' | 'unallocated';

/** Who asks. */
export type Source = 'pod' | 'node' | 'loopback' | 'external' | 'external-blocked' | 'lb-vip';

/** On this node or on another one, and its number there. */
export type Backend = readonly [place: 'here' | 'there', number: number];

const families: readonly Family[] = [4, 6];

const plan = {
  4: {
    name: 'IPv4',
    node: ['192.0.2.10', '192.0.2.11'],
    loopback: '127.0.0.1',
    client: '198.18.0.5',
    blocked: '198.18.9.9',
    unallocated: '10.96.7.7',
    clusterIP: '10.96.0.',
    vip: '203.0.113.',
    externalIP: '198.51.100.',
    here: '10.244.1.',
    there: '10.244.2.',
  },
  6: {
    name: 'IPv6',
    node: ['2001:db8:a::10', '2001:db8:a::11'],
    loopback: '::1',
    client: '2001:db8:c::5',
    blocked: '2001:db8:c9::9',
    unallocated: 'fd00:96::777',
    clusterIP: 'fd00:96::',
    vip: '2001:db8:f::',
    externalIP: '2001:db8:e::',
    here: 'fd00:244:1::',
    there: 'fd00:244:2::',
  },
} as const;

export const node: CaseNode = { name: 'node-a', ips: [...plan[4].node, ...plan[6].node], zone: 'zone-1' };

export const config: CaseConfig = {
  masqueradeAll: false,
  localPodCIDRs: ['10.244.0.0/16', 'fd00:244::/32'],
  nodePortAddresses: ['192.0.2.10/32', '2001:db8:a::10/128'],
  localhostNodePorts: false,
  serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/112'],
};

/** Clients of both families that are told from those that are blocked, with blanks around. */
export const clientRanges = [' 198.18.0.0/24', '2001:db8:c::/64 '];
/** With the first address of the node. */
export const nodeRanges = ['192.0.2.0/28', '2001:db8:a::/120'];

/** An address of each family. */
export function addresses(
  kind: 'clusterIP' | 'vip' | 'externalIP' | 'here' | 'there',
  number: number,
): string[] {
  return families.map((family) => plan[family][kind] + number);
}

/** For {@link service}. */
export interface ServiceOptions {
  /** Decides its addresses. Default 1. */
  readonly number?: number;
  readonly vip?: boolean;
  readonly external?: boolean;
  readonly nodePort?: number;
  readonly ports?: readonly Port[];
  readonly spec?: Partial<ServiceSpecObject>;
}

/** A Service with port `p`, 80, unless it says otherwise. */
export function service(name: string, options: ServiceOptions = {}): ServiceObject {
  const { number = 1, vip = false, external = false, nodePort, spec } = options;
  const { ports = [{ name: 'p', port: 80, protocol: 'TCP', ...(nodePort && { nodePort }) }] } = options;
  const clusterIPs = addresses('clusterIP', number);
  return {
    kind: 'Service',
    metadata: { namespace: 'ns', name },
    spec: {
      type: vip ? 'LoadBalancer' : nodePort ? 'NodePort' : 'ClusterIP',
      clusterIP: clusterIPs[0] as string,
      clusterIPs,
      ipFamilies: ['IPv4', 'IPv6'],
      ports,
      ...(external && { externalIPs: addresses('externalIP', number) }),
      ...spec,
    },
    status: {
      loadBalancer: { ingress: vip ? addresses('vip', number).map((ip) => ({ ip, ipMode: 'VIP' })) : [] },
    },
  };
}

/** An endpoint in a slice of each family. */
export interface CaseEndpoint {
  readonly backend: Backend;
  readonly conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

const names = (list: readonly string[]) => list.map((name) => ({ name }));

/** A slice of each family, with port `p`, 8080. */
export function slices(
  owner: string,
  endpoints: readonly CaseEndpoint[],
  ports: NonNullable<EndpointSliceObject['ports']> = [{ name: 'p', port: 8080, protocol: 'TCP' }],
  suffix = '',
): EndpointSliceObject[] {
  return families.map((family) => ({
    kind: 'EndpointSlice',
    metadata: {
      namespace: 'ns',
      name: `${owner}-${family}${suffix}`,
      labels: { 'kubernetes.io/service-name': owner },
    },
    addressType: plan[family].name,
    ports,
    endpoints: endpoints.map(
      ({ backend: [place, number], conditions = {}, zones, nodes }): EndpointObject => ({
        addresses: [plan[family][place] + number],
        conditions,
        nodeName: place === 'here' ? node.name : 'node-b',
        hints: { ...(zones && { forZones: names(zones) }), ...(nodes && { forNodes: names(nodes) }) },
      }),
    ),
  }));
}

/** For {@link flow}. */
export interface FlowOptions {
  readonly masquerade?: boolean;
  readonly protocol?: CaseFlow['protocol'];
  readonly mode?: Mode;
  readonly families?: readonly Family[];
  /** Of the backends. Default 8080. */
  readonly backendPort?: number;
  /** Of the service that is asked for. Default 1. */
  readonly number?: number;
  /** A pod of this node, which asks. Default 5. */
  readonly pod?: number;
}

function sourceAddress(family: Family, source: Source, { pod = 5, number = 1 }: FlowOptions): string {
  const { here, node, loopback, client, blocked, vip } = plan[family];
  const all: Record<Source, string> = {
    pod: here + pod,
    node: node[0],
    loopback,
    external: client,
    'external-blocked': blocked,
    'lb-vip': vip + number,
  };
  return all[source];
}

function targetAddress(family: Family, target: Target, { number = 1 }: FlowOptions): string {
  const { node, loopback, unallocated } = plan[family];
  if (target === 'node') return node[0];
  if (target === 'otherNodeAddress') return node[1];
  if (target === 'loopback') return loopback;
  return target === 'unallocated' ? unallocated : plan[family][target] + number;
}

/** What becomes of a flow: to whom it goes, or a word. */
export type End = readonly Backend[] | 'listener' | Exclude<CaseFlow['expect'], 'accept'>;

/** A flow in each family. */
export function flow(
  source: Source,
  target: Target,
  port: number,
  end: End,
  options: FlowOptions = {},
): CaseFlow[] {
  const { masquerade = false, protocol = 'TCP', mode, backendPort = 8080 } = options;
  return (options.families ?? families).map((family) => {
    const backends = typeof end === 'string' ? [] : end;
    return {
      name: `${source} to ${target} ${port}/${protocol}, ${plan[family].name}`,
      from: sourceAddress(family, source, options),
      fromKind: source,
      protocol,
      to: targetAddress(family, target, options),
      port,
      expect: typeof end !== 'string' || end === 'listener' ? 'accept' : end,
      backends: backends.map(([place, n]) => formatEndpoint(plan[family][place] + n, backendPort)),
      masquerade,
      ...(mode && { modes: [mode] }),
    };
  });
}

/** A case, the parts of which are in lists of lists. */
export function makeCase(
  id: string,
  services: readonly ServiceObject[],
  endpointSlices: readonly (readonly EndpointSliceObject[])[],
  flows: readonly (readonly CaseFlow[])[],
  {
    settings,
    ...others
  }: Partial<Omit<PacketFlowCase, 'id' | 'config'>> & { readonly settings?: Partial<CaseConfig> } = {},
): PacketFlowCase {
  return {
    id,
    node,
    config: { ...config, ...settings },
    services,
    endpointSlices: endpointSlices.flat(),
    flows: flows.flat(),
    ...others,
  };
}
