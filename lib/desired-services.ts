import { LoadBalancerError } from './errors';
import { defineService, sameService, type ServiceDefinition } from './service-definition';
import { isInternal } from './internal-service';
import type { ServiceTable } from './service-table';
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

/**
 * The services that are to be, and all others not. What is wrong with one of them is its own failure: it is left as it
 * is, and the others are to be none the less.
 */
export class DesiredServices {
  /** Those that can be side by side, by name. */
  readonly definitions = new Map<string, ServiceDefinition>();
  /** Why the others cannot be, by name; by their place in the list (`desired[3]`), if they have none. */
  readonly failures = new Map<string, Error>();
  readonly #snatPorts: readonly [min: number, max: number];
  #count = 0;

  constructor(snatPorts: readonly [min: number, max: number]) {
    this.#snatPorts = snatPorts;
  }

  /** Whether the service is one of those that are to be, even if it cannot. */
  has(name: string): boolean {
    return this.definitions.has(name) || this.failures.has(name);
  }

  add(spec: ServiceSpec): void {
    const given: unknown = (spec as Partial<ServiceSpec> | null | undefined)?.name;
    const name = typeof given === 'string' && given !== '' ? given : `desired[${this.#count}]`;
    this.#count++;
    try {
      if (this.has(name))
        throw new LoadBalancerError('ERR_BPF_INVALID_NAME', `Two services have the name ${name}.`);
      this.definitions.set(name, defineDesired(spec, this.#snatPorts));
    } catch (error) {
      this.#fail(name, error as Error);
    }
  }

  /**
   * Leaves one service for each frontend: the one that has it, or else the first. A service that fails keeps what it has,
   * so those that were to take it from there fail, too.
   */
  settle(table: ServiceTable): void {
    for (let before = -1; before !== this.failures.size;) {
      before = this.failures.size;
      const takers = this.#holders(table);
      for (const [name, { frontends }] of this.definitions) {
        const taken = frontends.find(({ key }) => (takers.get(key) ?? name) !== name);
        if (!taken) for (const { key } of frontends) takers.set(key, name);
        else this.#fail(name, duplicate(name, taken.key, takers.get(taken.key) as string));
      }
    }
  }

  /** What `apply` has to do: the services that are to be others than they are, and those that are to go (undefined). */
  changes(table: ServiceTable): Map<string, ServiceDefinition | undefined> {
    const changes = new Map<string, ServiceDefinition | undefined>();
    /* The library's own services are nobody's desire and stay. */
    for (const name of table.records.keys())
      if (!isInternal(name) && !this.has(name)) changes.set(name, undefined);
    for (const [name, definition] of this.definitions) {
      const current = table.records.get(name);
      if (!current || !sameService(current.definition, definition)) changes.set(name, definition);
    }
    return changes;
  }

  /** The frontends that services have and do not give up. */
  #holders({ owners, records }: ServiceTable): Map<string, string> {
    const holders = new Map<string, string>();
    for (const [name, { frontends }] of this.definitions)
      for (const { key } of frontends) if (owners.get(key) === name) holders.set(key, name);
    for (const name of this.failures.keys())
      for (const { key } of records.get(name)?.definition.frontends ?? []) holders.set(key, name);
    return holders;
  }

  #fail(name: string, error: Error): void {
    this.definitions.delete(name);
    this.failures.set(name, error);
  }
}

function duplicate(name: string, key: string, owner: string): Error {
  return new LoadBalancerError(
    'ERR_BPF_DUPLICATE_FRONTEND',
    `The services ${owner} and ${name} both have the frontend ${key}.`,
  );
}
