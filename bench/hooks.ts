import { type Hook, hookPrograms } from './balancer';
import { type Figure, pairedFigure } from './figures';
import type { Lab } from './lab';
import { type Effort, type Latency, measureLatency, type Mode, type Path } from './latency';
import {
  count,
  many,
  most,
  resultOf,
  toAnyService,
  toBackends,
  toNoService,
  toService,
  withBalancers,
} from './paths';

const group = 'Hooks';

const hookNames: Record<Hook, string> = {
  connect4: 'connect hook',
  release: 'release hook',
  sendmsg4: 'sendmsg hook',
};

/** What each hook adds to one that does nothing, by the kernel's own statistics. */
export async function measureHooks(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const noop = toBackends('programs that do nothing', pods, await lab.makeNoopCgroup());
  /* The kernel knows sums only: a block has to be long for its beginning, with cold caches, not to count. */
  const longer = { rounds: Math.ceil(effort.rounds / 5), block: effort.block * 5 };
  const compare = (mode: Mode, hooks: readonly Hook[], paths: readonly Path[]) =>
    compareHooks(lab, mode, hooks, noop, paths, longer);
  const connection = ['connect4', 'release'] as const;
  const tcp = await withBalancers(lab, pods, 'TCP', [1, many, most], async (one, ten, hundred) => {
    if (!one || !ten || !hundred) throw new RangeError('Three LoadBalancers were asked for.');
    const hot = [one, ten, hundred].map(({ cgroup, services }) =>
      toService(`TCP, ${count(services)}`, pods, cgroup, services),
    );
    const none = [
      toNoService("TCP, no service, on a service's port", pods, ten.cgroup),
      toBackends('TCP, no service', pods, ten.cgroup),
    ];
    /* Apart, because they take the caches from the others. */
    const random = [ten, hundred].map(({ cgroup, services }) =>
      toAnyService(`TCP, a random one of ${count(services)}`, pods, cgroup, services),
    );
    return [
      ...(await compare('tcp-connect', connection, [...hot, ...none])),
      ...(await compare('tcp-connect', connection, random)),
    ];
  });
  const udp = await withBalancers(lab, pods, 'UDP', [many], async (balancer) => {
    if (!balancer) throw new RangeError('A LoadBalancer was asked for.');
    const { cgroup } = balancer;
    const same = toService(`UDP, ${count(many)}`, pods, cgroup, many);
    const none = toNoService("UDP, no service, on a service's port", pods, cgroup);
    return [
      ...(await compare('udp-connect', connection, [same, none])),
      ...(await compare('udp-connect', connection, [
        toAnyService(`UDP, a random one of ${count(many)}`, pods, cgroup, many),
      ])),
      ...(await compare('udp-send', ['sendmsg4'], [same, none])),
    ];
  });
  return [...tcp, ...udp];
}

async function compareHooks(
  lab: Lab,
  mode: Mode,
  hooks: readonly Hook[],
  noop: Path,
  paths: readonly Path[],
  effort: Effort,
): Promise<Figure[]> {
  const measured: Path[] = [];
  for (const path of [noop, ...paths]) measured.push({ ...path, programs: await hookPrograms(path.cgroup) });
  const results = await measureLatency(lab.tool('latency'), mode, measured, effort, true);
  const figure = (path: Path, parts: readonly Hook[]): Figure =>
    pairedFigure(
      group,
      `${parts.map((hook) => hookNames[hook]).join(' + ')}, ${path.name}`,
      'ns',
      sums(resultOf(results, path.name), parts),
      { name: noop.name, values: sums(resultOf(results, noop.name), parts) },
      effort.rounds * effort.block,
    );
  const combinations = hooks.length > 1 ? [...hooks.map((hook) => [hook]), hooks] : [hooks];
  return paths.flatMap((path) => combinations.map((parts) => figure(path, parts)));
}

/** By round, the time that these hooks took together. */
function sums({ programs }: Latency, hooks: readonly Hook[]): number[] {
  const times = hooks.map((hook) => programs.get(hook) ?? []);
  return (times[0] ?? []).map((_, round) =>
    times.reduce((sum, values) => sum + (values[round] as number), 0),
  );
}
