import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';

import { attempt, KernelError, StateLockedError } from './errors';
import { keepPrivate } from './private-directory';
import { Generation } from './state-generation';
import type { DirectoryLock, Native } from '../types/native';

/** statfs(2) of a bpf file system. */
const BPF_FS_MAGIC = 0xcafe4a11;

/**
 * A directory on bpffs that keeps links and maps alive without a process. Where the path is on another file system,
 * a bpffs is mounted on it, with private propagation: other mount namespaces do not get to see it.
 *
 * Every LoadBalancer pins into a generation of its own below it, and what it adopts of the one before is pinned twice
 * until all of the new one is there: whenever a process ends, there is one complete generation.
 */
export class StateDirectory {
  readonly #native: Native;
  readonly #path: string;
  #lock: DirectoryLock;
  /** The directory that is locked: another one may come to have its path. */
  #place: string;
  /** What a LoadBalancer left behind that was here before; undefined: none did. */
  readonly earlier: Generation | undefined;
  #own: Generation;

  private constructor(
    native: Native,
    path: string,
    lock: DirectoryLock,
    place: string,
    earlier: Generation | undefined,
    own: Generation,
  ) {
    this.#native = native;
    this.#path = path;
    this.#lock = lock;
    this.#place = place;
    this.earlier = earlier;
    this.#own = own;
  }

  /** That of this LoadBalancer. */
  get own(): Generation {
    return this.#own;
  }

  /**
   * Mounts if need be, and begins a new generation. Throws `ERR_BPF_STATE_LOCKED` while another LoadBalancer has the
   * directory; that ends with its process, however it ends.
   */
  static async open(native: Native, path: string): Promise<StateDirectory> {
    const lock = await mountAndLock(native, path);
    try {
      await keepPrivate(path);
      const generations = await readGenerations(native, path);
      const complete = [];
      for (const generation of generations) if (await generation.isComplete()) complete.push(generation);
      const number = Math.max(0, ...generations.map((generation) => generation.number)) + 1;
      const own = await Generation.begin(native, path, number);
      return new StateDirectory(native, path, lock, await placeOf(path), complete.at(-1), own);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** The complete generation of a LoadBalancer that may be running, for readers; undefined: there is none. */
  static async read(native: Native, path: string): Promise<Generation | undefined> {
    const missing = await stat(path).then(
      () => false,
      () => true,
    );
    if (missing || native.filesystemType(path) !== BPF_FS_MAGIC) return undefined;
    for (const generation of (await readGenerations(native, path)).reverse())
      if (await generation.isComplete()) return generation;
    return undefined;
  }

  /** From now on this generation is the one to adopt. Lets go of what all others pinned that is not in it. */
  async complete(): Promise<void> {
    await this.own.complete();
    for (const generation of await readGenerations(this.#native, this.#path))
      if (generation.number !== this.own.number) await generation.remove(this.own);
  }

  /** Begins another generation with what `pin` pins in it; the one before is let go when all of that is there. */
  async renew(pin: (generation: Generation) => void): Promise<void> {
    const next = await Generation.begin(this.#native, this.#path, this.own.number + 1);
    try {
      await attempt('pin the tables', () => pin(next));
    } catch (error) {
      await next.remove(this.own);
      throw error;
    }
    this.#own = next;
    await this.complete();
  }

  /** Which of these pins others have removed, or taken away with the file system. */
  async missing(names: Iterable<string>): Promise<string[]> {
    const isThere = (await placeOf(this.#path).catch(() => undefined)) === this.#place;
    const present = new Set(isThere && (await this.own.isComplete()) ? await this.own.names() : []);
    return [...names].filter((name) => !present.has(name));
  }

  /** Mounts and locks again what others have unmounted, or mounted something else on. */
  async regain(): Promise<void> {
    if ((await placeOf(this.#path).catch(() => undefined)) === this.#place) return;
    const lock = await mountAndLock(this.#native, this.#path);
    this.#lock.release();
    this.#lock = lock;
    await keepPrivate(this.#path);
    this.#place = await placeOf(this.#path);
  }

  /** Unpins what this LoadBalancer has pinned, and lets go of the directory. The earlier one's serves on. */
  async abandon(): Promise<void> {
    try {
      await this.own.remove(this.earlier);
    } finally {
      this.release();
    }
  }

  /** Lets go of the directory; what is pinned stays. */
  release(): void {
    this.#lock.release();
  }
}

async function placeOf(path: string): Promise<string> {
  const { dev, ino } = await stat(path);
  return `${dev}:${ino}`;
}

/** A lock of what is mounted on the path, which two processes may be about to do at a time. Makes the directory. */
async function mountAndLock(native: Native, path: string): Promise<DirectoryLock> {
  await attempt(`make the directory ${path}`, () => mkdir(path, { recursive: true, mode: 0o700 }));
  const lock = await lockDirectory(native, path);
  if (native.filesystemType(path) === BPF_FS_MAGIC) return lock;
  try {
    await attempt(`mount a bpf file system on ${path}`, () => native.mountBpffs(path));
    return await lockDirectory(native, path);
  } finally {
    lock.release();
  }
}

async function lockDirectory(native: Native, path: string): Promise<DirectoryLock> {
  try {
    return await attempt(`lock ${path}`, () => native.lockDirectory(path));
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== -constants.errno.EAGAIN) throw error;
    throw new StateLockedError(path, await ownerOf(path));
  }
}

/** The process that has locked the directory, as proc(5) says; undefined where it is in another PID namespace. */
async function ownerOf(path: string): Promise<number | undefined> {
  const [{ dev, ino }, locks] = await Promise.all([
    stat(path),
    readFile('/proc/locks', 'utf8').catch(() => ''),
  ]);
  /* bpffs has no device of its own: its number is a minor one. */
  const file = `00:${dev.toString(16).padStart(2, '0')}:${ino}`;
  for (const line of locks.split('\n')) {
    const [, kind, , , pid, locked] = line.trim().split(/\s+/);
    if (kind === 'FLOCK' && locked === file && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}

/** In the order in which they were begun. */
async function readGenerations(native: Native, path: string): Promise<Generation[]> {
  const numbers = (await readdir(path)).filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
  return numbers
    .sort((a, b) => a - b)
    .map((number) => new Generation(native, join(path, String(number)), number));
}
