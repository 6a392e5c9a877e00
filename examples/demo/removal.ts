import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where `ip netns` keeps namespaces. */
export const namespaces = '/run/netns';

/** What the names of all clusters begin with; the process that made the cluster follows. */
export const prefix = 'bpf-lb-demo-';

/** Removes a cluster. Synchronous, so that a process can do it as its last act. */
export function removeCluster(cgroups: string, name: string): void {
  killProcesses(join(cgroups, name));
  const made = list(namespaces).filter((namespace) => namespace.startsWith(`${name}-`));
  if (made.length > 0) {
    /* In a session of its own, or a second Ctrl-C would end it half-way. */
    execFileSync('setsid', ['--wait', 'ip', '-force', '-batch', '-'], {
      input: made.map((namespace) => `netns del ${namespace}\n`).join(''),
      stdio: ['pipe', 'ignore', 'inherit'],
    });
  }
  rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

/** Removes what demos left behind that were killed. */
export function removeStaleClusters(cgroups: string): void {
  const pattern = new RegExp(`^${prefix}(\\d+)`);
  const stale = new Set<string>();
  for (const name of [...list(cgroups), ...list(namespaces), ...list(tmpdir())]) {
    const [cluster, pid] = pattern.exec(name) ?? [];
    if (cluster !== undefined && !existsSync(`/proc/${pid}`)) stale.add(cluster);
  }
  for (const cluster of stale) removeCluster(cgroups, cluster);
}

/** Ends every process of a cgroup and of those below it, and removes the directories. */
function killProcesses(cgroup: string): void {
  if (!existsSync(cgroup)) return;
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < 500; i++) {
    /* Every time: one that was being started may join after the first. */
    writeFileSync(join(cgroup, 'cgroup.kill'), '1');
    if (!isPopulated(cgroup) && removeDirectories(cgroup)) return;
    Atomics.wait(clock, 0, 0, 10);
  }
  throw new Error(`demo: ${cgroup} has processes that cannot be ended.`);
}

function isPopulated(cgroup: string): boolean {
  return readFileSync(join(cgroup, 'cgroup.events'), 'utf8').includes('populated 1');
}

/** The files in a cgroup go with its directory; only directories can be removed. False when a process has come in. */
function removeDirectories(directory: string): boolean {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory() && !removeDirectories(join(directory, entry.name))) return false;
  }
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
