import type { Algorithm, BackendSpec, FrontendSpec, Protocol, ServiceSpec } from '../../../lib/spec';
import {
  answersNodePorts,
  contains,
  endpoint,
  type Family,
  familyOf,
  isLoopback,
  isOwn,
  type ModelNode,
  routeTo,
} from './network';

/*
 * What becomes of a packet or a connect(), said as simply as possible: written from docs/packet-path.md and
 * docs/operations.md, which follow kube-proxy, and not from the library. Services are a list, and every question walks
 * through all of it.
 */

/** Somebody asks for a destination: a packet on a device, or a socket. */
export type ModelQuery = {
  /** The client's address; of a socket the one that it is known by. */
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: Protocol;
} & ({ readonly device: string } | { readonly socket: 'host' | 'pod' });

/** A backend that may be chosen. */
export interface ModelChoice {
  /** `10.0.0.1:80`, `[fd00::1]:80`. */
  readonly backend: string;
  /** Its share of the new connections, in proportion to the others'. */
  readonly weight: number;
  /** The packet leaves with an address of the node. Never for sockets. */
  readonly snat: boolean;
}

/** All that may happen. */
export type Expectation =
  | { readonly verdict: 'reject' | 'drop' | 'untouched' }
  | {
      readonly verdict: 'forward';
      readonly service: ServiceSpec;
      readonly choices: readonly ModelChoice[];
      readonly algorithm: Algorithm;
    };

interface Match {
  readonly service: ServiceSpec;
  readonly frontend: FrontendSpec;
}

/** What may become of a query. */
export function decide(services: readonly ServiceSpec[], node: ModelNode, query: ModelQuery): Expectation {
  if ('socket' in query && isLeftAlone(node, query)) return { verdict: 'untouched' };
  const addressed = findAddressed(services, query);
  if (addressed && serves(addressed.frontend, node, query)) return answer(addressed, node, query);
  /* Whatever else has the port, from outside the address is a ClusterIP. */
  if (addressed && isOutside(node, query)) return silentUnlessOwn(node, query);
  const wildcard = findWildcard(services, node, query);
  if (wildcard) return answer(wildcard, node, query);
  return unserved(services, node, query);
}

function isLeftAlone({ options }: ModelNode, query: ModelQuery & { socket: string }): boolean {
  const { socketLB = true } = options;
  const hostOnly = typeof socketLB === 'object' && socketLB.hostNamespaceOnly === true;
  if (socketLB === false || query.protocol === 'SCTP') return true;
  return query.socket === 'pod' && (hostOnly || isLoopback(query.to));
}

function isOutside(node: ModelNode, query: ModelQuery): boolean {
  if ('socket' in query) return false;
  return node.devices.find(({ name }) => name === query.device)?.kind !== 'pod';
}

function asks({ port, protocol = 'TCP' }: FrontendSpec, query: ModelQuery): boolean {
  return port === query.port && protocol === query.protocol;
}

function findAddressed(services: readonly ServiceSpec[], query: ModelQuery): Match | undefined {
  for (const service of services) {
    for (const frontend of service.frontends) {
      if (frontend.address === query.to && asks(frontend, query)) return { service, frontend };
    }
  }
  return undefined;
}

function findWildcard(
  services: readonly ServiceSpec[],
  node: ModelNode,
  query: ModelQuery,
): Match | undefined {
  for (const service of services) {
    if (!wildcardFamilies(service).includes(familyOf(query.to))) continue;
    for (const frontend of service.frontends) {
      if (frontend.address !== undefined || !asks(frontend, query)) continue;
      if (answersWildcard(frontend, node, query)) return { service, frontend };
    }
  }
  return undefined;
}

/** The families of a service: those of its addresses, or else of its backends, or else both. */
export function wildcardFamilies({ frontends, backends }: ServiceSpec): readonly Family[] {
  const addresses = frontends.flatMap(({ address }) => address ?? []);
  const known = addresses.length > 0 ? addresses : backends.map(({ address }) => address);
  if (known.length === 0) return [4, 6];
  return ([4, 6] as const).filter((family) => known.some((address) => familyOf(address) === family));
}

/** Whether the address asked for is one on which a NodePort, or a HostPort without hostIP, is served. */
function answersWildcard({ type }: FrontendSpec, node: ModelNode, query: ModelQuery): boolean {
  const { to } = query;
  if (isOutside(node, query)) {
    const external = node.devices.filter(({ kind, selected }) => kind === 'external' && selected);
    if (!external.some(({ addresses }) => addresses.includes(to))) return false;
    return type === 'HostPort' || answersNodePorts(node, to);
  }
  if (type === 'HostPort') return isOwn(node, to) || isLoopback(to);
  return answersNodePorts(node, to);
}

/** Whether a frontend with an address is one for those on the side of the query. */
function serves({ type, address = '' }: FrontendSpec, node: ModelNode, query: ModelQuery): boolean {
  if (isOutside(node, query)) {
    return type === 'ClusterIP' ? node.options.externalClusterIP === true : !isLoopback(address);
  }
  if (type === 'ExternalIPs') {
    const trusted = node.options.externalIPRanges ?? [];
    return isOwn(node, address) || trusted.some((range) => contains(range, address));
  }
  if (type === 'HostPort') return isOwn(node, address) || isLoopback(address);
  return true;
}

