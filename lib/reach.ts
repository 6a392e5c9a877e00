import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';

import { families, type Family } from './address';
import { cgroupId, mountPoints } from './cgroup';
import type { Hooks, OtherProgram } from './hooks';
import { describeFailures, type Finding, tryOut } from './socket-layer';
import { Deadline, scanWorkloads, tapHolders, type Workload } from './workloads';
import type { Native } from '../types/native';

/** Why sockets are not translated. */
export type UnreachedReason =
  /** The processes' cgroup is not below the one that the programs are attached to. */
  | 'cgroup'
  /** As was asked: `hostNamespaceOnly`, `except`, `exceptSockets()`. */
  | 'excepted'
  /** A canary in the cgroup and the network namespace was not translated. */
  | 'failed'
  /** Virtual machines behind tap devices, or gVisor: their sockets are not this kernel's. */
  | 'guests';

/** Processes whose sockets are not translated. */
export interface UnreachedWorkload {
  readonly reason: UnreachedReason;
  /** In the cgroup v2 hierarchy, as proc(5) shows it; undefined of guests, whose monitors' cgroup says nothing. */
  readonly cgroup: string | undefined;
  /** Inode of the network namespace, as `lsns -t net` shows it. */
  readonly netns: number;
  /** How many processes there are; of guests those that are known to hold them. */
  readonly processes: number;
  /** Some of them. */
  readonly pids: readonly number[];
  /** What the canary met, when it failed. */
  readonly failure: string | undefined;
  /** Programs of others on the hooks that the canary passed. */
  readonly others: readonly OtherProgram[];
  /** Tap devices that guests are behind. */
  readonly devices: readonly string[];
}

/** Workloads that socket translation does not reach. */
export interface ReachReport {
  readonly unreached: readonly UnreachedWorkload[];
  /** What could not be looked at, in words. Empty: everything was. */
  readonly missing: readonly string[];
}

/** What the search asks about the LoadBalancer. */
export interface ReachContext {
  readonly native: Native;
  readonly hooks: Hooks;
  /** The directory that the programs are attached to. */
  readonly cgroup: string;
  readonly canaryPort: number;
  readonly hostNamespaceOnly: boolean;
  /** Ends the search. */
  readonly closed: AbortSignal;
  /** Whether sockets of one of these cgroups, or of the namespace, are left alone. */
  excepts(cgroups: readonly bigint[], netnsCookie: bigint): boolean;
}

const sampleSize = 8;
const ARPHRD_ETHER = 1;

/** Looks for workloads that socket translation does not reach. Changes nothing that is others'. */
export class ReachSearch {
  readonly #context: ReachContext;
  readonly #deadline: Deadline;
  readonly #missing = new Set<string>();
  readonly #unreached: UnreachedWorkload[] = [];
  /** What canaries have found, by cgroup and namespace. */
  readonly #found = new Map<string, Promise<Pick<UnreachedWorkload, 'failure' | 'others'> | undefined>>();
  #mount = '';

  /** `timeout`: milliseconds. */
  constructor(context: ReachContext, timeout: number) {
    this.#context = context;
    this.#deadline = new Deadline(timeout, context.closed);
  }

