/**
 * A choice in proportion to weights that costs one table access, whatever their number: Walker's alias method.
 *
 * Every slot is drawn equally often; it stands for its own backend with the probability `threshold / 2^32`, and for
 * that of `alias` otherwise. {@link always} stands for certainty.
 */
export interface AliasTable {
  readonly threshold: Uint32Array;
  readonly alias: Uint32Array;
}

/** The threshold of a slot that has no alias. */
export const always = 0xffffffff;

/**
 * Makes the table by Vose's algorithm, in time linear in the number of weights, and the same on every machine. As
 * far as the table is concerned, a choice differs from the weights' proportion by less than 2^-32.
 *
 * @param weights At least one; positive integers, whose sum times their number is below 2^53.
 */
export function aliasTable(weights: readonly number[]): AliasTable {
  const slots = weights.length;
  let capacity = 0;
  for (const weight of weights) capacity += weight;
  /* In units that make a slot's capacity the sum of the weights, every share is an integer: nothing is rounded on the
   * way, so that poor and rich slots come out even. */
  const shares = Float64Array.from(weights, (weight) => weight * slots);
  const threshold = new Uint32Array(slots).fill(always);
  const alias = Uint32Array.from({ length: slots }, (_, slot) => slot);
  const poor: number[] = [];
  const rich: number[] = [];
  for (let slot = 0; slot < slots; slot++) ((shares[slot] as number) < capacity ? poor : rich).push(slot);
  for (let slot = poor.pop(); slot !== undefined; slot = poor.pop()) {
    const share = shares[slot] as number;
    const giver = rich.at(-1) as number;
    threshold[slot] = Math.min(Math.round((share / capacity) * 2 ** 32), always);
    alias[slot] = giver;
    const left = (shares[giver] as number) - (capacity - share);
    shares[giver] = left;
    if (left < capacity) {
      rich.pop();
      poor.push(giver);
    }
  }
  return { threshold, alias };
}
