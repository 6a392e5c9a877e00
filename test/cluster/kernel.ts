import { statSync } from 'node:fs';

import { run } from '../support/cluster/shell';

/* What the kernel says is attached, through Debian's tools. */

interface BpfLink {
  id: number;
  type: string | number;
  prog_id: number;
  cgroup_id?: number;
}

interface BpfProgram {
  id: number;
  name?: string;
}

function bpftool<T>(...args: string[]): T[] {
  return JSON.parse(run(['bpftool', '-j', ...args]).trim() || '[]') as T[];
}

/** Names of the programs attached to a cgroup. */
export function programsAtCgroup(cgroup: string): string[] {
  return bpftool<{ name: string }>('cgroup', 'show', cgroup)
    .map(({ name }) => name)
    .sort();
}

/** The id of the link that holds a program on a cgroup. */
export function linkAtCgroup(cgroup: string, program: string): number | undefined {
  const cgroupId = statSync(cgroup).ino;
  const programs = bpftool<BpfProgram>('prog', 'show').filter(({ name }) => name === program);
  return bpftool<BpfLink>('link', 'show').find(
    (link) => link.cgroup_id === cgroupId && programs.some(({ id }) => id === link.prog_id),
  )?.id;
}

/** Takes a program off its hook behind the back of its owner. */
export function detachLink(id: number): void {
  run(['bpftool', 'link', 'detach', 'id', String(id)]);
}
