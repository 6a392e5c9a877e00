import { mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';

import { attempt, KernelError } from './errors';
import type { FilterPlace, Native } from '../types/native';

type Direction = 'ingress' | 'egress';

/** A clsact filter whose program is pinned. */
export interface PinnedFilter {
  readonly path: string;
  readonly place: FilterPlace;
}

/** A directory: bpffs has no files to write in. */
const completeness = 'complete';

/** What one LoadBalancer has pinned. */
export class Generation {
  readonly number: number;
  readonly #native: Native;
  readonly #path: string;

  constructor(native: Native, path: string, number: number) {
    this.#native = native;
    this.#path = path;
    this.number = number;
  }

  static async begin(native: Native, directory: string, number: number): Promise<Generation> {
    const path = join(directory, String(number));
    await attempt(`make the directory ${path}`, () => mkdir(path, { mode: 0o700 }));
    return new Generation(native, path, number);
  }

  /** Where something is pinned: a table by its own name, a program on a hook by {@link pinName}. */
  pathOf(name: string): string {
    return join(this.#path, name);
  }

  /** The filter that a program's pin says it has on the device. */
  async filterOf(program: string, ifindex: number, direction: Direction): Promise<PinnedFilter | undefined> {
    for (const name of await this.names()) {
      const filter = parseFilter(name);
      if (filter?.program !== program || filter.ifindex !== ifindex || filter.direction !== direction)
        continue;
      return { path: this.pathOf(name), place: filter.place };
    }
    return undefined;
  }

  /** Of everything that is pinned. */
  async names(): Promise<string[]> {
    return (await readdir(this.#path)).filter((name) => name !== completeness);
  }

  async isComplete(): Promise<boolean> {
    return stat(this.pathOf(completeness)).then(
      () => true,
      () => false,
    );
  }

  async complete(): Promise<void> {
    await attempt(`make ${this.pathOf(completeness)}`, () =>
      mkdir(this.pathOf(completeness), { mode: 0o700 }),
    );
  }

  /** Unpins everything. Programs are detached, but for those that `heir` has, too. */
  async remove(heir?: Generation): Promise<void> {
    await attempt(`remove ${this.#path}`, async () => {
      await rmdir(this.pathOf(completeness)).catch(ignoreMissing);
      const kept = new Set(await heir?.names());
      /* What translates goes first: its packets still find their way back. */
      for (const name of (await this.names()).sort((a, b) => isReverse(a) - isReverse(b))) {
        if (!kept.has(name)) this.#detach(name);
        await rm(this.pathOf(name), { force: true });
      }
      await rmdir(this.#path);
    }).catch(ignoreMissing);
  }

  /** At once: a link whose last pin goes is detached by the kernel in its own time, and runs on until then. */
  #detach(name: string): void {
    const filter = parseFilter(name);
    if (filter) {
      this.#native.detachFilter(this.pathOf(name), filter.ifindex, filter.direction, filter.place);
    } else if (name.startsWith('link_')) {
      this.#native.detachLink(this.pathOf(name));
    }
  }
}

/** Under which a link of a program is pinned; `ifindex`: to a device. */
export function pinName(program: string, ifindex?: number): string {
  return ifindex === undefined ? `link_${program}` : `link_${program}_${ifindex}`;
}

/** The same for a filter. It does not go with its pin, so the name says where it is. */
export function filterPinName(
  program: string,
  ifindex: number,
  direction: Direction,
  { priority, handle }: FilterPlace,
): string {
  return `filter_${program}_${ifindex}_${direction}_${priority}_${handle}`;
}

function parseFilter(name: string) {
  const match = /^filter_(\w+)_(\d+)_(ingress|egress)_(\d+)_(\d+)$/.exec(name);
  if (!match) return undefined;
  const [, program = '', ifindex, direction, priority, handle] = match;
  return {
    program,
    ifindex: Number(ifindex),
    direction: direction as Direction,
    place: { priority: Number(priority), handle: Number(handle) },
  };
}

/** 1 for programs that give back what others have translated, and for tables. */
function isReverse(name: string): number {
  return /connect|sendmsg|ingress/.test(name) ? 0 : 1;
}

function ignoreMissing(error: unknown): void {
  const { code, errno } = error as { code?: string; errno?: number };
  const missing = code === 'ENOENT' || (error instanceof KernelError && errno === -constants.errno.ENOENT);
  if (!missing) throw error;
}