  async run(): Promise<ReachReport> {
    const attachedTo = cgroupId(this.#context.cgroup);
    this.#mount = mountPoints(await readFile('/proc/self/mountinfo', 'utf8'), 'cgroup2')[0] ?? '';
    const { workloads, missing } = await scanWorkloads(this.#deadline);
    for (const each of missing) this.#missing.add(each);
    const below: Workload[] = [];
    for (const workload of workloads) {
      const ids = this.#cgroupIds(workload.cgroup);
      if (attachedTo === undefined || !ids.includes(attachedTo)) this.#add('cgroup', workload);
      else if (await this.#tryOut(workload, ids)) below.push(workload);
    }
    await this.#findGuests(below);
    return { unreached: this.#unreached, missing: [...this.#missing] };
  }

  /** Of the cgroup and of all above it. None for a path outside of this process' cgroup namespace. */
  #cgroupIds(cgroup: string): bigint[] {
    if (cgroup.startsWith('/..')) return [];
    const ids: bigint[] = [];
    for (let path = cgroup; ; path = posix.dirname(path)) {
      const id = cgroupId(join(this.#mount, path));
      if (id !== undefined) ids.push(id);
      if (path === '/') return ids;
    }
  }

  /** False when its sockets are not translated. */
  async #tryOut(workload: Workload, cgroups: readonly bigint[]): Promise<boolean> {
    const { native, hostNamespaceOnly } = this.#context;
    if (this.#isOver()) return false;
    const own = native.netns().inode === workload.netns;
    const netns = own ? undefined : await this.#netnsPath(workload);
    if (!own && netns === undefined) return false;
    const { cookie } = netns === undefined ? native.netns() : await native.netnsOf(netns);
    if ((hostNamespaceOnly && !own) || this.#context.excepts(cgroups, cookie)) {
      this.#add('excepted', workload);
      return false;
    }
    const directory = this.#canaryCgroup(join(this.#mount, workload.cgroup));
    const key = `${directory} ${workload.netns}`;
    const found = this.#found.get(key) ?? this.#sendCanaries(directory, netns);
    this.#found.set(key, found);
    const failure = await found;
    if (failure) this.#add('failed', workload, failure);
    return failure === undefined;
  }

  /** The path of its namespace, by a process that still is there. */
  async #netnsPath({ pids, netns }: Workload): Promise<string | undefined> {
    for (const pid of pids.slice(0, sampleSize)) {
      const path = `/proc/${pid}/ns/net`;
      try {
        if ((await this.#context.native.netnsOf(path)).inode === netns) return path;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === 'EPERM' || code === 'EACCES') {
          this.#missing.add('other network namespaces, which this process may not enter (CAP_SYS_ADMIN)');
        }
      }
    }
    return undefined;
  }

  /** Where the programs that run are those of the cgroup that ours are attached to, its canary speaks for all. */
  #canaryCgroup(directory: string): string {
    const { hooks, cgroup } = this.#context;
    return hooks.effectivePrograms(directory) === hooks.effectivePrograms(cgroup) ? cgroup : directory;
  }

  async #sendCanaries(
    directory: string,
    netns: string | undefined,
  ): Promise<Pick<UnreachedWorkload, 'failure' | 'others'> | undefined> {
    const findings: Partial<Record<Family, Finding>> = {};
    const from = { cgroup: directory, canaryPort: this.#context.canaryPort };
    try {
      for (const family of families)
        findings[family] = await tryOut(this.#context.native, from, family, netns);
    } catch (error) {
      this.#missing.add(`sockets in ${directory}: ${(error as Error).message}`);
    }
    const failure = describeFailures(findings);
    if (failure === undefined) return undefined;
    const failed = families.filter((family) => findings[family]?.failure !== undefined);
    const others = failed.flatMap((family) => this.#context.hooks.otherPrograms(directory, family));
    return { failure, others };
  }

  /** The kernel translates the sockets of a monitor, not those of the machine that it runs. */
  async #findGuests(workloads: readonly Workload[]): Promise<void> {
    for (const workload of workloads) {
      if (workload.sandboxes.length > 0) this.#add('guests', { ...workload, pids: workload.sandboxes });
    }
    for (const netns of new Set(workloads.map((workload) => workload.netns))) {
      if (this.#isOver()) return;
      const here = workloads.filter((workload) => workload.netns === netns);
      const pids = here.flatMap((workload) => workload.pids);
      const taps = await this.#tapsOf(netns, pids);
      if (taps.length === 0) continue;
      const holders = await tapHolders(taps, pids, this.#deadline);
      this.#add('guests', { netns, pids: holders }, { devices: taps.map(({ name }) => name) });
    }
  }

  async #tapsOf(netns: number, pids: readonly number[]): Promise<{ name: string; ifindex: number }[]> {
    const { native } = this.#context;
    const own = native.netns().inode === netns;
    const path = own ? undefined : await this.#netnsPath({ cgroup: '', netns, pids, sandboxes: [] });
    if (!own && path === undefined) return [];
    const { links } = await native.network(path);
    return links.filter(
      ({ kind, type }) =>
        kind === 'macvtap' || kind === 'ipvtap' || (kind === 'tun' && type === ARPHRD_ETHER),
    );
  }

  #isOver(): boolean {
    if (!this.#deadline.isOver) return false;
    this.#missing.add('workloads that were left when the time was over');
    return true;
  }

  #add(
    reason: UnreachedReason,
    { cgroup, netns, pids }: Pick<Workload, 'netns' | 'pids'> & { cgroup?: string },
    details: Partial<UnreachedWorkload> = {},
  ): void {
    this.#unreached.push({
      reason,
      cgroup: reason === 'guests' ? undefined : cgroup,
      netns,
      processes: pids.length,
      pids: pids.slice(0, sampleSize),
      failure: undefined,
      others: [],
      devices: [],
      ...details,
    });
  }
}
