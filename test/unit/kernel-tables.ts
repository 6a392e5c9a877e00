import { layouts } from '../../lib/abi';
import type { MapOperation } from '../../types/native';

const service = layouts.lb_service.fields;
const backend = layouts.lb_backend.fields;

/** Service tables as the kernel keeps them: what operations of the addon do, done to plain memory. */
export class KernelTables {
  readonly hashes: Record<string, Map<string, Uint8Array>> = { services4: new Map(), services6: new Map() };
  readonly arrays: Record<string, Uint8Array>;

  constructor(backends: number) {
    this.arrays = {
      backends: new Uint8Array(backends * layouts.lb_backend.size),
      ports: new Uint8Array(65536),
      networks: new Uint8Array(65536),
    };
  }

  /** Carries out at most `limit` of the operations. Returns how many. */
  run(operations: readonly MapOperation[], limit = operations.length): number {
    for (const operation of operations.slice(0, limit)) this.#runOne(operation);
    return Math.min(limit, operations.length);
  }

  #runOne(operation: MapOperation): void {
    if (operation.kind === 'store') {
      const array = this.arrays[operation.map];
      if (!array || operation.offset + operation.bytes.length > array.length)
        throw new Error('out of bounds');
      array.set(operation.bytes, operation.offset);
      return;
    }
    const hash = this.hashes[operation.map];
    if (!hash) throw new Error(`no table ${operation.map}`);
    const keySize = layouts[operation.map === 'services4' ? 'lb_key4' : 'lb_key6'].size;
    const valueSize = layouts.lb_service.size;
    for (let i = 0; i * keySize < operation.keys.length; i++) {
      const key = Buffer.from(operation.keys.subarray(i * keySize, (i + 1) * keySize)).toString('hex');
      if (operation.kind === 'delete') hash.delete(key);
      else hash.set(key, operation.values.slice(i * valueSize, (i + 1) * valueSize));
    }
  }

  /** A service value, decoded. */
  service(map: string, key: string) {
    const value = this.hashes[map]?.get(key);
    if (!value) return undefined;
    const view = new DataView(value.buffer, value.byteOffset);
    const field = (name: 'set' | 'flags' | 'first' | 'count' | 'local_first' | 'local_count' | 'id') =>
      view.getUint32(service[name].offset, true);
    return {
      set: field('set'),
      flags: field('flags'),
      cluster: this.#range(field('first'), field('count'), field('set')),
      local: this.#range(field('local_first'), field('local_count'), field('set')),
    };
  }

  /** Backends of a range as hex of address and port; throws unless all belong to the set. */
  #range(first: number, count: number, set: number): string[] {
    const { backends } = this.arrays as { backends: Uint8Array };
    return Array.from({ length: count }, (_, i) => {
      const at = (first + i) * layouts.lb_backend.size;
      const element = Buffer.from(backends.buffer, backends.byteOffset + at, layouts.lb_backend.size);
      const found = element.readUInt32LE(backend.set.offset);
      if (found !== set) throw new Error(`backend ${first + i} carries set ${found}, not ${set}`);
      const address = element.subarray(backend.address.offset, backend.address.offset + 16).toString('hex');
      return `${address} ${element.readUInt16BE(backend.port.offset)}`;
    });
  }
}
