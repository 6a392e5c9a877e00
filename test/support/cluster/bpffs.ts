import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Cleanup } from '../cleanup';
import { isStale, uniqueName } from './names';

/** A bpffs of our own, below the temporary directory. What is pinned in it goes with it. */
export function mountBpffs(cleanup: Cleanup, label: string): string {
  const directory = path.join(tmpdir(), uniqueName(label));
  mkdirSync(directory);
  cleanup.add(() => rmdirSync(directory));
  execFileSync('mount', ['-t', 'bpf', '-o', 'mode=0700', 'bpf', directory]);
  cleanup.add(() => execFileSync('umount', [directory]));
  return directory;
}

/** Unmounts those of earlier runs that were killed, and with them what they served with. */
export function sweepBpffs(): void {
  for (const name of readdirSync(tmpdir()).filter(isStale)) {
    const directory = path.join(tmpdir(), name);
    try {
      execFileSync('umount', [directory], { stdio: 'ignore' });
    } catch {
      // It was not mounted any more, or somebody is still in it.
    }
    try {
      rmdirSync(directory);
    } catch {
      // Somebody is still in it: the next run tries again.
    }
  }
}
