import { formatEndpoint } from './address';
import { selectBackends } from './selection';
import type { FrontendDefinition, ServiceDefinition } from './service-definition';
import { weightsOf } from './slow-start';
import type { ServiceRecord } from './table-image';

/** Frontends whose connections of sockets are spread over the same backends. */
export interface Pool {
  readonly key: string;
  readonly frontendIds: ReadonlySet<number>;
  /** Of the backends on offer, by `address:port`. */
  readonly weights: ReadonlyMap<string, number>;
}

/** What a backend has, and what it should have in proportion. */
export interface BackendLoad {
  /** `address:port`. */
  readonly backend: string;
  readonly weight: number;
  /** Connections that are open. */
  readonly open: number;
}

/** Rounds that are so far apart that no second has more than `maxPerSecond`. */
export interface Pace {
  /** Connections of a round, at most. */
  readonly batch: number;
  /** Milliseconds from the end of a round to the next one, at least. */
  readonly pause: number;
}

/** Ten rounds a second, or fewer where that comes closer to the maximum. */
export function paceOf(maxPerSecond: number): Pace {
  if (maxPerSecond < 1) return { batch: 1, pause: 1000 / maxPerSecond };
  const batch = Math.ceil(maxPerSecond / 10);
  return { batch, pause: 1000 / Math.floor(maxPerSecond / batch) };
}

/** The pools of a service's TCP. */
export function poolsOf({ definition, ids }: ServiceRecord): Pool[] {
  const pools = new Map<string, { key: string; frontendIds: Set<number>; weights: Map<string, number> }>();
  definition.frontends.forEach((frontend, i) => {
    if (frontend.protocol !== 'TCP') return;
    const isLocal = isNarrowed(definition, frontend);
    const key = `IPv${frontend.family} ${isLocal ? 'Local' : 'Cluster'}`;
    let pool = pools.get(key);
    if (!pool) {
      pool = { key, frontendIds: new Set(), weights: offeredWeights(definition, frontend, isLocal) };
      pools.set(key, pool);
    }
    pool.frontendIds.add(ids[i] as number);
  });
  return [...pools.values()];
}

/**
 * How many connections overloaded backends have above their fair share: all connections in proportion to weights. One is
 * overloaded that has more than the share and the `tolerance`, a part of it; it is brought down to the share, because some of
 * what leaves it comes back. Shares are those of `expected` connections where fewer are open: the others are on their way.
 */
export function excessOf(
  loads: readonly BackendLoad[],
  tolerance: number,
  expected = 0,
): Map<string, number> {
  const weights = loads.reduce((sum, { weight }) => sum + weight, 0);
  const total = Math.max(
    loads.reduce((sum, { open }) => sum + open, 0),
    expected,
  );
  const excess = new Map<string, number>();
  for (const { backend, weight, open } of loads) {
    const share = (total * weight) / weights;
    if (open > Math.ceil(share * (1 + tolerance))) excess.set(backend, open - Math.ceil(share));
  }
  return excess;
}

/** From which to take at most `count` connections next: where the excess is largest, one after the other. */
export function takeExcess<K>(excess: ReadonlyMap<K, number>, count: number): Map<K, number> {
  const taken = new Map<K, number>();
  const left = [...excess].map(([key, more]) => ({ key, more }));
  for (let i = 0; i < count; i++) {
    let largest: (typeof left)[number] | undefined;
    for (const entry of left) if (entry.more > (largest?.more ?? 0)) largest = entry;
    if (!largest) break;
    largest.more--;
    taken.set(largest.key, (taken.get(largest.key) ?? 0) + 1);
  }
  return taken;
}

/** Sockets are inside: of ClusterIPs they are offered what the internal policy says, of others all backends. */
function isNarrowed(
  { internalTrafficPolicy }: ServiceDefinition,
  { type }: Pick<FrontendDefinition, 'type'>,
): boolean {
  return type === 'ClusterIP' && internalTrafficPolicy === 'Local';
}

function offeredWeights(
  definition: ServiceDefinition,
  { family }: Pick<FrontendDefinition, 'family'>,
  isLocal: boolean,
): Map<string, number> {
  const { backends, count, localOffset, localCount } = selectBackends(definition, family);
  const offered = isLocal ? backends.slice(localOffset, localOffset + localCount) : backends.slice(0, count);
  const weights = weightsOf(offered);
  return new Map(
    offered.map(({ address, port }, i) => [formatEndpoint(address, port), weights[i] as number]),
  );
}
