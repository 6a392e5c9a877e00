import { isDeepStrictEqual } from 'node:util';

import { type Endpoint, formatEndpoint } from './address';
import { keysOfDestination } from './frontend-key';
import type { ServiceDefinition } from './service-definition';

/** A UDP flow: what its client asked for, and who answers it. */
export interface DatagramFlow {
  readonly to: Endpoint;
  /** The same as `to` where nothing was translated. */
  readonly peer: Endpoint;
}

/**
 * After a change: which UDP flows have to be forgotten, because without a connection that ends nothing else would move them.
 * Those to a frontend of a service that are with none of its backends, whatever the state of these: like connections, flows
 * stay with one that terminates, or that traffic policy or topology would not choose any more. Of `deleted` services, all.
 *
 * Flows to a port of a NodePort, or of a HostPort without a hostIP, are the service's at any address that has no frontend of
 * its own there.
 */
export function staleDatagrams(
  services: Iterable<ServiceDefinition>,
  deleted: Iterable<ServiceDefinition> = [],
): (flow: DatagramFlow) => boolean {
  const backends = new Map<string, Set<string>>();
  for (const { frontends } of deleted) {
    for (const { key, protocol } of frontends) if (protocol === 'UDP') backends.set(key, new Set());
  }
  /* They come second: who has a frontend now is who counts. */
  for (const service of services) {
    const serving = new Set(service.backends.map(({ address, port }) => formatEndpoint(address, port)));
    for (const { key, protocol } of service.frontends) if (protocol === 'UDP') backends.set(key, serving);
  }
  return ({ to, peer }) => {
    const [own, wildcard] = keysOfDestination(to, 'UDP');
    const serving = backends.get(own) ?? backends.get(wildcard);
    return serving !== undefined && !serving.has(formatEndpoint(peer.address, peer.port));
  };
}

/** Whether a change of a service may make UDP flows stale. Undefined: it was not there before, or is not any more. */
export function makesDatagramsStale(
  before: ServiceDefinition | undefined,
  after: ServiceDefinition | undefined,
): boolean {
  return !isDeepStrictEqual(datagramEndsOf(before), datagramEndsOf(after));
}

/** Where UDP flows of a service begin, and where they may end, in an order of their own. */
function datagramEndsOf(service: ServiceDefinition | undefined): string[] {
  const frontends = (service?.frontends ?? []).filter(({ protocol }) => protocol === 'UDP');
  if (!service || frontends.length === 0) return [];
  const backends = service.backends.map(({ address, port }) => formatEndpoint(address, port));
  return [...frontends.map(({ key }) => key).sort(), ...backends.sort()];
}
