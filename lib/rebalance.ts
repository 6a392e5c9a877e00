/** What a backend has, and what it should have in proportion. */
export interface BackendLoad {
  /** `address:port`. */
  readonly backend: string;
  /** 0: it is given no new connections, and keeps those that it has. */
  readonly weight: number;
  /** Connections that are open. */
  readonly open: number;
}

/**
 * How many connections overloaded backends have above their fair share: all connections in proportion to weights. One is
 * overloaded that has more than the share and the `tolerance`, a part of it; it is brought down to the share, because some of
 * what leaves it comes back.
 */
export function excessOf(loads: readonly BackendLoad[], tolerance: number): Map<string, number> {
  const offered = loads.filter(({ weight }) => weight > 0);
  const weights = offered.reduce((sum, { weight }) => sum + weight, 0);
  const total = offered.reduce((sum, { open }) => sum + open, 0);
  const excess = new Map<string, number>();
  for (const { backend, weight, open } of offered) {
    const share = (total * weight) / weights;
    if (open > Math.ceil(share * (1 + tolerance))) excess.set(backend, open - Math.ceil(share));
  }
  return excess;
}

/** Of which backends to take at most `count` connections next: where the excess is largest, one after the other. */
export function takeExcess(excess: ReadonlyMap<string, number>, count: number): Map<string, number> {
  const taken = new Map<string, number>();
  const left = [...excess];
  for (let i = 0; i < count; i++) {
    let largest: (typeof left)[number] | undefined;
    for (const entry of left) if (entry[1] > (largest?.[1] ?? 0)) largest = entry;
    if (!largest) break;
    largest[1]--;
    taken.set(largest[0], (taken.get(largest[0]) ?? 0) + 1);
  }
  return taken;
}
