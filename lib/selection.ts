import type { Family } from './address';
import type { BackendDefinition, ServiceDefinition } from './service-definition';

/** Which backends of a service a family's frontends offer, in the order of their range. */
export interface Selection {
  /** The backends of other nodes, then those of this node. */
  readonly backends: readonly BackendDefinition[];
  /** The cluster-wide range is the first `count`. */
  readonly count: number;
  /** The node-local range: the last `localCount`, beginning here. */
  readonly localOffset: number;
  readonly localCount: number;
  /** Some backend can serve, if not from here. */
  readonly usable: boolean;
}

/** Active backends, or, when there is none, the terminating ones (KEP-1669). */
function usableOf(backends: readonly BackendDefinition[]): readonly BackendDefinition[] {
  const active = backends.filter((b) => b.state === 'active');
  return active.length > 0 ? active : backends.filter((b) => b.state === 'terminating');
}

/**
 * The common case, every backend on offer and on other nodes, shares the array of the definition.
 *
 * Each list falls back to terminating backends by itself, as upstream does. So the local list is either the local
 * part of the cluster-wide one, or, while that is all active and elsewhere, terminating backends that follow it.
 */
export function selectBackends(service: ServiceDefinition, family: Family): Selection {
  const { backends } = service;
  if (backends.every((b) => b.state === 'active' && b.family === family && !b.local)) {
    const count = backends.length;
    return { backends, count, localOffset: count, localCount: 0, usable: count > 0 };
  }
  const ofFamily = backends.filter((b) => b.family === family);
  const cluster = usableOf(ofFamily);
  const local = usableOf(ofFamily.filter((b) => b.local));
  const elsewhere = cluster.filter((b) => !b.local);
  return {
    backends: [...elsewhere, ...local],
    count: cluster.length,
    localOffset: elsewhere.length,
    localCount: local.length,
    usable: cluster.length > 0,
  };
}
