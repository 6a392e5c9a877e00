import type { Protocol } from 'bpf-lb';

import { type Balancer, hookPrograms, type Hook } from './balancer';
import { run } from './command';
import { type Figure, pairedFigure } from './figures';
import { iptablesRules, nftablesRules } from './kube-proxy-rules';
import type { Lab } from './lab';
import { type Effort, type Latency, measureLatency, type Mode, type Path } from './latency';
import type { PodPath } from './network';
import { backendAddress, backendPort, backendsPerService, serviceAddress, servicePort } from './services';

/** The service that is asked for: the one in the middle, which is the average for who searches in order. */
function middle(services: number): number {
  return Math.floor(services / 2);
}

const many = 10_000;
const most = 100_000;

function count(services: number): string {
  return services === 1 ? '1 service' : `${services.toLocaleString('en')} services`;
}

/** To the backends themselves, as a service would spread it. */
function direct(
  name: string,
  { client, server }: PodPath,
  cgroup: string,
  services: 'one' | 'all' = 'one',
): Path {
  const first = services === 'one' ? middle(many) : 0;
  return {
    name,
    client,
    server,
    cgroup,
    to: `${backendAddress(first, 0)}:${backendPort}`,
    addresses: services === 'one' ? backendsPerService : backendsPerService * many,
    listen: backendPort,
  };
}

/** Through a ClusterIP. */
function toService(name: string, { client, server }: PodPath, cgroup: string, services: number): Path {
  const to = `${serviceAddress(middle(services))}:${servicePort}`;
  return { name, client, server, cgroup, to, listen: backendPort };
}

/** Each time through another ClusterIP. */
function toAnyService(name: string, pods: PodPath, cgroup: string, services: number): Path {
  return {
    ...toService(name, pods, cgroup, services),
    to: `${serviceAddress(0)}:${servicePort}`,
    addresses: services,
  };
}

/** To an address that is no service's, on a port that services have: the worst case of traffic that is not ours. */
function toNoService(name: string, { client, server }: PodPath, cgroup: string): Path {
  const to = `${backendAddress(middle(many), 0)}:${servicePort}`;
  return { name, client, server, cgroup, to, addresses: backendsPerService, listen: servicePort };
}

async function withBalancers<T>(
  lab: Lab,
  node: PodPath,
  protocol: Protocol,
  sizes: readonly number[],
  use: (balancers: readonly Balancer[]) => Promise<T>,
): Promise<T> {
  const balancers: Balancer[] = [];
  try {
    for (const size of sizes) balancers.push(await lab.openBalancer(node, size, protocol));
    return await use(balancers);
  } finally {
    for (const balancer of balancers) await balancer.close();
  }
}

/** `direct` is the baseline of every other path. */
async function compare(
  lab: Lab,
  group: string,
  mode: Mode,
  paths: readonly Path[],
  effort: Effort,
): Promise<Figure[]> {
  const results = await measureLatency(lab.latencyTool, mode, paths, effort);
  const figures = (what: string, valuesOf: (latency: Latency) => number[]): Figure[] => {
    const baseline = { name: 'direct', values: valuesOf(resultOf(results, 'direct')) };
    return paths.map(({ name }) =>
      pairedFigure(
        what,
        name,
        'ns',
        valuesOf(resultOf(results, name)),
        baseline,
        effort.rounds * effort.block,
      ),
    );
  };
  const operations = figures(group, (latency) => latency.operation);
  return mode === 'udp-send'
    ? operations
    : [...operations, ...figures(`${group}, with socket() and close()`, (latency) => latency.life)];
}

function resultOf(results: ReadonlyMap<string, Latency>, name: string): Latency {
  const latency = results.get(name);
  if (!latency) throw new Error(`${name} was not measured.`);
  return latency;
}

/** TCP connect() through a ClusterIP, beside a direct one and beside kube-proxy's rules. */
export async function measureConnects(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const plain = await lab.makeCgroup();
  const nftables: Path[] = [];
  for (const services of [1, many]) {
    const ruled = await lab.podPath(`nft-${services}`);
    await applyRules(ruled, ['nft', '-f', '-'], nftablesRules(services, middle(services)));
    nftables.push(toService(`nftables rules, ${count(services)}`, ruled, plain, services));
  }
  const iptables: Path[] = [];
  for (const services of [1, many]) {
    const ruled = await lab.podPath(`iptables-${services}`);
    await applyRules(ruled, ['iptables-restore'], iptablesRules(services, middle(services)));
    iptables.push(toService(`iptables rules, ${count(services)}`, ruled, plain, services));
  }
  const [iptablesOne, iptablesMany] = iptables as [Path, Path];
  const group = 'TCP connect()';
  return withBalancers(lab, pods, 'TCP', [1, many, most], async (balancers) => {
    const noService = balancers.find(({ services }) => services === many) as Balancer;
    const paths = [
      direct('direct', pods, plain),
      direct('direct, once more', await lab.podPath('again'), await lab.makeCgroup()),
      direct('programs that do nothing', pods, await lab.makeNoopCgroup()),
      ...balancers.map(({ cgroup, services }) =>
        toService(`bpf-lb, ${count(services)}`, pods, cgroup, services),
      ),
      toNoService('bpf-lb, no service', pods, noService.cgroup),
      ...nftables,
      iptablesOne,
    ];
    const figures = await compare(lab, group, 'tcp-connect', paths, effort);
    /* On its own: walking so long a list takes the caches from whoever comes next. */
    const slow = { rounds: Math.ceil(effort.rounds / 5), block: Math.ceil(effort.block / 5) };
    const slowFigures = await compare(
      lab,
      group,
      'tcp-connect',
      [direct('direct', pods, plain), iptablesMany],
      slow,
    );
    return [...figures, ...slowFigures.filter(({ name }) => name === iptablesMany.name)].toSorted(byGroup);
  });
}

