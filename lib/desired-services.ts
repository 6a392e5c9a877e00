import { LoadBalancerError } from './errors';
import { defineService, type ServiceDefinition } from './service-definition';
import { isInternal } from './service-table';
import type { ServiceSpec } from './spec';

/**
 * Validates a service that a user asks for: also that it is none of the library's own, and that no wildcard's port is
 * among the source ports of SNAT.
 */
export function defineDesired(
  spec: ServiceSpec,
  [min, max]: readonly [min: number, max: number],
): ServiceDefinition {
  const definition = defineService(spec);
  if (isInternal(definition.name)) {
    throw new LoadBalancerError('ERR_BPF_INVALID_NAME', 'A name must not begin with a NUL character.');
  }
  const clash = definition.frontends.find((f) => f.address === '' && f.port >= min && f.port <= max);
  if (!clash) return definition;
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_PORT',
    `Service ${definition.name}: ${clash.type} ${clash.port} lies among the source ports of SNAT, ${min}-${max}: ` +
      `use another port, or open with other snatPorts.`,
  );
}

/** Whether services can exist side by side. Throws `ERR_BPF_INVALID_NAME` and `ERR_BPF_DUPLICATE_FRONTEND`. */
export function checkUnique(definitions: readonly ServiceDefinition[]): void {
  const names = new Set<string>();
  const owners = new Map<string, string>();
  for (const { name, frontends } of definitions) {
    if (names.has(name)) {
      throw new LoadBalancerError('ERR_BPF_INVALID_NAME', `Two services have the name ${name}.`);
    }
    names.add(name);
    for (const { key } of frontends) {
      const owner = owners.get(key);
      if (owner !== undefined) {
        throw new LoadBalancerError(
          'ERR_BPF_DUPLICATE_FRONTEND',
          `The services ${owner} and ${name} both have the frontend ${key}.`,
        );
      }
      owners.set(key, name);
    }
  }
}
