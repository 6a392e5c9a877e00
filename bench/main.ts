/*
 * The measuring part of scripts/bench.sh, which gives it a cgroup, a directory and mounts of its own, compiles its
 * tools, and cleans up after it.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { type ApplyProfile, measureControlPlane, profileApply } from './control-plane';
import type { Figure } from './figures';
import { measureHooks } from './hooks';
import { type KubernetesEffort, measureKubernetes } from './kubernetes';
import { Lab } from './lab';
import { describeMachine } from './machine';
import { measurePackets } from './packets';
import { formatReport, type Report } from './report';
import { measureConnects, measureDatagramConnects, measureSends } from './sockets';
import { measureTraffic } from './traffic';
import { measureYardstick } from './yardstick';

interface Effort extends KubernetesEffort {
  readonly rounds: number;
  readonly block: number;
  readonly sizes: readonly { services: number; runs: number; upserts: number }[];
}

const thorough: Effort = {
  rounds: 1000,
  block: 50,
  sizes: [
    { services: 10_000, runs: 7, upserts: 5000 },
    { services: 100_000, runs: 3, upserts: 0 },
  ],
  cluster: { services: 10_000, runs: 5, events: 5000 },
};

const quick: Effort = {
  rounds: 100,
  block: 50,
  sizes: [
    { services: 10_000, runs: 3, upserts: 1000 },
    { services: 100_000, runs: 1, upserts: 0 },
  ],
  cluster: { services: 10_000, runs: 2, events: 1000 },
};

const suites: Readonly<Record<string, (lab: Lab, effort: Effort) => Promise<Figure[]>>> = {
  yardstick: (lab, { rounds }) => measureYardstick(lab, Math.max(5, rounds / 50)),
  connect: measureConnects,
  datagrams: async (lab, effort) => [
    ...(await measureDatagramConnects(lab, effort)),
    ...(await measureSends(lab, effort)),
  ],
  hooks: measureHooks,
  packets: measurePackets,
  traffic: measureTraffic,
  'control-plane': measureControlPlane,
  kubernetes: measureKubernetes,
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cgroup: { type: 'string' },
      work: { type: 'string' },
      tools: { type: 'string' },
      json: { type: 'string' },
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean' },
    },
  });
  const { cgroup, work, tools, json, only = Object.keys(suites) } = values;
  const unknown = only.find((name) => !(name in suites));
  if (unknown !== undefined) {
    throw new TypeError(`There is no '${unknown}': --only takes ${Object.keys(suites).join(', ')}.`);
  }
  if (!cgroup || !work || !tools) throw new TypeError('Start this with `npm run bench`.');
  const effort = values.quick ? quick : thorough;
  const machine = await describeMachine();
  const lab = await Lab.open({ cgroup, work, tools });
  const figures: Figure[] = [];
  const profiles: ApplyProfile[] = [];
  for (const name of only) {
    process.stderr.write(`bench: ${name}\n`);
    figures.push(...(await (suites[name] as (typeof suites)[string])(lab, effort)));
    if (name !== 'control-plane') continue;
    for (const { services } of effort.sizes) profiles.push(await profileApply(lab, services));
  }
  const report: Report = { machine, figures, profiles };
  if (json !== undefined) await writeFile(json, `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(`${formatReport(report)}\n`);
  warnOfNoise(figures);
}

/** What others are compared with is measured twice. When the two disagree, so may all others. */
function warnOfNoise(figures: readonly Figure[]): void {
  for (const { group, name, ratio } of figures) {
    if (!name.endsWith(', once more') || ratio === null || Math.abs(ratio - 1) <= 0.01) continue;
    process.stdout.write(`\nThe machine is too noisy: ${group}, ${name}, gave x ${ratio.toFixed(3)}.\n`);
  }
}

/* As the first process of its namespace this one gets no signal that it does not ask for. */
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