function byGroup(a: Figure, b: Figure): number {
  return a.group.length - b.group.length;
}

async function applyRules({ node }: PodPath, command: readonly string[], rules: string): Promise<void> {
  await run('nsenter', [`--net=${node}`, ...command], { input: rules, timeout: 300_000 });
}

/** connect() of a new UDP socket: no packet, so that what a lookup costs stands out. */
export async function measureDatagramConnects(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const plain = await lab.makeCgroup();
  return withBalancers(lab, pods, 'UDP', [many], async ([balancer]) => {
    const { cgroup } = balancer as Balancer;
    const paths = [
      direct('direct', pods, plain),
      direct('direct, once more', await lab.podPath('again'), await lab.makeCgroup()),
      direct('direct, to a random one of 100,000 addresses', pods, plain, 'all'),
      direct('programs that do nothing', pods, await lab.makeNoopCgroup()),
      toService(`bpf-lb, ${count(many)}`, pods, cgroup, many),
      toAnyService(`bpf-lb, a random one of ${count(many)}`, pods, cgroup, many),
      toNoService('bpf-lb, no service', pods, cgroup),
    ];
    return compare(lab, 'UDP connect() of a new socket', 'udp-connect', paths, effort);
  });
}

/** sendto() on an unconnected UDP socket. */
export async function measureSends(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const plain = await lab.makeCgroup();
  return withBalancers(lab, pods, 'UDP', [many], async ([balancer]) => {
    const { cgroup } = balancer as Balancer;
    const paths = [
      { ...direct('direct', pods, plain), addresses: 1 },
      { ...direct('direct, once more', await lab.podPath('again'), await lab.makeCgroup()), addresses: 1 },
      { ...direct('programs that do nothing', pods, await lab.makeNoopCgroup()), addresses: 1 },
      toService(`bpf-lb, ${count(many)}`, pods, cgroup, many),
      { ...toNoService('bpf-lb, no service', pods, cgroup), addresses: 1 },
    ];
    return compare(lab, 'UDP sendto(), unconnected', 'udp-send', paths, effort);
  });
}

/** What each hook adds, by the kernel's own statistics, to one that does nothing. */
export async function measureHooks(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const figures: Figure[] = [];
  for (const [protocol, mode, sizes] of [
    ['TCP', 'tcp-connect', [1, many, most]],
    ['UDP', 'udp-connect', [many]],
  ] as const) {
    await withBalancers(lab, pods, protocol, sizes, async (balancers) => {
      const noop = direct('programs that do nothing', pods, await lab.makeNoopCgroup());
      const paths = [noop];
      for (const { cgroup, services } of balancers) {
        paths.push(toService(`${protocol}, ${count(services)}`, pods, cgroup, services));
        if (services === 1) continue;
        paths.push(toAnyService(`${protocol}, a random one of ${count(services)}`, pods, cgroup, services));
        if (services === many) paths.push(toNoService(`${protocol}, no service`, pods, cgroup));
      }
      figures.push(...(await compareHooks(lab, mode, ['connect4', 'release'], paths, effort)));
    });
  }
  await withBalancers(lab, pods, 'UDP', [many], async ([balancer]) => {
    const { cgroup } = balancer as Balancer;
    const paths = [
      direct('programs that do nothing', pods, await lab.makeNoopCgroup()),
      toService(`UDP, ${count(many)}`, pods, cgroup, many),
      toNoService('UDP, no service', pods, cgroup),
    ];
    figures.push(...(await compareHooks(lab, 'udp-send', ['sendmsg4'], paths, effort)));
  });
  return figures;
}

const hookNames: Record<Hook, string> = {
  connect4: 'connect hook',
  release: 'release hook',
  sendmsg4: 'sendmsg hook',
};

/** The first path has the programs that do nothing. */
async function compareHooks(
  lab: Lab,
  mode: Mode,
  hooks: readonly Hook[],
  paths: readonly Path[],
  effort: Effort,
): Promise<Figure[]> {
  const measured: Path[] = [];
  for (const path of paths) measured.push({ ...path, programs: await hookPrograms(path.cgroup) });
  const results = await measureLatency(lab.latencyTool, mode, measured, effort, true);
  const [noop, ...others] = paths as [Path, ...Path[]];
  const timesOf = ({ name }: Path, hook: Hook): number[] => {
    const times = resultOf(results, name).programs.get(hook);
    if (times?.length !== effort.rounds)
      throw new Error(`${name}: the ${hookNames[hook]} did not run each time.`);
    return times;
  };
  const sumOf = (path: Path): number[] =>
    timesOf(path, hooks[0] as Hook).map((time, round) =>
      hooks.slice(1).reduce((sum, hook) => sum + (timesOf(path, hook)[round] as number), time),
    );
  const samples = effort.rounds * effort.block;
  const baseline = (values: number[]) => ({ name: noop.name, values });
  return others.flatMap((path) => [
    ...hooks.map((hook) =>
      pairedFigure(
        'Hooks',
        `${hookNames[hook]}, ${path.name}`,
        'ns',
        timesOf(path, hook),
        baseline(timesOf(noop, hook)),
        samples,
      ),
    ),
    ...(hooks.length > 1
      ? [
          pairedFigure(
            'Hooks',
            `${hooks.map((h) => hookNames[h]).join(' + ')}, ${path.name}`,
            'ns',
            sumOf(path),
            baseline(sumOf(noop)),
            samples,
          ),
        ]
      : []),
  ]);
}
