import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { run } from './command';
import { type CpuProfile, hotSpots, phases } from './cpu-profile';
import { type Figure, figure, pairedFigure } from './figures';
import type { Lab } from './lab';
import { backendsPerService } from './services';
import { quantile } from './statistics';

/** What one process found. Times in ms, memory in bytes. */
export interface ControlPlaneRun {
  readonly open: number;
  /** Of a LoadBalancer that takes over what this one has left. */
  readonly adoption?: number | undefined;
  readonly apply: number;
  /** Processor time of all threads; on a busy machine it says more. */
  readonly applyCpu: number;
  readonly memory: { readonly empty: number; readonly full: number };
  readonly upserts: readonly number[];
}

/** How often which size is tried, with a state directory and without. */
export interface ControlPlaneEffort {
  readonly sizes: readonly { readonly services: number; readonly runs: number; readonly upserts: number }[];
}

/** apply() of a whole table, upsertService() of one service, and what they keep in memory. */
export async function measureControlPlane(lab: Lab, { sizes }: ControlPlaneEffort): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { services, runs, upserts } of sizes) {
    const plain: ControlPlaneRun[] = [];
    const kept: ControlPlaneRun[] = [];
    for (let i = 0; i < runs; i++) {
      plain.push(await runChild(lab, services, { upserts: i === 0 ? upserts : 0 }));
      kept.push(await runChild(lab, services, { upserts: i === 0 ? upserts : 0, keep: true }));
    }
    const size = `${services.toLocaleString('en')} services x ${backendsPerService}`;
    figures.push(...figuresOf(plain, size), ...figuresOfState(kept, plain, size));
  }
  return figures;
}

const group = 'Control plane';

function figuresOf(results: readonly ControlPlaneRun[], size: string): Figure[] {
  const megabytes = (bytes: number) => bytes / 1e6;
  const all = (name: string, unit: Figure['unit'], of: (run: ControlPlaneRun) => number) =>
    figure(group, name, unit, results.map(of));
  return [
    all(`open(), tables for ${size}`, 'ms', ({ open }) => open),
    all(`apply(), cold, ${size}`, 'ms', ({ apply }) => apply),
    all(`apply(), cold, ${size}, processor time`, 'ms', ({ applyCpu }) => applyCpu),
    all(`resident memory, ${size}`, 'MB', ({ memory }) => megabytes(memory.full)),
    all(`resident memory that the services take, ${size}`, 'MB', ({ memory }) =>
      megabytes(memory.full - memory.empty),
    ),
    ...figuresOfUpserts(results, size),
  ];
}

/** What it costs that a process to come can take over. */
function figuresOfState(
  results: readonly ControlPlaneRun[],
  plain: readonly ControlPlaneRun[],
  size: string,
): Figure[] {
  const compared = (name: string, of: (run: ControlPlaneRun) => number) =>
    pairedFigure(
      group,
      name,
      'ms',
      results.map(of),
      { name: 'without', values: plain.map(of) },
      results.length,
    );
  return [
    compared(`apply(), cold, ${size}, with a stateDir`, ({ apply }) => apply),
    compared(`apply(), cold, ${size}, with a stateDir, processor time`, ({ applyCpu }) => applyCpu),
    figure(
      group,
      `open() on the state of an earlier process, ${size}`,
      'ms',
      results.flatMap(({ adoption }) => adoption ?? []),
    ),
    ...figuresOfUpserts(results, `${size}, with a stateDir`),
  ];
}

function figuresOfUpserts(results: readonly ControlPlaneRun[], size: string): Figure[] {
  const times = results[0]?.upserts.map((ms) => ms * 1000) ?? [];
  if (times.length === 0) return [];
  const name = `upsertService() of one service, ${size}`;
  const single = (what: string, value: number): Figure => ({
    ...figure(group, `${name}, ${what}`, 'us', [value]),
    samples: times.length,
  });
  return [
    figure(group, `${name}, median`, 'us', times),
    single('99th percentile', quantile(times, 0.99)),
    single('longest', Math.max(...times)),
  ];
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
  const nodeOptions = ['--cpu-prof', `--cpu-prof-dir=${directory}`, '--cpu-prof-interval=100'];
  await runChild(lab, services, { nodeOptions });
  const [file = ''] = await readdir(directory);
  const profile = JSON.parse(await readFile(path.join(directory, file), 'utf8')) as CpuProfile;
  return { services, phases: phases(profile), hotSpots: hotSpots(profile) };
}

async function runChild(
  lab: Lab,
  services: number,
  options: { upserts?: number; keep?: boolean; nodeOptions?: readonly string[] },
): Promise<ControlPlaneRun> {
  const { upserts = 0, keep = false, nodeOptions = [] } = options;
  const script = path.join(__dirname, 'control-plane-child.js');
  const { node } = await lab.podPath('plain');
  const args = [script, await lab.makeCgroup(), String(services), String(upserts)];
  if (keep) args.push(path.join(lab.bpffs, 'state'));
  const output = await run(
    'nsenter',
    [`--net=${node}`, process.execPath, '--expose-gc', ...nodeOptions, ...args],
    { timeout: 120_000 },
  );
  return JSON.parse(output) as ControlPlaneRun;
}
