import { layouts, MaglevLimit } from '../../lib/abi';
import type { MapOperation } from '../../types/native';

const service = layouts.lb_service.fields;
const backend = layouts.lb_backend.fields;

/** Bytes of the keys and values of the hash tables and tries. */
const sizes: Record<string, { key: number; value: number }> = {
  services4: { key: layouts.lb_key4.size, value: layouts.lb_service.size },
  services6: { key: layouts.lb_key6.size, value: layouts.lb_service.size },
  frontends4: { key: layouts.lb_address4.size, value: layouts.lb_frontend_info.size },
  frontends6: { key: layouts.lb_address6.size, value: layouts.lb_frontend_info.size },
  ranges4: { key: layouts.lb_range4.size, value: 1 },
  ranges6: { key: layouts.lb_range6.size, value: 1 },
  definitions: { key: layouts.lb_definition_key.size, value: layouts.lb_definition.size },
};

/** Service tables as the kernel keeps them: what operations of the addon do, done to plain memory. */
export class KernelTables {
  /** Values by their keys in hex. */
  readonly hashes: Record<string, Map<string, Uint8Array>> = Object.fromEntries(
    Object.keys(sizes).map((map) => [map, new Map()]),
  );
  readonly arrays: Record<string, Uint8Array>;

  constructor(backends: number, maglevSlots = 0) {
    this.arrays = {
      backends: new Uint8Array(backends * layouts.lb_backend.size),
      maglev: new Uint8Array(
        Math.ceil(maglevSlots / MaglevLimit.SLOTS_PER_WORD) * layouts.lb_maglev_word.size,
      ),
      ports: new Uint8Array(65536),
      networks: new Uint8Array(65536),
      state: new Uint8Array(layouts.lb_state.size),
    };
  }

  /** The same contents, apart. */
  clone(): KernelTables {
    const copy = new KernelTables(0);
    for (const [map, elements] of Object.entries(this.hashes)) copy.hashes[map] = new Map(elements);
    for (const [map, bytes] of Object.entries(this.arrays)) copy.arrays[map] = bytes.slice();
    return copy;
  }

  /** As the addon gives out the elements of a hash table. */
  dump(map: string) {
    const elements = [...(this.hashes[map] ?? [])];
    const keys = Uint8Array.from(Buffer.from(elements.map(([key]) => key).join(''), 'hex'));
    const values = Uint8Array.from(Buffer.concat(elements.map(([, value]) => value)));
    return Promise.resolve({ keys, values, count: elements.length });
  }

  /** As the addon gives out bytes of an array. */
  read(map: string, offset: number, length: number): Uint8Array {
    return (this.arrays[map] as Uint8Array).slice(offset, offset + length);
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
    const size = sizes[operation.map];
    if (!hash || !size) throw new Error(`no table ${operation.map}`);
    const count = operation.keys.length / size.key;
    if (operation.kind === 'update' && operation.values.length !== count * size.value)
      throw new Error('keys and values do not match');
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(operation.keys.subarray(i * size.key, (i + 1) * size.key)).toString('hex');
      if (operation.kind === 'delete') hash.delete(key);
      else hash.set(key, operation.values.slice(i * size.value, (i + 1) * size.value));
    }
  }

  /** A service value, decoded. */
  service(map: string, key: string) {
    const value = this.hashes[map]?.get(key);
    if (!value) return undefined;
    const view = new DataView(value.buffer, value.byteOffset);
    const field = (name: keyof typeof service) => view.getUint32(service[name].offset, true);
    return {
      set: field('set'),
      flags: field('flags'),
      ranges: field('ranges'),
      cluster: this.#range(field('first'), field('count'), field('set')),
      local: this.#range(field('local_first'), field('local_count'), field('set')),
      maglev: this.#slots(field('maglev'), field('maglev_size')),
      localMaglev: this.#slots(field('local_maglev'), field('local_maglev_size')),
    };
  }

  /** Indexes of backends, from slot `first` on. */
  #slots(first: number, size: number): number[] {
    const { maglev } = this.arrays as { maglev: Uint8Array };
    return Array.from(new Uint16Array(maglev.buffer, first * 2, size));
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
