/** What `node --cpu-prof` writes. Times in microseconds. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** The functions of lib/ in which the phases of a change begin. */
const beginnings = new Map([
  ['defineService', 'validate'],
  ['planServices', 'plan'],
  ['put', 'place'],
  ['operations', 'encode'],
  ['accept', 'accept'],
  ['(garbage collector)', 'collect garbage'],
]);

/** ms of each phase. */
export function phases(profile: CpuProfile): Record<string, number> {
  const phaseOf = new Map<number, string>();
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const walk = (node: ProfileNode, inherited: string | undefined) => {
    const phase = inherited ?? beginnings.get(node.callFrame.functionName);
    if (phase !== undefined) phaseOf.set(node.id, phase);
    for (const id of node.children ?? []) walk(byId.get(id) as ProfileNode, phase);
  };
  walk(profile.nodes[0] as ProfileNode, undefined);
  const times: Record<string, number> = Object.fromEntries(
    [...beginnings.values()].map((phase) => [phase, 0]),
  );
  profile.samples.forEach((id, i) => {
    const phase = phaseOf.get(id);
    if (phase !== undefined) times[phase] = (times[phase] ?? 0) + (profile.timeDeltas[i] as number) / 1000;
  });
  return times;
}

/** The functions with the most time of their own, in ms. */
export function hotSpots(profile: CpuProfile, count = 15): { function: string; milliseconds: number }[] {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const times = new Map<string, number>();
  profile.samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = (byId.get(id) as ProfileNode).callFrame;
    if (url.includes('/build/bench/')) return; // what makes the input
    const place = url === '' ? '' : ` ${url.slice(url.lastIndexOf('/') + 1)}:${lineNumber + 1}`;
    const name = `${functionName || '(anonymous)'}${place}`;
    times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[i] as number) / 1000);
  });
  return [...times]
    .filter(([name]) => name !== '(idle)')
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([name, milliseconds]) => ({ function: name, milliseconds }));
}
