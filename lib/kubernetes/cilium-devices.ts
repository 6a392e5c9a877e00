import { refuse } from './settings';

/**
 * Of Cilium's patterns the first that matches decides. Of ours a name beats a prefix, and an exclusion its equal,
 * wherever they stand. Refuses lists that would mean something else here: those with a pattern that an earlier one
 * keeps from ever being asked, or asked about some devices only.
 */
export function checkDeviceOrder(patterns: readonly string[]): void {
  patterns.forEach((pattern, i) => {
    const earlier = patterns.slice(0, i).find((before) => clashes(before, pattern));
    if (earlier !== undefined)
      refuse(`'${earlier}' comes first and decides; put '${pattern}' before it, or leave it out`);
  });
}

function clashes(before: string, after: string): boolean {
  if (isExclusion(before) === isExclusion(after)) return false;
  const [first, second] = [before, after].map((pattern) => pattern.replace('!', ''));
  if (first === undefined || second === undefined) return false;
  /* To both, the exclusion of a name beats a prefix, and a name the exclusion of a prefix, when it comes first. */
  if (isExclusion(before)) return !second.endsWith('+') && covers(first, second) && first !== second;
  return first === second || (first.endsWith('+') && (covers(first, second) || covers(second, first)));
}

function isExclusion(pattern: string): boolean {
  return pattern.startsWith('!');
}

/** Whether every device that matches `narrow` matches `wide`. */
function covers(wide: string, narrow: string): boolean {
  return wide.endsWith('+') ? narrow.replace('+', '').startsWith(wide.slice(0, -1)) : wide === narrow;
}
