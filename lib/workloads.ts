import { readdir, readFile, readlink } from 'node:fs/promises';

/** The inode of the first PID namespace, as the kernel defines it (PROC_PID_INIT_INO). */
const firstPidNamespace = 'pid:[4026531836]';

/** Processes of one cgroup and one network namespace. */
export interface Workload {
  /** In the cgroup v2 hierarchy, as proc(5) shows it: `/kubepods/pod1`. */
  readonly cgroup: string;
  /** Inode of the network namespace. */
  readonly netns: number;
  readonly pids: readonly number[];
  /** Of gVisor, whose programs' sockets are not this kernel's. */
  readonly sandboxes: readonly number[];
}

/** What there is, and what could not be looked at, in words. */
export interface WorkloadScan {
  readonly workloads: readonly Workload[];
  readonly missing: ReadonlySet<string>;
}

/** When a search has to end. */
export class Deadline {
  readonly #end: number;
  readonly #signal: AbortSignal;

  /** `timeout`: milliseconds; the signal may come first. */
  constructor(timeout: number, signal: AbortSignal) {
    this.#end = performance.now() + timeout;
    this.#signal = signal;
  }

  get isOver(): boolean {
    return this.#signal.aborted || performance.now() >= this.#end;
  }
}

/** Goes through the processes of /proc, but those of the kernel. */
export async function scanWorkloads(deadline: Deadline): Promise<WorkloadScan> {
  const found = new Map<string, { cgroup: string; netns: number; pids: number[]; sandboxes: number[] }>();
  const missing = new Set<string>();
  if ((await readlink('/proc/self/ns/pid')) !== firstPidNamespace)
    missing.add('processes outside of the PID namespace of this one');
  for (const pid of (await readdir('/proc')).map(Number).filter(Number.isInteger)) {
    if (deadline.isOver) {
      missing.add('processes that were left when the time was over');
      break;
    }
    const process = await readProcess(pid);
    if (process === 'unreadable') missing.add('processes that this one may not look at (CAP_SYS_PTRACE)');
    if (typeof process === 'string') continue;
    const { cgroup, netns, sandbox } = process;
    const key = `${netns} ${cgroup}`;
    const workload = found.get(key) ?? { cgroup, netns, pids: [], sandboxes: [] };
    found.set(key, workload);
    workload.pids.push(pid);
    if (sandbox) workload.sandboxes.push(pid);
  }
  return { workloads: [...found.values()], missing };
}

/** 'none': it has ended, or is a thread of the kernel. */
async function readProcess(
  pid: number,
): Promise<{ cgroup: string; netns: number; sandbox: boolean } | 'none' | 'unreadable'> {
  try {
    const executable = await readlink(`/proc/${pid}/exe`);
    const netns = /^net:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/ns/net`))?.[1];
    const cgroup = /^0::(.*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
    if (netns === undefined || cgroup === undefined) return 'none';
    return { cgroup, netns: Number(netns), sandbox: /\/runsc$/.test(executable) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'unreadable' : 'none';
  }
}

/** Which of the processes hold one of these tap devices open. */
export async function tapHolders(
  devices: readonly { readonly name: string; readonly ifindex: number }[],
  pids: readonly number[],
  deadline: Deadline,
): Promise<number[]> {
  const holders: number[] = [];
  for (const pid of pids) {
    if (deadline.isOver) break;
    if (await holdsTap(pid, devices)) holders.push(pid);
  }
  return holders;
}

async function holdsTap(
  pid: number,
  devices: readonly { readonly name: string; readonly ifindex: number }[],
): Promise<boolean> {
  try {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      const file = await readlink(`/proc/${pid}/fd/${fd}`);
      if (devices.some(({ ifindex }) => file === `/dev/tap${ifindex}`)) return true;
      if (file !== '/dev/net/tun') continue;
      const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
      if (devices.some(({ name }) => info.includes(`iff:\t${name}\n`))) return true;
    }
  } catch {
    /* It has ended, or closed the file meanwhile. */
  }
  return false;
}
