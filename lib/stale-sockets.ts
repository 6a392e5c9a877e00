import { formatEndpoint } from './address';
import { keysOfDestination } from './frontend-key';
import type { ServiceDefinition } from './service-definition';
import type { TranslatedSocket } from './translated-sockets';

/** Services at one time: as a `ServiceTable` has them, or as they are going to be. */
export interface Services {
  /** Frontend key -> name of the service that has it. */
  readonly owners: ReadonlyMap<string, string>;
  readonly records: ReadonlyMap<string, { readonly definition: ServiceDefinition }>;
}

/**
 * Which sockets, or flows, have to go: UDP whose backend its service has no more, and TCP where the service says so. The rule is that of
 * `staleDatagrams`: a backend that terminates, or that policy would not choose any more, keeps what it has. `gone`: of
 * frontends that nobody has any more, whether TCP goes with them.
 */
export function staleSockets(
  services: Services,
  gone: ReadonlyMap<string, boolean>,
): (socket: Pick<TranslatedSocket, 'frontend' | 'backend' | 'protocol'>) => boolean {
  const serving = new Map<string, ReadonlySet<string>>();
  const backendsOf = ({ name, backends }: ServiceDefinition) => {
    let found = serving.get(name);
    if (!found) {
      found = new Set(backends.map(({ address, port }) => formatEndpoint(address, port)));
      serving.set(name, found);
    }
    return found;
  };
  return (socket) => {
    const { frontend, backend, protocol } = socket;
    const owner = ownerOf(services, socket);
    if (!owner) {
      const reset = keysOfDestination(frontend, protocol).some((key) => gone.get(key));
      return protocol === 'UDP' || reset;
    }
    if (backendsOf(owner).has(formatEndpoint(backend.address, backend.port))) return false;
    return protocol === 'UDP' || owner.resetOnRemoval;
  };
}

/** The service that has what the socket asked for. */
export function ownerOf(
  { owners, records }: Services,
  { frontend, protocol }: Pick<TranslatedSocket, 'frontend' | 'protocol'>,
): ServiceDefinition | undefined {
  for (const key of keysOfDestination(frontend, protocol)) {
    const owner = owners.get(key);
    if (owner !== undefined) return records.get(owner)?.definition;
  }
  return undefined;
}
