import { inspect } from 'node:util';

import { LoadBalancerError } from './errors';
import { specOf } from './service';
import type { ServiceDefinition } from './service-definition';
import type { ServiceSpec } from './spec';

/** All services at one moment, as plain data: `JSON.stringify()` makes a file of it. */
export interface Snapshot {
  readonly kind: typeof kind;
  /** Of the format. A library reads what it and earlier ones have written. */
  readonly version: typeof version;
  readonly services: readonly ServiceSpec[];
}

const kind = 'bpf-lb services';
const version = 1;

/** @internal */
export function makeSnapshot(definitions: Iterable<ServiceDefinition>): Snapshot {
  return { kind, version, services: Array.from(definitions, specOf) };
}

/**
 * @internal The services of a snapshot; they are validated when they are applied. Throws `ERR_BPF_SNAPSHOT` for what is no
 * snapshot, or one of a later version.
 */
export function readSnapshot(snapshot: unknown): readonly ServiceSpec[] {
  const { kind: is, version: has, services } = Object(snapshot) as Partial<Record<keyof Snapshot, unknown>>;
  if (is !== kind || !Array.isArray(services)) {
    throw new LoadBalancerError(
      'ERR_BPF_SNAPSHOT',
      `${inspect(snapshot, { depth: 0, maxStringLength: 40 })} is no snapshot: use what snapshot() made, parsed from JSON.`,
    );
  }
  if (has !== version) {
    throw new LoadBalancerError(
      'ERR_BPF_SNAPSHOT',
      `The snapshot has version ${inspect(has)}, and this library reads version ${version}: use the one that made it.`,
    );
  }
  return services as ServiceSpec[];
}
