import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';

import { attempt, KernelError } from './errors';
import { keepPrivate } from './private-directory';
import type { FilterPlace, Native } from '../types/native';

/** statfs(2) of a bpf file system. */
const BPF_FS_MAGIC = 0xcafe4a11;

/**
 * A directory on bpffs that keeps links and maps alive without a process. Where the path is on another file system,
 * a bpffs is mounted on it, with private propagation: other mount namespaces do not get to see it.
 *
 * Every LoadBalancer pins into a generation of its own below it, so that one that takes over finds the names free
 * while the objects of its predecessor still serve.
 */
export class StateDirectory {
  readonly #native: Native;
  readonly #path: string;
  readonly #generation: number;

  private constructor(native: Native, path: string, generation: number) {
    this.#native = native;
    this.#path = path;
    this.#generation = generation;
  }

  /** Mounts if need be, and begins a new generation. */
  static async open(native: Native, path: string): Promise<StateDirectory> {
    await attempt(`make the directory ${path}`, () => mkdir(path, { recursive: true, mode: 0o700 }));
    if (native.filesystemType(path) !== BPF_FS_MAGIC) {
      await attempt(`mount a bpf file system on ${path}`, () => native.mountBpffs(path));
    }
    await keepPrivate(path);
    return new StateDirectory(native, path, await beginGeneration(path));
  }

  /** Where an object of this generation is pinned. */
  pathOf(name: string): string {
    return join(this.#path, String(this.#generation), name);
  }

  /** The same for a program's link to a device. A filter does not go with its pin, so the name says where it is. */
  pathOfDeviceLink(
    program: string,
    ifindex: number,
    direction: 'ingress' | 'egress',
    filter: FilterPlace | undefined,
  ): string {
    if (!filter) return this.pathOf(`link_${program}_${ifindex}`);
    return this.pathOf(`filter_${program}_${ifindex}_${direction}_${filter.priority}_${filter.handle}`);
  }

  /** Lets go of what earlier generations pinned; the kernel frees what nobody else holds. */
  async removeEarlier(): Promise<void> {
    for (const generation of await generations(this.#path)) {
      if (generation < this.#generation) await this.#removeGeneration(generation);
    }
  }

  /** Lets go of what this generation pinned. */
  async remove(): Promise<void> {
    await this.#removeGeneration(this.#generation);
  }

  /** A generation that another LoadBalancer has removed meanwhile is removed. */
  async #removeGeneration(generation: number): Promise<void> {
    const directory = join(this.#path, String(generation));
    await attempt(`remove ${directory}`, async () => {
      /* What translates goes first: its packets still find their way back. */
      const names = (await readdir(directory)).sort((a, b) => isReverse(a) - isReverse(b));
      for (const name of names) {
        this.#detach(name, join(directory, name));
        await rm(join(directory, name), { force: true });
      }
      await rmdir(directory);
    }).catch(ignoreMissing);
  }

  /** At once: a link whose last pin goes is detached by the kernel in its own time, and runs on until then. */
  #detach(name: string, path: string): void {
    const filter = /^filter_\w+_(\d+)_(ingress|egress)_(\d+)_(\d+)$/.exec(name);
    if (filter) {
      const [, ifindex, direction, priority, handle] = filter;
      const place = { priority: Number(priority), handle: Number(handle) };
      this.#native.detachFilter(path, Number(ifindex), direction as 'ingress' | 'egress', place);
    } else if (name.startsWith('link_')) {
      this.#native.detachLink(path);
    }
  }
}

/** 1 for programs that give back what others have translated, and for tables. */
function isReverse(name: string): number {
  return /connect|sendmsg|ingress/.test(name) ? 0 : 1;
}

function ignoreMissing(error: unknown): void {
  const missing = error instanceof KernelError && error.errno === -constants.errno.ENOENT;
  if (!missing) throw error;
}

/** The next number that is free, also when several LoadBalancers are opened at a time. */
async function beginGeneration(path: string): Promise<number> {
  for (;;) {
    const generation = Math.max(0, ...(await generations(path))) + 1;
    try {
      await mkdir(join(path, String(generation)), { mode: 0o700 });
      return generation;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

async function generations(path: string): Promise<number[]> {
  return (await readdir(path)).filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
}
