import { CondemnedLimit, layouts } from './abi';
import { attempt } from './errors';
import { destroyPrograms } from './programs';
import { decodeTranslatedSockets, type TranslatedSocket } from './translated-sockets';
import type { Datapath, Native } from '../types/native';

const { size, fields } = layouts.lb_translated;

/**
 * Destroys sockets: TCP is reset on both sides, a datagram socket is disconnected; their owners get ECONNABORTED. Only
 * those that still are where their records say. By an iterator program that has the function bpf_sock_destroy (Linux
 * 6.5), else by netlink.
 */
export class SocketRemoval {
  readonly #native: Pick<Native, 'features' | 'destroySockets'>;
  readonly #datapath: Pick<Datapath, 'iterate' | 'commit'>;
  #hasFunction: boolean | undefined;

  constructor(
    native: Pick<Native, 'features' | 'destroySockets'>,
    datapath: Pick<Datapath, 'iterate' | 'commit'>,
  ) {
    this.#native = native;
    this.#datapath = datapath;
  }

  /** Takes `struct lb_translated`s, and resolves with those that are gone. Rejects with a kernel error. */
  async destroy(records: readonly Uint8Array[]): Promise<TranslatedSocket[]> {
    const destroyed: TranslatedSocket[] = [];
    for (let i = 0; i < records.length; i += CondemnedLimit.CONDEMNED) {
      const some = records.slice(i, i + CondemnedLimit.CONDEMNED);
      const gone = await attempt('destroy sockets', async () =>
        (await this.#canCall()) ? this.#byProgram(some) : this.#native.destroySockets(Buffer.concat(some)),
      );
      destroyed.push(...decodeTranslatedSockets(gone));
    }
    return destroyed;
  }

  async #canCall(): Promise<boolean> {
    if (this.#hasFunction === undefined) {
      const { functions } = await this.#native.features({
        programTypes: [],
        mapTypes: [],
        helpers: [],
        functions: ['bpf_sock_destroy'],
      });
      this.#hasFunction = functions.every(Boolean);
    }
    return this.#hasFunction;
  }

  async #byProgram(records: readonly Uint8Array[]): Promise<Uint8Array> {
    const part = ({ offset, size }: { offset: number; size: number }) =>
      Buffer.concat(records.map((record) => record.subarray(offset, offset + size)));
    const keys = part(fields.cookie);
    await this.#datapath.commit([{ map: 'condemned', kind: 'update', keys, values: part(fields.origin) }]);
    try {
      return (await this.#datapath.iterate(destroyPrograms)).records;
    } finally {
      await this.#datapath.commit([{ map: 'condemned', kind: 'delete', keys }]);
    }
  }
}

/** The record of the socket at `index` of a list. */
export function recordAt(records: Uint8Array, index: number): Uint8Array {
  return records.subarray(index * size, (index + 1) * size);
}
