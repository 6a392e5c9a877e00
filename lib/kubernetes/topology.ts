import type { SliceEndpoint } from './endpoints';

/**
 * Which of the ready endpoints of a port are offered to the whole cluster's clients on this node (KEP-2433, KEP-3015):
 * those whose hints name the node, or else its zone, or else all. Hints count only where every endpoint has them.
 */
export function topologyFilter(
  ready: readonly SliceEndpoint[],
  zone: string | undefined,
): (endpoint: SliceEndpoint) => boolean {
  const forThisNode = (e: SliceEndpoint) => e.thisNode === true;
  if (ready.every((e) => e.thisNode !== undefined) && ready.some(forThisNode)) return forThisNode;
  if (zone === undefined) return () => true;
  const forThisZone = (e: SliceEndpoint) => e.zones?.includes(zone) === true;
  if (ready.every((e) => e.zones !== undefined) && ready.some(forThisZone)) return forThisZone;
  return () => true;
}
