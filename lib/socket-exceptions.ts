import { stat } from 'node:fs/promises';

import { ExceptionKind } from './abi';
import { isCgroup2 } from './cgroup';
import { type Dump, elementsOf } from './dump';
import { encodeException } from './encode';
import { attempt, LoadBalancerError } from './errors';
import type { SocketExceptions } from './options';
import type { MapOperation, Native } from '../types/native';

/** Whose sockets are left alone. */
interface Exception {
  readonly kind: 'cgroups' | 'netns';
  /** What the path led to when it was looked up last. */
  readonly key: Uint8Array;
}

/** Exceptions by their path. */
export type ResolvedExceptions = ReadonlyMap<string, Exception>;

/** What has become of the paths of exceptions. */
export interface FollowedExceptions {
  readonly exceptions: ResolvedExceptions;
  /** Paths that lead to nothing. What they led to stays excepted: a namespace may live on without a name. */
  readonly missing: readonly string[];
  /** Those of them that have led to something until now. */
  readonly lost: readonly string[];
  /** Paths that lead to something again, or to something else. */
  readonly found: readonly string[];
}

/**
 * The kernel's table of namespaces and cgroups whose sockets are left alone. Their ids are never given again, so that an
 * entry of one that is gone hurts nobody.
 */
export class SocketExceptionTable {
  readonly #native: Pick<Native, 'netnsOf' | 'filesystemType'>;
  #exceptions: ResolvedExceptions = new Map();
  /** What the table has, by the key's bytes as text. */
  #keys: ReadonlyMap<string, Uint8Array> = new Map();
  #missing: ReadonlySet<string> = new Set();

  constructor(native: Pick<Native, 'netnsOf' | 'filesystemType'>) {
    this.#native = native;
  }

  get isEmpty(): boolean {
    return this.#exceptions.size === 0;
  }

  /** Paths that lead to nothing, as far as was looked. */
  get missing(): readonly string[] {
    return [...this.#missing];
  }

  /** What an earlier process left in the table. */
  adopt(dump: Dump): void {
    this.#keys = byText(Array.from(elementsOf(dump), ({ key }) => key));
  }

  /** Finds out who is meant; throws `ERR_BPF_INVALID_OPTION` for a path that is not there. */
  async resolve({ cgroups, netns }: Required<SocketExceptions>): Promise<ResolvedExceptions> {
    const named = [
      ...cgroups.map((path) => ({ kind: 'cgroups', path }) as const),
      ...netns.map((path) => ({ kind: 'netns', path }) as const),
    ];
    return new Map(
      await Promise.all(
        named.map(async ({ kind, path }) => [path, { kind, key: await this.#keyOf(kind, path) }] as const),
      ),
    );
  }

  /** Looks where the paths lead to now. Writes nothing. */
  async follow(): Promise<FollowedExceptions> {
    const exceptions = new Map(this.#exceptions);
    const missing: string[] = [];
    const found: string[] = [];
    for (const [path, { kind, key }] of this.#exceptions) {
      /* Process ids are given again: this path may lead to somebody else's namespace by now. */
      if (path.startsWith('/proc/')) continue;
      const now = await this.#keyOf(kind, path).catch(() => undefined);
      if (!now) {
        missing.push(path);
        continue;
      }
      exceptions.set(path, { kind, key: now });
      if (this.#missing.has(path) || !Buffer.from(now).equals(key)) found.push(path);
    }
    return { exceptions, missing, lost: missing.filter((path) => !this.#missing.has(path)), found };
  }

  /** Whether sockets of a namespace, or of a cgroup with all that are above it, are left alone. */
  excepts(cgroups: readonly bigint[], netnsCookie: bigint): boolean {
    const keys = [
      encodeException(ExceptionKind.NETNS, netnsCookie),
      ...cgroups.map((id) => encodeException(ExceptionKind.CGROUP, id)),
    ];
    return keys.some((key) => this.#keys.has(textOf(key)));
  }

  /** The operations that make the table what was resolved. */
  change(exceptions: ResolvedExceptions): MapOperation[] {
    const map = 'exceptions';
    const to = keysOf(exceptions);
    const added = [...to].filter(([text]) => !this.#keys.has(text)).map(([, key]) => key);
    const gone = [...this.#keys].filter(([text]) => !to.has(text)).map(([, key]) => key);
    const operations: MapOperation[] = [];
    if (added.length > 0) {
      const values = new Uint8Array(added.length).fill(1);
      operations.push({ map, kind: 'update', keys: Buffer.concat(added), values });
    }
    if (gone.length > 0) operations.push({ map, kind: 'delete', keys: Buffer.concat(gone) });
    return operations;
  }

  /** The kernel has it. */
  accept(exceptions: ResolvedExceptions, missing: readonly string[] = []): void {
    this.#exceptions = exceptions;
    this.#keys = keysOf(exceptions);
    this.#missing = new Set(missing);
  }

  #keyOf(kind: Exception['kind'], path: string): Promise<Uint8Array> {
    return kind === 'cgroups' ? this.#cgroupKey(path) : this.#netnsKey(path);
  }

  /** A cgroup's id is the inode of its directory; elsewhere an inode may be the number of somebody else's cgroup. */
  async #cgroupKey(path: string): Promise<Uint8Array> {
    let cause: unknown;
    try {
      const found = await stat(path, { bigint: true });
      if (found.isDirectory() && isCgroup2(this.#native, path)) {
        return encodeException(ExceptionKind.CGROUP, found.ino);
      }
    } catch (error) {
      cause = error;
    }
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      `socketLB.except: there is no cgroup v2 directory ${path}.`,
      { cause },
    );
  }

  async #netnsKey(path: string): Promise<Uint8Array> {
    const { cookie } = await attempt(`look into the network namespace ${path}`, () =>
      this.#native.netnsOf(path),
    );
    return encodeException(ExceptionKind.NETNS, cookie);
  }
}

const textOf = (key: Uint8Array) => Buffer.from(key).toString('hex');

function byText(keys: readonly Uint8Array[]): ReadonlyMap<string, Uint8Array> {
  return new Map(keys.map((key) => [textOf(key), key]));
}

function keysOf(exceptions: ResolvedExceptions): ReadonlyMap<string, Uint8Array> {
  return byText([...exceptions.values()].map(({ key }) => key));
}
