import { formatEndpoint } from '../../../lib/address';
import type { EndpointSliceObject, ServiceObject } from '../../../lib/kubernetes';
import { defineService, type ServiceDefinition } from '../../../lib/service-definition';
import type { Protocol, ServiceSpec } from '../../../lib/spec';
import { makesDatagramsStale } from '../../../lib/stale-datagrams';
import { WatchedCluster } from '../cluster';
import { compared } from '../report';
import { type Check, type ControlPlaneCase, each } from './case';

/** By `namespace/name:port`, where the port may have no name. */
type EndpointsMap = Readonly<
  Record<string, readonly { readonly endpoint: string; readonly isLocal: boolean }[]>
>;

interface EndpointsMapCase extends ControlPlaneCase {
  readonly node: string;
  readonly protocol: Protocol;
  readonly old: EndpointsMap;
  readonly new: EndpointsMap;
  readonly conntrackCleanupRequired: boolean;
  /** By `namespace/name`; those that have none are left out. */
  readonly localReadyEndpointIPs: Readonly<Record<string, number>>;
}

function splitKey(key: string): { service: string; port: string } {
  const [service = '', port = ''] = key.split(/:(.*)/);
  return { service, port };
}

function metadataOf(service: string, suffix = '') {
  const [namespace = '', name = ''] = service.split('/');
  return { namespace, name: name + suffix };
}

/** Services for all ports of the case: what changes is their endpoints. */
function servicesOf({ protocol, ...one }: EndpointsMapCase): ServiceObject[] {
  const ports = new Map<string, Set<string>>();
  for (const key of [...Object.keys(one.old), ...Object.keys(one.new)]) {
    const { service, port } = splitKey(key);
    ports.set(service, (ports.get(service) ?? new Set()).add(port));
  }
  return Array.from(ports, ([service, names], i) => ({
    kind: 'Service',
    metadata: metadataOf(service),
    spec: {
      type: 'LoadBalancer',
      clusterIP: `172.30.0.${i + 1}`,
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 30_000 + i,
      ports: Array.from(names, (name, n) => ({ name, protocol, port: 1000 + n })),
    },
  }));
}

/** A slice for each number that a port has. */
function slicesOf(map: EndpointsMap, { node, protocol }: EndpointsMapCase): EndpointSliceObject[] {
  return Object.entries(map).flatMap(([key, endpoints]) => {
    const { service, port: name } = splitKey(key);
    const numbers = new Set(endpoints.map(({ endpoint }) => numberOf(endpoint)));
    return Array.from(numbers, (port) => {
      const { namespace, name: owner } = metadataOf(service);
      const of = endpoints.filter(({ endpoint }) => numberOf(endpoint) === port);
      return {
        kind: 'EndpointSlice',
        metadata: {
          namespace,
          name: `${owner}-${name}-${port}`,
          labels: { 'kubernetes.io/service-name': owner },
        },
        addressType: of.every(({ endpoint }) => endpoint.startsWith('[')) ? 'IPv6' : 'IPv4',
        ports: [{ name, protocol, port }],
        endpoints: of.map(({ endpoint, isLocal }) => ({
          addresses: [endpoint.replace(/:\d+$/, '').replace(/[[\]]/g, '')],
          conditions: { ready: true },
          nodeName: isLocal ? node : 'another-node',
        })),
      };
    });
  });
}

function numberOf(endpoint: string): number {
  return Number(endpoint.replace(/.*:/, ''));
}

/** Endpoints by service, in order; services without any are left out. */
function endpointsOf(services: Iterable<ServiceSpec>): Record<string, string[]> {
  const entries = Array.from(services, ({ name, backends }): [string, string[]] => [
    name,
    backends.map((b) => `${formatEndpoint(b.address, b.port)}${b.local ? ' local' : ''}`).sort(),
  ]);
  return Object.fromEntries(entries.filter(([, endpoints]) => endpoints.length > 0));
}

function expectedOf(map: EndpointsMap): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(map).map(([key, endpoints]) => {
      const { service, port } = splitKey(key);
      const texts = endpoints.map(({ endpoint, isLocal }) => `${endpoint}${isLocal ? ' local' : ''}`);
      return [port === '' ? service : key, texts.sort()];
    }),
  );
}

function definitionsOf(services: Iterable<ServiceSpec>): Map<string, ServiceDefinition> {
  return new Map(Array.from(services, (spec) => [spec.name, defineService(spec)]));
}

/** What an update of slices comes to. */
export const endpointsMap = each((one: EndpointsMapCase): Check[] => {
  const cluster = new WatchedCluster(one.node);
  const others = { Service: servicesOf(one), Node: [] };
  cluster.become({ ...others, EndpointSlice: slicesOf(one.old, one) });
  const before = definitionsOf(cluster.state.take()?.upserted ?? []);
  cluster.become({ ...others, EndpointSlice: slicesOf(one.new, one) });
  const change = cluster.state.take();
  const after = definitionsOf(change?.upserted ?? []);
  const changed = new Set([...after.keys(), ...(change?.deleted ?? [])]);
  const cleanup = [...changed].some((name) => makesDatagramsStale(before.get(name), after.get(name)));
  const counts = cluster.state.healthChecks
    .filter(({ localEndpoints }) => localEndpoints > 0)
    .map(({ namespace, name, localEndpoints }): [string, number] => [`${namespace}/${name}`, localEndpoints]);
  return [
    {
      name: 'endpoints',
      outcome: compared(expectedOf(one.new), endpointsOf(cluster.state.services.values())),
    },
    { name: 'UDP flows may be stale', outcome: compared(one.conntrackCleanupRequired, cleanup) },
    {
      name: 'ready endpoints on the node',
      outcome: compared(one.localReadyEndpointIPs, Object.fromEntries(counts)),
    },
  ];
});
