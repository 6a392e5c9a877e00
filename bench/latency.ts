import type { Hook } from './balancer';
import { run } from './command';

/** What latency.c measures. */
export type Mode = 'tcp-connect' | 'udp-connect' | 'udp-send';

/** One way from a client to a server. */
export interface Path {
  readonly name: string;
  /** Files of network namespaces. */
  readonly client: string;
  readonly server: string;
  readonly cgroup: string;
  /** `address:port`; the first one when there are several addresses. */
  readonly to: string;
  /** Each operation goes to a random one of so many. Default 1. */
  readonly addresses?: number;
  /** Port of a server of this path's own. */
  readonly listen: number;
  /** Programs whose run time is wanted: hook -> id. */
  readonly programs?: ReadonlyMap<Hook, number>;
}

/** How much is measured. */
export interface Effort {
  /** Every path is measured once in a round. */
  readonly rounds: number;
  /** Operations in a row on one path. */
  readonly block: number;
}

/** What was found on one path, by round. All times in ns. */
export interface Latency {
  /** Medians of the operation alone. */
  readonly operation: number[];
  /** Medians of the socket's whole life. */
  readonly life: number[];
  /** Mean times of a program's runs. */
  readonly programs: Map<Hook, number[]>;
}

/** A line of the program's output. */
interface Line {
  /** Index of the path. */
  path: number;
  operation: number;
  life: number;
  failures: number;
  programs: Record<string, { time: number; runs: number }>;
}

/** Runs the measuring program over all paths, interleaved. Rejects when an operation failed. */
export async function measureLatency(
  tool: string,
  mode: Mode,
  paths: readonly Path[],
  { rounds, block }: Effort,
  statistics = false,
): Promise<Map<string, Latency>> {
  const output = await run(
    tool,
    [
      '-m',
      mode,
      '-r',
      rounds,
      '-b',
      block,
      '-c',
      1,
      ...(statistics ? ['-s'] : []),
      ...paths.map(argumentOf),
    ].map(String),
    { timeout: 600_000 },
  );
  const results = paths.map((): Latency => ({ operation: [], life: [], programs: new Map() }));
  for (const text of output.trim().split('\n')) {
    const line = JSON.parse(text) as Line;
    const [path, latency] = [paths[line.path], results[line.path]];
    if (!path || !latency) throw new Error(`Nobody asked for path ${line.path}.`);
    if (line.failures > 0) throw new Error(`${mode} over ${path.name}: ${line.failures} operations failed.`);
    latency.operation.push(line.operation);
    latency.life.push(line.life);
    for (const [hook, id] of path.programs ?? []) {
      const { time, runs } = line.programs[id] ?? { time: 0, runs: 0 };
      if (runs === 0) continue; // a hook that this operation does not pass
      const times = latency.programs.get(hook);
      if (times) times.push(time / runs);
      else latency.programs.set(hook, [time / runs]);
    }
  }
  return new Map(results.map((latency, i) => [(paths[i] as Path).name, latency]));
}

function argumentOf({ client, server, cgroup, to, addresses = 1, listen, programs }: Path): string {
  const fields = { client, server, cgroup, to, addresses, listen };
  const all = Object.entries(fields).map(([key, value]) => `${key}=${value}`);
  for (const id of programs?.values() ?? []) all.push(`program=${id}`);
  return all.join(',');
}
