import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

import { LoadBalancerError } from './errors';
import type { Native } from '../types/native';

/** statfs(2) of a cgroup v2 hierarchy. */
const CGROUP2_SUPER_MAGIC = 0x63677270;

/** The mount points of file systems of one type, as this process sees them: see proc_pid_mountinfo(5). */
export function mountPoints(mountinfo: string, type: string): string[] {
  const points: string[] = [];
  for (const line of mountinfo.split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ');
    const [, , , root, point] = mount.split(' ');
    if (filesystem.split(' ')[0] !== type || root !== '/' || point === undefined) continue;
    points.push(point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))));
  }
  return points;
}

/**
 * The cgroup v2 directory to attach to: the one that was asked for, or the root of the hierarchy, wherever it is
 * mounted (also beside v1 controllers). Throws `ERR_BPF_NO_CGROUP2`.
 */
export async function findCgroup(native: Native, path: string | undefined): Promise<string> {
  const chosen = path ?? mountPoints(await readFile('/proc/self/mountinfo', 'utf8'), 'cgroup2')[0];
  if (chosen === undefined) {
    throw new LoadBalancerError(
      'ERR_BPF_NO_CGROUP2',
      'No cgroup v2 hierarchy is mounted: run `mount -t cgroup2 none /sys/fs/cgroup/unified`, or pass its path as `cgroup`.',
    );
  }
  let found: boolean;
  try {
    found = isCgroup2(native, chosen);
  } catch (cause) {
    throw new LoadBalancerError('ERR_BPF_NO_CGROUP2', `cgroup: ${chosen} cannot be opened.`, { cause });
  }
  if (!found) {
    throw new LoadBalancerError('ERR_BPF_NO_CGROUP2', `cgroup: ${chosen} is not in a cgroup v2 hierarchy.`);
  }
  return chosen;
}

/** Whether a path lies in a cgroup v2 hierarchy. Throws where there is none. */
export function isCgroup2(native: Pick<Native, 'filesystemType'>, path: string): boolean {
  return native.filesystemType(path) === CGROUP2_SUPER_MAGIC;
}

/** The id of a cgroup, which is the inode of its directory; undefined where there is none. */
export function cgroupId(directory: string): bigint | undefined {
  return statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino;
}
