import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';

import type { Cleanup } from '../cleanup';
import { isStale, uniqueName } from './names';

/** Where the cgroup v2 hierarchy is mounted, if it is. */
export function cgroupMount(): string | undefined {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')?.[1];
}

/** A cgroup v2 directory of our own, below the mount or another. It has to be empty again when it is removed. */
export function makeCgroup(cleanup: Cleanup, label: string, parent = cgroupMount()): string {
  if (parent === undefined) throw new Error('cgroup v2 is not mounted');
  const directory = path.join(parent, uniqueName(label));
  mkdirSync(directory);
  cleanup.add(() => rmdirSync(directory));
  return directory;
}

/** Removes the cgroups of earlier runs that were killed. */
export function sweepCgroups(): void {
  const mount = cgroupMount();
  if (mount === undefined) return;
  for (const name of readdirSync(mount).filter(isStale)) {
    try {
      rmdirSync(path.join(mount, name));
    } catch {
      // Somebody is still in it: the next run tries again.
    }
  }
}
