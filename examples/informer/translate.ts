import { isIP } from 'node:net';

import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { BackendSpec, FrontendSpec, FrontendType, Protocol, ServiceSpec, TrafficPolicy } from 'bpf-lb';

/** What the API server is asked to leave out: headless Services, and those that another proxy serves. */
export const labelSelector = '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name';

/**
 * What a Service and its EndpointSlices mean on the node `nodeName`: one service of the LoadBalancer for each port.
 * Left out are SCTP, addresses that cannot be parsed, and address families in which the Service has no cluster IP.
 */
export function translate(
  { metadata, spec, status }: V1Service,
  slices: readonly V1EndpointSlice[],
  nodeName: string,
): ServiceSpec[] {
  const clusterIPs = (spec?.clusterIPs ?? [spec?.clusterIP ?? '']).filter((ip) => isIP(ip) !== 0);
  if (!spec || spec.type === 'ExternalName') return [];
  const families = new Set(clusterIPs.map(isIP));
  const vips = (status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => (ipMode ?? 'VIP') === 'VIP');
  /* An address that is listed twice counts once, as the first. */
  const types = new Map<string, FrontendType>();
  for (const [type, ips] of [
    ['ClusterIP', clusterIPs],
    ['ExternalIPs', spec.externalIPs ?? []],
    ['LoadBalancer', vips.map(({ ip = '' }) => ip)],
  ] as const) {
    for (const ip of ips) if (families.has(isIP(ip)) && !types.has(ip)) types.set(ip, type);
  }
  const served = slices.filter(({ addressType }) => families.has(familyOf(addressType)));
  return (spec.ports ?? []).flatMap(({ name = '', port, nodePort, protocol = 'TCP' }) => {
    if (types.size === 0 || (protocol !== 'TCP' && protocol !== 'UDP')) return [];
    const frontends = [...types].map(([address, type]): FrontendSpec => ({ type, address, port, protocol }));
    if (nodePort) frontends.push({ type: 'NodePort', port: nodePort, protocol });
    return {
      name: `${metadata?.namespace}/${metadata?.name}${name && `:${name}`}`,
      frontends,
      backends: readyBackends(served, name, protocol, nodeName),
      externalTrafficPolicy: (spec.externalTrafficPolicy ?? 'Cluster') as TrafficPolicy,
      internalTrafficPolicy: (spec.internalTrafficPolicy ?? 'Cluster') as TrafficPolicy,
    };
  });
}

/** As isIP() says it; 0 for names. */
function familyOf(addressType: string): number {
  return { IPv4: 4, IPv6: 6 }[addressType] ?? 0;
}

/** A port is matched by its name: its number may differ from slice to slice. */
function readyBackends(
  slices: readonly V1EndpointSlice[],
  portName: string,
  protocol: Protocol,
  node: string,
): BackendSpec[] {
  const backends = new Map<string, BackendSpec>();
  for (const slice of slices) {
    const port = slice.ports?.find((p) => p.name === portName && (p.protocol ?? 'TCP') === protocol)?.port;
    for (const { addresses, conditions, nodeName } of slice.endpoints ?? []) {
      const [address = ''] = addresses;
      if (!port || conditions?.ready === false || isIP(address) !== familyOf(slice.addressType)) continue;
      backends.set(`${address} ${port}`, { address, port, local: nodeName === node });
    }
  }
  return [...backends.keys()].sort().map((key) => backends.get(key) as BackendSpec);
}
