import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { run } from './command';
import { type CpuProfile, hotSpots, phases } from './cpu-profile';
import { type Figure, figure } from './figures';
import type { Lab } from './lab';
import { backendsPerService } from './services';
import { quantile } from './statistics';

/** What one process found. Times in ms, memory in bytes. */
export interface ControlPlaneRun {
  readonly open: number;
  readonly apply: number;
  /** Processor time of all threads; on a busy machine it says more. */
  readonly applyCpu: number;
  readonly memory: { readonly empty: number; readonly full: number };
  readonly upserts: readonly number[];
}

/** How often which size is tried. */
export interface ControlPlaneEffort {
  readonly sizes: readonly { readonly services: number; readonly runs: number; readonly upserts: number }[];
}

/** apply() of a whole table, upsertService() of one service, and what they keep in memory. */
export async function measureControlPlane(lab: Lab, { sizes }: ControlPlaneEffort): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { services, runs, upserts } of sizes) {
    const results: ControlPlaneRun[] = [];
    for (let i = 0; i < runs; i++) results.push(await runChild(lab, services, i === 0 ? upserts : 0));
    const size = `${services.toLocaleString('en')} services x ${backendsPerService}`;
    const group = 'Control plane';
    const megabytes = (bytes: number) => bytes / 1e6;
    figures.push(
      figure(
        group,
        `open(), tables for ${size}`,
        'ms',
        results.map(({ open }) => open),
      ),
      figure(
        group,
        `apply(), cold, ${size}`,
        'ms',
        results.map(({ apply }) => apply),
      ),
      figure(
        group,
        `apply(), cold, ${size}, processor time`,
        'ms',
        results.map(({ applyCpu }) => applyCpu),
      ),
      figure(
        group,
        `resident memory, ${size}`,
        'MB',
        results.map(({ memory }) => megabytes(memory.full)),
      ),
      figure(
        group,
        `resident memory that the services take, ${size}`,
        'MB',
        results.map(({ memory }) => megabytes(memory.full - memory.empty)),
      ),
    );
    const times = results[0]?.upserts.map((ms) => ms * 1000) ?? [];
    if (times.length > 0) {
      const name = `upsertService() of one service, ${size}`;
      figures.push(
        figure(group, `${name}, median`, 'us', times),
        {
          ...figure(group, `${name}, 99th percentile`, 'us', [quantile(times, 0.99)]),
          samples: times.length,
        },
        { ...figure(group, `${name}, longest`, 'us', [Math.max(...times)]), samples: times.length },
      );
    }
  }
  return figures;
}

/** Where the time of an apply() goes, by the profiler, which makes it slower. */
export interface ApplyProfile {
  readonly services: number;
  /** ms of the event loop's thread. */
  readonly phases: Readonly<Record<string, number>>;
  readonly hotSpots: readonly { readonly function: string; readonly milliseconds: number }[];
}

/** Profiles a cold apply(). */
export async function profileApply(lab: Lab, services: number): Promise<ApplyProfile> {
  const directory = path.join(lab.work, `profile-${services}`);
  await runChild(lab, services, 0, ['--cpu-prof', `--cpu-prof-dir=${directory}`, '--cpu-prof-interval=100']);
  const [file = ''] = await readdir(directory);
  const profile = JSON.parse(await readFile(path.join(directory, file), 'utf8')) as CpuProfile;
  return { services, phases: phases(profile), hotSpots: hotSpots(profile) };
}

async function runChild(
  lab: Lab,
  services: number,
  upserts: number,
  nodeOptions: readonly string[] = [],
): Promise<ControlPlaneRun> {
  const script = path.join(__dirname, 'control-plane-child.js');
  const { node } = await lab.podPath('plain');
  const args = [script, await lab.makeCgroup(), String(services), String(upserts)];
  const output = await run(
    'nsenter',
    [`--net=${node}`, process.execPath, '--expose-gc', ...nodeOptions, ...args],
    { timeout: 120_000 },
  );
  return JSON.parse(output) as ControlPlaneRun;
}
