import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { Protocol } from 'bpf-lb';

import { type Balancer, openBalancer } from './balancer';
import { run } from './command';
import { makePodPath, type PodPath } from './network';
import { hangNoop } from './noop';

/** What bench.sh has prepared. */
export interface LabOptions {
  /** A cgroup v2 directory of this run's own. */
  readonly cgroup: string;
  /** A directory of this run's own. */
  readonly work: string;
  /** What was compiled: programs and BPF objects, named as their sources. */
  readonly tools: string;
}

/**
 * Where measurements happen. Namespaces, and what is pinned, live in mounts that no other process sees, so they go
 * with this process however it ends; bench.sh removes the cgroups.
 */
export class Lab {
  /** For files that go with this run. */
  readonly work: string;
  readonly bpffs: string;
  readonly #cgroup: string;
  readonly #tools: string;
  readonly #paths = new Map<string, Promise<PodPath>>();
  #cgroups = 0;

  private constructor({ cgroup, work, tools }: LabOptions) {
    this.work = work;
    this.bpffs = path.join(work, 'bpf');
    this.#cgroup = cgroup;
    this.#tools = tools;
  }

  static async open(options: LabOptions): Promise<Lab> {
    const lab = new Lab(options);
    await mkdir('/run/netns', { recursive: true });
    await run('mount', ['-t', 'tmpfs', 'tmpfs', '/run/netns']);
    await mkdir(lab.bpffs);
    await run('mount', ['-t', 'bpf', 'bpf', lab.bpffs]);
    return lab;
  }

  /** A path of pods; the same name gives the same one. */
  podPath(name: string): Promise<PodPath> {
    const existing = this.#paths.get(name);
    if (existing) return existing;
    const made = makePodPath(name);
    this.#paths.set(name, made);
    return made;
  }

  /** A new cgroup; all are on one level, because depth costs. */
  async makeCgroup(): Promise<string> {
    const directory = path.join(this.#cgroup, String(this.#cgroups++));
    await mkdir(directory);
    return directory;
  }

  /** A new cgroup with programs that do nothing. */
  async makeNoopCgroup(): Promise<string> {
    const cgroup = await this.makeCgroup();
    await hangNoop(this.object('noop'), cgroup, path.join(this.bpffs, `noop-${path.basename(cgroup)}`));
    return cgroup;
  }

  /** A LoadBalancer with a new cgroup, on the node of a path. */
  async openBalancer(node: PodPath, services: number, protocol: Protocol): Promise<Balancer> {
    return openBalancer(await this.makeCgroup(), node.node, services, protocol);
  }

  /** A compiled program, by the name of its source. */
  tool(name: string): string {
    return path.join(this.#tools, name);
  }

  /** A compiled BPF object, by the name of its source. */
  object(name: string): string {
    return path.join(this.#tools, `${name}.bpf.o`);
  }
}
