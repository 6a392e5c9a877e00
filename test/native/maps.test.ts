import assert from 'node:assert/strict';
import os from 'node:os';
import type { Datapath, MapOperation } from '../../types/native';
import { cleanupAfterEach, light, native, numbered, requireRoot } from './support';

describe('native maps', () => {
  const cleanup = cleanupAfterEach();
  let datapath: Datapath;
  let keySize: number;
  let valueSize: number;

  before(function () {
    requireRoot(this);
  });

  beforeEach(async () => {
    datapath = await native.load(light);
    cleanup.add(() => datapath.close());
    ({ keySize, valueSize } = datapath.mapInfo('services4'));
  });

  const update = (count: number, start = 0): MapOperation => ({
    map: 'services4',
    kind: 'update',
    keys: numbered(count, keySize, start),
    values: numbered(count, valueSize, start + 1),
  });
  const count = async (map = 'services4') => (await datapath.dump(map)).count;

  it('updates, looks up, dumps and deletes 10,000 elements', async () => {
    await datapath.commit([update(10_000)]);
    assert.deepEqual(
      datapath.lookup('services4', numbered(1, keySize, 9_999)),
      numbered(1, valueSize, 10_000),
    );
    assert.equal(datapath.lookup('services4', numbered(1, keySize, 10_000)), undefined);

    const { keys, values, count: dumped } = await datapath.dump('services4');
    assert.equal(dumped, 10_000);
    const [keyView, valueView] = [new DataView(keys.buffer), new DataView(values.buffer)];
    const found = new Set<number>();
    for (let i = 0; i < dumped; i++) {
      const key = keyView.getUint32(i * keySize);
      found.add(key);
      assert.equal(valueView.getUint32(i * valueSize), key + 1);
    }
    assert.equal(found.size, 10_000);

    await datapath.commit([{ map: 'services4', kind: 'delete', keys: numbered(10_000, keySize) }]);
    assert.equal(await count(), 0);
  });

  it('moves more elements than go into one system call', async () => {
    // 20,000 is above the addon's batch size, and the map's capacity.
    await datapath.commit([update(20_000)]);
    assert.equal(await count(), 20_000);
    await datapath.commit([{ map: 'services4', kind: 'delete', keys: numbered(20_000, keySize) }]);
    assert.equal(await count(), 0);
  });

  it('replaces elements, and runs operations in order', async () => {
    const [keys, last] = [numbered(1, keySize), numbered(1, valueSize, 7)];
    await datapath.commit([
      { map: 'services4', kind: 'update', keys, values: numbered(1, valueSize, 5) },
      { map: 'services4', kind: 'delete', keys },
      { map: 'services4', kind: 'update', keys, values: last },
    ]);
    assert.deepEqual(datapath.lookup('services4', keys), last);
  });

  it('deletes past keys that are absent', async () => {
    await datapath.commit([
      update(10, 10),
      { map: 'services4', kind: 'delete', keys: numbered(30, keySize) },
    ]);
    assert.equal(await count(), 0);
  });

  it('accepts operations without elements, and no operations', async () => {
    const empty = new Uint8Array();
    await datapath.commit([]);
    await datapath.commit([
      { map: 'services4', kind: 'update', keys: empty, values: empty },
      { map: 'services4', kind: 'delete', keys: empty },
      { map: 'backends', kind: 'store', offset: 0, bytes: empty },
    ]);
    assert.deepEqual(await datapath.dump('services4'), { keys: empty, values: empty, count: 0 });
  });

  it('says how far a commit came', async () => {
    const failure = datapath.commit([update(10), update(20_000, 100)]);
    await assert.rejects(failure, {
      code: 'E2BIG',
      errno: -7,
      syscall: 'bpf_map_update_batch',
      target: 'services4',
      operation: 1,
      done: 19_990,
    });
    assert.equal(await count(), 20_000);
  });

  it('stores into memory-mapped arrays, where programs and lookups see it', async () => {
    const { valueSize: size, maxEntries } = datapath.mapInfo('backends');
    const bytes = numbered(2, size, 5);
    await datapath.commit([{ map: 'backends', kind: 'store', offset: (maxEntries - 2) * size, bytes }]);
    assert.deepEqual(datapath.read('backends', (maxEntries - 2) * size, 2 * size), bytes);
    const key = new Uint8Array(new Uint32Array([maxEntries - 1]).buffer);
    assert.deepEqual(datapath.lookup('backends', key), bytes.subarray(size));
  });

  it('takes views into larger buffers', async () => {
    const buffer = Buffer.from('..' + '\x01'.repeat(keySize) + '\x02'.repeat(valueSize), 'latin1');
    const keys = buffer.subarray(2, 2 + keySize);
    const values = buffer.subarray(2 + keySize);
    await datapath.commit([{ map: 'services4', kind: 'update', keys, values }]);
    assert.deepEqual(datapath.lookup('services4', keys), new Uint8Array(values));
  });

  it('takes views of shared memory', async () => {
    const keys = new Uint8Array(new SharedArrayBuffer(keySize)).fill(3);
    const values = new Uint8Array(new SharedArrayBuffer(valueSize)).fill(4);
    await datapath.commit([{ map: 'services4', kind: 'update', keys, values }]);
    assert.deepEqual(datapath.lookup('services4', keys), new Uint8Array(valueSize).fill(4));
  });

  it('looks up the values of all CPUs of a per-CPU map', async () => {
    const value = datapath.lookup('counters', new Uint8Array(4));
    const size = datapath.mapInfo('counters').valueSize;
    assert.equal(value!.length % size, 0);
    assert.ok(value!.length >= size * os.cpus().length);
    const { values } = await datapath.dump('counters');
    assert.equal(values.length, value!.length);
    await datapath.commit([{ map: 'counters', kind: 'update', keys: new Uint8Array(4), values }]);
  });

  it('copies what it returns', async () => {
    await datapath.commit([update(1)]);
    datapath.lookup('services4', numbered(1, keySize))!.fill(255);
    datapath.read('backends', 0, 8).fill(255);
    assert.deepEqual(datapath.lookup('services4', numbered(1, keySize)), numbered(1, valueSize, 1));
    assert.deepEqual(datapath.read('backends', 0, 8), new Uint8Array(8));
  });

  it('runs commits at the same time', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => datapath.commit([update(1_000, i * 1_000)])));
    assert.equal(await count(), 20_000);
  });

  it('rejects a map that has no batches with the name of the map', async () => {
    await assert.rejects(datapath.dump('origin_lists'), {
      code: 'ENOTSUPP',
      errno: -524,
      syscall: 'bpf_map_lookup_batch',
      target: 'origin_lists',
    });
  });

  it('throws before it starts when sizes or places do not fit', () => {
    const [keys, values] = [numbered(2, keySize), numbered(2, valueSize)];
    const size = datapath.mapInfo('backends').valueSize * datapath.mapInfo('backends').maxEntries;
    const outside: MapOperation[] = [
      { map: 'services4', kind: 'update', keys: keys.subarray(1), values },
      { map: 'services4', kind: 'update', keys, values: values.subarray(1) },
      { map: 'services4', kind: 'update', keys, values: values.subarray(valueSize) },
      { map: 'services4', kind: 'delete', keys: keys.subarray(1) },
      { map: 'backends', kind: 'store', offset: size - 1, bytes: new Uint8Array(2) },
      { map: 'backends', kind: 'store', offset: size + 1, bytes: new Uint8Array() },
      { map: 'backends', kind: 'store', offset: Number.MAX_SAFE_INTEGER, bytes: keys },
      { map: 'backends', kind: 'store', offset: -1, bytes: keys },
      { map: 'backends', kind: 'store', offset: 0.5, bytes: keys },
    ];
    for (const operation of outside) {
      assert.throws(() => datapath.commit([operation]), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
    }
    assert.throws(() => datapath.lookup('services4', keys), { name: 'RangeError' });
    assert.throws(() => datapath.read('backends', size - 1, 2), { name: 'RangeError' });
    assert.throws(() => datapath.read('backends', 2 ** 52, 2 ** 52), { name: 'RangeError' });
  });

  it('throws for arguments of the wrong type', () => {
    const keys = numbered(1, keySize);
    const wrong: unknown[] = [
      undefined,
      null,
      {},
      [null],
      [{ map: 'nothing', kind: 'delete', keys }],
      [{ map: 'services4', kind: 'truncate', keys }],
      [{ map: 'services4', kind: 'delete' }],
      [{ map: 'services4', kind: 'delete', keys: [...keys] }],
      [{ map: 'services4', kind: 'delete', keys: keys.buffer }],
      [{ map: 'services4', kind: 'delete', keys: new Uint32Array(keys.buffer) }],
      [{ map: 'services4', kind: 'store', offset: 0, bytes: keys }],
      [{ map: 'backends', kind: 'store', offset: '0', bytes: keys }],
    ];
    for (const operations of wrong) {
      assert.throws(() => datapath.commit(operations as MapOperation[]), { name: 'TypeError' });
    }
    assert.throws(() => datapath.lookup('nothing', keys), { name: 'TypeError' });
    assert.throws(() => datapath.read('services4', 0, 1), { name: 'TypeError' });
  });

  it('looks at buffers after it has read all properties', async () => {
    const keys = numbered(1, keySize);
    const operation = {
      map: 'services4',
      kind: 'delete' as const,
      // Takes the memory of the first operation's keys away.
      get keys(): Uint8Array {
        structuredClone(keys.buffer, { transfer: [keys.buffer as ArrayBuffer] });
        return numbered(1, keySize, 1);
      },
    };
    await datapath.commit([update(2)]);
    await datapath.commit([{ map: 'services4', kind: 'delete', keys }, operation]);
    assert.equal(keys.length, 0);
    assert.equal(await count(), 1);
  });
});
