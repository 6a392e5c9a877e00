import type { Balancer } from './balancer';
import { type Figure, pairedFigure } from './figures';
import { applyRules, type RulesKind } from './kube-proxy-rules';
import type { Lab } from './lab';
import { type Effort, type Latency, measureLatency, type Mode, type Path } from './latency';
import type { PodPath } from './network';
import {
  count,
  direct,
  many,
  middle,
  most,
  resultOf,
  toAnyBackend,
  toAnyService,
  toBackends,
  toNoService,
  toOne,
  toService,
  withBalancers,
} from './paths';

/** TCP connect() through a ClusterIP, beside a direct one and beside kube-proxy's rules. */
export async function measureConnects(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const plain = await lab.makeCgroup();
  const behindRules = async (kind: RulesKind, services: number) => {
    const ruled = await lab.podPath(`${kind}-${services}`);
    await applyRules(ruled, kind, services, middle(services));
    return toService(`${kind} rules, ${count(services)}`, ruled, plain, services);
  };
  const nftables = [await behindRules('nftables', 1), await behindRules('nftables', many)];
  const iptablesOne = await behindRules('iptables', 1);
  const iptablesMany = await behindRules('iptables', many);
  const baselines = await makeBaselines(lab, pods, plain);
  return withBalancers(lab, pods, 'TCP', [1, many, most], async (...balancers) => {
    const figures = await compare(lab, 'TCP connect()', 'tcp-connect', effort, [
      ...baselines,
      ...balancers.map(({ cgroup, services }) =>
        toService(`bpf-lb, ${count(services)}`, pods, cgroup, services),
      ),
      toNoService('bpf-lb, no service', pods, (balancers[1] as Balancer).cgroup),
      ...nftables,
      iptablesOne,
    ]);
    /* On its own: walking so long a list takes the caches from whoever comes next. */
    const less = { rounds: Math.ceil(effort.rounds / 5), block: Math.ceil(effort.block / 5) };
    const slow = await compare(lab, 'TCP connect()', 'tcp-connect', less, [
      toBackends(direct, pods, plain),
      iptablesMany,
    ]);
    return [...figures, ...slow.filter(({ name }) => name === iptablesMany.name)];
  });
}

/** connect() of a new UDP socket: no packet is sent, so what a lookup costs stands out. */
export async function measureDatagramConnects(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const plain = await lab.makeCgroup();
  const baselines = await makeBaselines(lab, pods, plain);
  return withBalancers(lab, pods, 'UDP', [many], async ({ cgroup }) =>
    compare(lab, 'UDP connect() of a new socket', 'udp-connect', effort, [
      ...baselines,
      toAnyBackend('direct, a random one of 100,000 addresses', pods, plain),
      toService(`bpf-lb, ${count(many)}`, pods, cgroup, many),
      toAnyService(`bpf-lb, a random one of ${count(many)}`, pods, cgroup, many),
      toNoService('bpf-lb, no service', pods, cgroup),
    ]),
  );
}

/** sendto() on an unconnected UDP socket. */
export async function measureSends(lab: Lab, effort: Effort): Promise<Figure[]> {
  const pods = await lab.podPath('plain');
  const baselines = await makeBaselines(lab, pods, await lab.makeCgroup());
  return withBalancers(lab, pods, 'UDP', [many], async ({ cgroup }) =>
    compare(lab, 'UDP sendto(), unconnected', 'udp-send', effort, [
      ...baselines.map(toOne),
      toService(`bpf-lb, ${count(many)}`, pods, cgroup, many),
      toOne(toNoService('bpf-lb, no service', pods, cgroup)),
    ]),
  );
}

/** The direct way twice, in namespaces of its own the second time, and once through hooks that do nothing. */
async function makeBaselines(lab: Lab, pods: PodPath, plain: string): Promise<Path[]> {
  return [
    toBackends(direct, pods, plain),
    toBackends(`${direct}, once more`, await lab.podPath('again'), await lab.makeCgroup()),
    toBackends('programs that do nothing', pods, await lab.makeNoopCgroup()),
  ];
}

async function compare(
  lab: Lab,
  group: string,
  mode: Mode,
  effort: Effort,
  paths: readonly Path[],
): Promise<Figure[]> {
  const results = await measureLatency(lab.tool('latency'), mode, paths, effort);
  const figures = (name: string, valuesOf: (latency: Latency) => number[]): Figure[] => {
    const baseline = { name: direct, values: valuesOf(resultOf(results, direct)) };
    return paths.map((path) =>
      pairedFigure(
        name,
        path.name,
        'ns',
        valuesOf(resultOf(results, path.name)),
        baseline,
        effort.rounds * effort.block,
      ),
    );
  };
  const operations = figures(group, (latency) => latency.operation);
  if (mode === 'udp-send') return operations;
  return [...operations, ...figures(`${group}, with socket() and close()`, (latency) => latency.life)];
}
