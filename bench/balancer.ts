import type { Protocol } from 'bpf-lb';

import { startChild } from './child';
import { run } from './command';

/** A LoadBalancer in a process of its own. */
export interface Balancer {
  /** Processes in here are served. */
  readonly cgroup: string;
  readonly services: number;
  close(): Promise<void>;
}

/** Opens a LoadBalancer with that many services for a cgroup, in the network namespace `node`. */
export async function openBalancer(
  cgroup: string,
  node: string,
  services: number,
  protocol: Protocol,
): Promise<Balancer> {
  const close = await startChild(
    node,
    'balancer-child.js',
    [cgroup, String(services), protocol],
    `A LoadBalancer with ${services} services`,
  );
  return { cgroup, services, close };
}

/** The programs on a cgroup's connect4, sendmsg4 and sock_release hooks: hook -> id. */
export async function hookPrograms(cgroup: string): Promise<Map<Hook, number>> {
  const shown = JSON.parse(await run('bpftool', ['--json', 'cgroup', 'show', cgroup])) as {
    id: number;
    name: string;
  }[];
  const programs = new Map<Hook, number>();
  for (const { id, name } of shown) {
    const hook = hooks.find((h) => name.endsWith(`_${h}`));
    if (hook) programs.set(hook, id);
  }
  return programs;
}

/** Hooks that are measured one by one, as the names of programs end. */
export type Hook = (typeof hooks)[number];

const hooks = ['connect4', 'sendmsg4', 'release'] as const;