/** What a frontend does with those that it is for. */
function answer({ service, frontend }: Match, node: ModelNode, query: ModelQuery): Expectation {
  if (frontend.type === 'LoadBalancer' && !mayCome(service, node, query)) return { verdict: 'drop' };
  const family = familyOf(query.to);
  const clusterWide = offered(service, family, false);
  const here = offered(service, family, true);
  if (!service.backends.some((backend) => familyOf(backend.address) === family && canServe(backend))) {
    const silent = 'device' in query && node.options.noBackend === 'drop';
    return { verdict: silent ? 'drop' : 'reject' };
  }
  const local =
    frontend.type === 'ClusterIP'
      ? service.internalTrafficPolicy === 'Local'
      : service.externalTrafficPolicy === 'Local' && isOutside(node, query);
  const list = local ? here : clusterWide;
  if (list.length === 0) return { verdict: 'drop' };
  const choices = list.map((backend) => ({
    backend: endpoint(backend.address, backend.port),
    weight: backend.weight ?? 1,
    snat: 'device' in query && hasSnat(service, frontend, backend, node, query),
  }));
  const algorithm = service.algorithm ?? node.options.algorithm ?? 'random';
  return { verdict: 'forward', service, choices, algorithm };
}

/** Source ranges, which are about the family of the client. */
function mayCome(
  { sourceRanges = [], sourceRangesPolicy = 'allow' }: ServiceSpec,
  node: ModelNode,
  { from, to }: ModelQuery,
): boolean {
  const ranges = sourceRanges.filter((range) => familyOf(range) === familyOf(to));
  if (ranges.length === 0) return true;
  const isIn = ranges.some((range) => contains(range, from));
  if (sourceRangesPolicy === 'deny') return !isIn;
  /* A node that may come may come by the VIP as its address. */
  const nodeMay = node.devices.some(({ addresses }) =>
    addresses.some((address) => ranges.some((range) => contains(range, address))),
  );
  return isIn || (nodeMay && from === to);
}

/** Wherever it is, and whoever it is for. */
function canServe({ state = 'active', weight = 1 }: BackendSpec): boolean {
  return (state === 'active' || state === 'terminating') && weight > 0;
}

/** The backends for a policy: active ones, or terminating ones where there is none. Topology spares the latter. */
function offered({ backends }: ServiceSpec, family: Family, local: boolean): readonly BackendSpec[] {
  const serving = backends.filter(
    (backend) =>
      familyOf(backend.address) === family && canServe(backend) && (!local || backend.local === true),
  );
  const active = serving.filter(
    ({ state = 'active', clusterWide = true }) => state === 'active' && (local || clusterWide),
  );
  return active.length > 0 ? active : serving.filter(({ state }) => state === 'terminating');
}

/** Backends that some frontend of the service may give to somebody, here or there. */
export function choosable(service: ServiceSpec): readonly string[] {
  const lists = ([4, 6] as const).flatMap((family) => [
    ...offered(service, family, false),
    ...offered(service, family, true),
  ]);
  return lists.map(({ address, port }) => endpoint(address, port));
}

function hasSnat(
  service: ServiceSpec,
  { type }: FrontendSpec,
  { address, local = false }: BackendSpec,
  node: ModelNode,
  query: ModelQuery,
): boolean {
  const { masqueradeAll = false, masqueradeLocal = false, masqueradeExternalClusterIP = true } = node.options;
  /* Behind a device that is not selected, nobody would translate the replies back. */
  if (routeTo(node, address)?.selected !== true) return false;
  if (address === query.from) return true;
  if (local && !masqueradeLocal) return false;
  if (type === 'ClusterIP') return masqueradeAll || (isOutside(node, query) && masqueradeExternalClusterIP);
  return service.externalTrafficPolicy !== 'Local';
}

/** A destination that is no frontend, or none for those that ask. */
function unserved(services: readonly ServiceSpec[], node: ModelNode, query: ModelQuery): Expectation {
  const { to } = query;
  const outside = isOutside(node, query);
  if (isOwn(node, to)) return { verdict: 'untouched' };
  const types = services
    .flatMap(({ frontends }) => frontends)
    .filter(({ address }) => address === to)
    .map(({ type }) => type);
  if (types.includes('ClusterIP')) {
    return { verdict: outside && node.options.externalClusterIP !== true ? 'drop' : 'reject' };
  }
  if (types.includes('LoadBalancer') || types.includes('ExternalIPs')) {
    if (!outside) return { verdict: 'untouched' };
    const way = routeTo(node, to);
    const back = !way || ('device' in query && way.name === query.device);
    return { verdict: back ? 'drop' : 'untouched' };
  }
  const { serviceCIDRs = [] } = node.options;
  return { verdict: serviceCIDRs.some((range) => contains(range, to)) ? 'drop' : 'untouched' };
}

function silentUnlessOwn(node: ModelNode, { to }: ModelQuery): Expectation {
  return { verdict: isOwn(node, to) ? 'untouched' : 'drop' };
}
