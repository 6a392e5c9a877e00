import path from 'node:path';

import { run } from './command';
import { type Figure, figure } from './figures';
import type { Lab } from './lab';
import { backendsPerService } from './services';
import { quantile } from './statistics';

/** What one process found. Times in ms, memory in bytes. */
export interface KubernetesRun {
  /** From the lists of the API server, parsed, until the kernel has them. */
  readonly firstSync: number;
  readonly firstSyncCpu: number;
  readonly memory: { readonly empty: number; readonly full: number };
  /** From the event of a watch until the kernel has it. */
  readonly events: readonly number[];
}

/** How often it is tried. */
export interface KubernetesEffort {
  readonly cluster: { readonly services: number; readonly runs: number; readonly events: number };
}

/** A whole cluster from its objects into the kernel, and one EndpointSlice after the other that changes. */
export async function measureKubernetes(lab: Lab, { cluster }: KubernetesEffort): Promise<Figure[]> {
  const { services, runs, events } = cluster;
  const results: KubernetesRun[] = [];
  for (let i = 0; i < runs; i++) results.push(await runChild(lab, services, i === 0 ? events : 0));
  const size = `${services.toLocaleString('en')} Services, ${(services * backendsPerService).toLocaleString('en')} endpoints`;
  const group = 'Kubernetes';
  const of = (name: string, unit: string, valueOf: (result: KubernetesRun) => number) =>
    figure(group, `${name}, ${size}`, unit, results.map(valueOf));
  const times = results[0]?.events.map((ms) => ms * 1000) ?? [];
  const single = (name: string, value: number): Figure => ({
    ...figure(group, `an EndpointSlice's event to the kernel, ${name}, ${size}`, 'us', [value]),
    samples: times.length,
  });
  return [
    of('first sync, from lists to the kernel', 'ms', ({ firstSync }) => firstSync),
    of('first sync, processor time', 'ms', ({ firstSyncCpu }) => firstSyncCpu),
    of('resident memory', 'MB', ({ memory }) => memory.full / 1e6),
    of('resident memory that the cluster takes', 'MB', ({ memory }) => (memory.full - memory.empty) / 1e6),
    single('median', quantile(times, 0.5)),
    single('99th percentile', quantile(times, 0.99)),
    single('longest', Math.max(...times)),
  ];
}

async function runChild(lab: Lab, services: number, events: number): Promise<KubernetesRun> {
  const script = path.join(__dirname, 'kubernetes-child.js');
  const { node } = await lab.podPath('plain');
  const args = [script, await lab.makeCgroup(), String(services), String(events)];
  const output = await run('nsenter', [`--net=${node}`, process.execPath, '--expose-gc', ...args], {
    timeout: 120_000,
  });
  return JSON.parse(output) as KubernetesRun;
}
