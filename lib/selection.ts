import type { Family } from './address';
import { type AliasTable, aliasTable } from './alias-table';
import type { BackendDefinition, ServiceDefinition } from './service-definition';
import { weightsOf } from './slow-start';
import type { Algorithm } from './spec';

/** Which backends of a service a family's frontends offer, in the order of their range. */
export interface Selection {
  /**
   * Those of the cluster-wide list alone, those of both lists, those of the local list alone. With `weights`, and for
   * Maglev, the cluster-wide list, then the local one.
   */
  readonly backends: readonly BackendDefinition[];
  /** The cluster-wide range is the first `count`. */
  readonly count: number;
  /** The node-local range: the last `localCount`, beginning here. */
  readonly localOffset: number;
  readonly localCount: number;
  /** Some backend can serve, if not from here. */
  readonly usable: boolean;
  /** Of each backend in its list, if their weights differ and the algorithm draws by them. */
  readonly weights?: AliasTable;
}

/**
 * Active backends, or, when there is none that is on offer, the terminating ones (KEP-1669), which topology does not
 * concern (KEP-2433). A weight of zero takes none, nor does one that drains.
 */
function usableOf(
  backends: readonly BackendDefinition[],
  isOffered: (b: BackendDefinition) => boolean,
): readonly BackendDefinition[] {
  const serving = backends.filter(isServing);
  const active = serving.filter((b) => b.state === 'active' && isOffered(b));
  return active.length > 0 ? active : serving.filter((b) => b.state === 'terminating');
}

function isServing({ state, weight, draining }: BackendDefinition): boolean {
  return (state === 'active' || state === 'terminating') && weight > 0 && !draining;
}

/** An order that every node has, whatever the order in which it was told of the backends. */
function ordered(backends: readonly BackendDefinition[]): readonly BackendDefinition[] {
  const compare = (a: BackendDefinition, b: BackendDefinition) =>
    a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port;
  return backends.toSorted(compare);
}

/**
 * The common case, every backend on offer, on other nodes and of equal weight, shares the array of the definition.
 *
 * Each list falls back to terminating backends by itself, as upstream does, and topology concerns the cluster-wide one
 * alone. So neither list is always part of the other; but what they share can lie where both ranges do.
 */
export function selectBackends(
  service: ServiceDefinition,
  family: Family,
  algorithm: Algorithm = 'random',
): Selection {
  const { backends } = service;
  if (backends.every((b) => isPlain(b) && b.family === family)) {
    const count = backends.length;
    const same = { count, localOffset: count, localCount: 0, usable: count > 0 };
    return { backends: algorithm === 'maglev' ? ordered(backends) : backends, ...same };
  }
  const ofFamily = backends.filter((b) => b.family === family);
  const cluster = usableOf(ofFamily, (b) => b.clusterWide);
  const local = usableOf(
    ofFamily.filter((b) => b.local),
    () => true,
  );
  const usable = ofFamily.some(isServing);
  const [count, localCount] = [cluster.length, local.length];
  if (algorithm === 'maglev') {
    const lists = [...ordered(cluster), ...ordered(local)];
    return { backends: lists, count, localOffset: count, localCount, usable };
  }
  if (isUneven(cluster) || isUneven(local)) {
    const weights = joined(sharesOf(cluster), sharesOf(local));
    return { backends: [...cluster, ...local], count, localOffset: count, localCount, usable, weights };
  }
  const [inCluster, inLocal] = [new Set(cluster), new Set(local)];
  const elsewhere = cluster.filter((b) => !inLocal.has(b));
  const shared = local.filter((b) => inCluster.has(b));
  const here = local.filter((b) => !inCluster.has(b));
  const localOffset = elsewhere.length;
  return { backends: [...elsewhere, ...shared, ...here], count, localOffset, localCount, usable };
}

/** On offer to all, and on another node. */
function isPlain({ state, local, weight, clusterWide, draining, ramp }: BackendDefinition): boolean {
  return state === 'active' && !local && weight === 1 && clusterWide && !draining && !ramp;
}

function isUneven(backends: readonly BackendDefinition[]): boolean {
  const weights = weightsOf(backends);
  return weights.some((weight) => weight !== weights[0]);
}

function sharesOf(backends: readonly BackendDefinition[]): AliasTable {
  if (backends.length > 0) return aliasTable(weightsOf(backends));
  return { threshold: new Uint32Array(), alias: new Uint32Array() };
}

/** Aliases are indexes into their own list. */
function joined(cluster: AliasTable, local: AliasTable): AliasTable {
  const both = (a: Uint32Array, b: Uint32Array) => Uint32Array.from([...a, ...b]);
  return {
    threshold: both(cluster.threshold, local.threshold),
    alias: both(cluster.alias, local.alias),
  };
}
