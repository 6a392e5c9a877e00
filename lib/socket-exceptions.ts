import { stat } from 'node:fs/promises';

import { ExceptionKind } from './abi';
import { type Dump, elementsOf } from './dump';
import { encodeException } from './encode';
import { attempt, LoadBalancerError } from './errors';
import type { SocketExceptions } from './options';
import type { MapOperation, Native } from '../types/native';

/** The kernel's table of namespaces and cgroups whose sockets are left alone. */
export class SocketExceptionTable {
  readonly #native: Native;
  /** By the key's bytes, as text. */
  #keys: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(native: Native) {
    this.#native = native;
  }

  /** What an earlier process left in the table. */
  adopt(dump: Dump): void {
    this.#keys = new Map(Array.from(elementsOf(dump), ({ key }) => [Buffer.from(key).toString('hex'), key]));
  }

  /** Finds out who is meant; throws `ERR_BPF_INVALID_OPTION` for a path that is not there. */
  async resolve({ cgroups, netns }: Required<SocketExceptions>): Promise<ReadonlyMap<string, Uint8Array>> {
    const keys = [
      ...(await Promise.all(cgroups.map((path) => this.#cgroupKey(path)))),
      ...(await Promise.all(netns.map((path) => this.#netnsKey(path)))),
    ];
    return new Map(keys.map((key) => [Buffer.from(key).toString('hex'), key]));
  }

  /** Whether sockets of a namespace, or of a cgroup with all that are above it, are left alone. */
  excepts(cgroups: readonly bigint[], netnsCookie: bigint): boolean {
    const keys = [
      encodeException(ExceptionKind.NETNS, netnsCookie),
      ...cgroups.map((id) => encodeException(ExceptionKind.CGROUP, id)),
    ];
    return keys.some((key) => this.#keys.has(Buffer.from(key).toString('hex')));
  }

  /** The operations that make the table what was resolved. */
  change(to: ReadonlyMap<string, Uint8Array>): MapOperation[] {
    const map = 'exceptions';
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
  accept(keys: ReadonlyMap<string, Uint8Array>): void {
    this.#keys = keys;
  }

  /** A cgroup's id is the inode of its directory. */
  async #cgroupKey(path: string): Promise<Uint8Array> {
    try {
      const { ino } = await stat(path, { bigint: true });
      return encodeException(ExceptionKind.CGROUP, ino);
    } catch (cause) {
      throw new LoadBalancerError(
        'ERR_BPF_INVALID_OPTION',
        `socketLB.except: there is no cgroup directory ${path}.`,
        { cause },
      );
    }
  }

  async #netnsKey(path: string): Promise<Uint8Array> {
    const { cookie } = await attempt(`look into the network namespace ${path}`, () =>
      this.#native.netnsOf(path),
    );
    return encodeException(ExceptionKind.NETNS, cookie);
  }
}
