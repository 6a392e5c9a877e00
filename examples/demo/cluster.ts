import { type ChildProcess, execFile, spawn, type StdioOptions } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { namespaces, prefix, removeCluster, removeStaleClusters } from './removal';

/** A machine or a pod: a network namespace, and a cgroup for what runs there. */
export interface Place {
  readonly name: string;
  readonly address: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** cgroup v2 directory. A pod's is below its node's, as on a real node. */
  readonly cgroup: string;
}

/**
 * Makes places, cables and processes. All carry the number of this process in their names, and all go when it ends,
 * however it ends; after a SIGKILL they go when the next demo begins.
 */
export class Cluster {
  readonly #name = `${prefix}${process.pid}`;
  readonly #cgroup: string;
  /** For files, such as the pages that a pod serves. */
  readonly directory = join(tmpdir(), this.#name);

  constructor() {
    const cgroups = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1];
    if (cgroups === undefined) {
      throw new Error('cgroup v2 is missing: run `mount -t cgroup2 none /sys/fs/cgroup/unified`.');
    }
    this.#cgroup = join(cgroups, this.#name);
    removeStaleClusters(cgroups);
    process.once('exit', () => removeCluster(cgroups, this.#name));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => process.exit(128 + constants.signals[signal]));
    }
    mkdirSync(this.#cgroup);
    mkdirSync(this.directory);
  }

  /** Makes a place, a pod if `node` is given. */
  async place(name: string, address: string, node?: Place): Promise<Place> {
    const cgroup = join(node?.cgroup ?? this.#cgroup, name);
    const namespace = `${this.#name}-${name}`;
    mkdirSync(cgroup);
    await execute('ip', 'netns', 'add', namespace);
    const place = { name, address, netns: join(namespaces, namespace), cgroup };
    await this.ip(place, 'link set lo up');
    return place;
  }

  /** Lays a cable: a veth pair, of which each place gets one end. */
  async connect(a: Place, deviceA: string, b: Place, deviceB: string): Promise<void> {
    await this.ip(
      a,
      `link add ${deviceA} type veth peer name ${deviceB} netns ${this.#name}-${b.name}`,
      `link set ${deviceA} up`,
    );
    await this.ip(b, `link set ${deviceB} up`);
  }

  /** Runs commands of ip(8) at a place; each is given without the word `ip`. */
  async ip(place: Place, ...commands: string[]): Promise<void> {
    for (const command of commands) await this.run(place, 'ip', ...command.split(' '));
  }

  /** Runs a command at a place; resolves with what it printed, rejects when it fails. */
  async run(place: Place, ...command: string[]): Promise<string> {
    return (await execute(...enter(place, command))).stdout;
  }

  /** Starts a command at a place. */
  start(place: Place, command: readonly string[], stdio: StdioOptions): ChildProcess {
    return spawn('setsid', enter(place, command), { stdio });
  }
}

/* In a session of its own: Ctrl-C is for the demo, which would take what it interrupts for failures. */
const execute = (...command: string[]) => promisify(execFile)('setsid', command);

/**
 * The command that runs `command` at a place: first into the cgroup, then into the namespace. `ip netns exec` will
 * not do: it mounts another /sys, without cgroups and bpffs.
 */
export function enter({ cgroup, netns }: Place, command: readonly string[]): [string, ...string[]] {
  const script = 'echo $$ > "$0/cgroup.procs" && exec nsenter --net="$@"';
  return ['sh', '-c', script, cgroup, netns, ...command];
}
