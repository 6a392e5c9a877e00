import assert from 'node:assert/strict';

import { layouts } from '../../lib/abi';
import { parseCidr } from '../../lib/cidr';
import {
  encodeAddress,
  encodeDevice,
  encodeException,
  encodeRange,
  encodeSettings,
  encodeUint32,
  type Settings,
} from '../../lib/encode';
import { Place } from '../../lib/place';
import { defineService } from '../../lib/service-definition';
import { ServiceTable } from '../../lib/service-table';
import { deletions } from '../../lib/table-image';
import { Transaction } from '../../lib/transaction';

/** Groups of bytes, as bpftool prints them. */
const hex = (bytes: Uint8Array | undefined) =>
  Buffer.from(bytes ?? [])
    .toString('hex')
    .replace(/(.{8})(?!$)/g, '$1 ');

describe('bytes of the tables', () => {
  const table = new ServiceTable({ frontends: 8, backends: 32 }, new Set());
  /* So that no number is its neighbour's. */
  table.ranges.allocate(5);
  for (let i = 0; i < 8; i++) table.nextGroup();
  for (let i = 0; i < 10; i++) table.nextRanges();
  const tx = new Transaction(table);
  tx.put(
    defineService({
      name: 'web',
      frontends: [
        { type: 'ClusterIP', address: '10.96.1.2', port: 80 },
        { type: 'NodePort', port: 30080, protocol: 'UDP' },
        { type: 'LoadBalancer', address: '2001:db8::9', port: 443 },
      ],
      backends: [
        { address: '10.244.0.1', port: 8080, weight: 3, local: true },
        { address: '10.244.0.2', port: 8081 },
        { address: 'fd00::1', port: 8082 },
      ],
      sessionAffinity: 'ClientIP',
      sessionAffinityTimeout: 258,
    }),
  );
  tx.put(
    defineService({
      name: 'maglev',
      frontends: [{ type: 'ClusterIP', address: '10.96.1.3', port: 81 }],
      backends: [
        { address: '10.244.0.1', port: 8080 },
        { address: '10.244.0.2', port: 8080, local: true },
      ],
      algorithm: 'maglev',
      maglevTableSize: 251,
    }),
  );
  const operations = tx.operations();
  const update = (map: string) => {
    const found = operations.find((op) => op.map === map && op.kind === 'update');
    assert.ok(found?.kind === 'update');
    return found;
  };

  it('keys of services4: address, port, protocol', () => {
    assert.equal(hex(update('services4').keys), '0a600102 00500600 00000000 75801100 0a600103 00510600');
  });

  it('keys of services6', () => {
    const address = '20010db8 00000000 00000000 00000009';
    assert.equal(hex(update('services6').keys.slice(-20)), `${address} 01bb0600`);
  });

  it('values: check, set, flags, both ranges, id, what all frontends share, Maglev tables', () => {
    const size = 64;
    assert.equal(layouts.lb_service.size, size);
    const values = [0, 1, 2].map((i) => hex(update('services4').values.slice(i * size, (i + 1) * size)));
    //   check             set      flags    first    count    local    count    id       group    affinity ranges
    assert.deepEqual(values, [
      '06000050 0a600102 01000000 91060000 05000000 02000000 07000000 01000000 01000000 09000000 02010000 0b000000 ' +
        '00000000 00000000 00000000 00000000',
      '11007580 00000000 01000000 f3060000 05000000 02000000 07000000 01000000 02000000 09000000 02010000 0b000000 ' +
        '00000000 00000000 00000000 00000000',
      // Tables of 251 slots, the second one behind the first, whose 63 words of four are rounded to 64.
      '06000051 0a600103 03000000 91080000 09000000 02000000 0b000000 01000000 05000000 0a000000 00000000 0c000000 ' +
        '00000000 fb000000 00010000 fb000000',
    ]);
  });

  it('the check of an IPv6 key folds the whole address', () => {
    const value = update('services6').values.slice(-layouts.lb_service.size);
    const [low, high] = [Buffer.from(value).readUInt32LE(0), Buffer.from(value).readUInt32LE(4)];
    const word = (text: string) => Buffer.from(text, 'hex').readUInt32LE();
    // As bpf/service.h: high half of the address in front of the low one, all of it xored, port and protocol below.
    assert.equal(high, (word('20010db8') ^ word('00000000')) >>> 0);
    assert.equal(low, (word('00000000') ^ word('00000009') ^ ((word('01bb0000') << 16) | 6)) >>> 0);
  });

  it('backends: address as IPv6, port, flags, set, threshold and alias; the cluster-wide list, then the local one', () => {
    const store = operations.find((op) => op.map === 'backends');
    assert.ok(store?.kind === 'store');
    assert.equal(store.offset, 5 * 32);
    assert.deepEqual(
      [0, 32, 64, 96].map((at) => hex(store.bytes.slice(at, at + 32))),
      [
        // Of two slots for weights 3 and 1, one and a half are the first backend's.
        '00000000 00000000 0000ffff 0af40001 1f900100 01000000 ffffffff 00000000',
        '00000000 00000000 0000ffff 0af40002 1f910000 01000000 00000080 00000000',
        '00000000 00000000 0000ffff 0af40001 1f900100 01000000 ffffffff 00000000',
        'fd000000 00000000 00000000 00000001 1f920000 02000000 ffffffff 00000000',
      ],
    );
  });

  it('Maglev tables: indexes into the range, four to a word', () => {
    const stores = operations.filter((op) => op.map === 'maglev');
    const [cluster, local] = stores.map((op) => op.kind === 'store' && op);
    assert.ok(cluster && local && stores.length === 2);
    assert.deepEqual([cluster.offset, cluster.bytes.length], [0, 63 * 8]);
    assert.deepEqual([local.offset, local.bytes.length], [64 * 8, 63 * 8]);
    const slots = (bytes: Uint8Array) =>
      Array.from({ length: 251 }, (_, i) => Buffer.from(bytes).readUInt16LE(2 * i));
    assert.deepEqual(new Set(slots(cluster.bytes)), new Set([0, 1]));
    assert.deepEqual(new Set(slots(local.bytes)), new Set([0]));
  });

  it('deletions: the keys that nobody owns any more', () => {
    tx.accept();
    const record = table.records.get('web');
    assert.ok(record);
    const [four, six] = deletions([record], (key) => key === '10.96.1.2:80/TCP');
    assert.ok(four?.kind === 'delete' && six?.kind === 'delete');
    assert.equal(hex(four.keys), '00000000 75801100');
    assert.equal(six.keys.length, 2 * 20);
    assert.deepEqual(
      deletions([record], () => true),
      [],
    );
  });

  it('addresses, devices, numbers', () => {
    assert.equal(hex(encodeAddress(4, '192.0.2.1')), 'c0000201');
    assert.equal(hex(encodeAddress(6, '2001:db8::1')), '20010db8 00000000 00000000 00000001');
    assert.equal(hex(encodeUint32(0x01020304)), '04030201');
    assert.equal(
      hex(encodeDevice('external', '192.0.2.1', '2001:db8::1', true)),
      '20010db8 00000000 00000000 00000001 c0000201 01000000 01000000',
    );
    assert.equal(
      hex(encodeDevice('pod', undefined, undefined, false)),
      '00000000 00000000 00000000 00000000 00000000 02000000 00000000',
    );
  });

  it('ranges: length of the prefix with the id, id, address', () => {
    const range = (text: string) => parseCidr(text, new Place('test'));
    assert.equal(hex(encodeRange(0x0102, range('10.96.0.0/12'))), '2c000000 02010000 0a600000');
    assert.equal(
      hex(encodeRange(3, range('2001:db8::/33'))),
      '41000000 03000000 20010db8 00000000 00000000 00000000',
    );
  });

  it('exceptions: the id of a cgroup or the cookie of a namespace, and which of them it is', () => {
    assert.equal(hex(encodeException(1, 0x0102030405060708n)), '08070605 04030201 01000000 00000000');
  });
});

describe('bytes of the settings', () => {
  const none = {
    hostSocketsOnly: false,
    socketExceptions: false,
    localhost4: false,
    reject: false,
    answerEcho: false,
    masqueradeLocal: false,
    serviceRanges: false,
    toPeers: false,
    localhost6: false,
    leaveTracked: false,
    releasing: false,
    shadow: false,
  };
  const settings: Settings = {
    hostNetns: 0x0102030405060708n,
    snatPorts: [61000, 65535],
    originSlots: 1024,
    flows: 5000,
    flowLifetimes: { opening: 1, established: 2, halfClosed: 5, closing: 3, datagram: 4 },
    rejectsPerSecond: 515,
    flags: none,
  };
  const stepAt = 48;

  it('namespace, flags, ports, lifetimes, origins, limits', () => {
    assert.equal(
      hex(encodeSettings(settings).slice(0, stepAt)),
      '08070605 04030201 00000000 48eeffff ' +
        '01000000 02000000 05000000 03000000 04000000 ff030000 03020000 e8030000',
    );
  });

  it('a bit for each flag', () => {
    const bits = Object.keys(none).map((name) =>
      Buffer.from(encodeSettings({ ...settings, flags: { ...none, [name]: true } })).readUInt32LE(8),
    );
    assert.deepEqual(bits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]);
  });

  it('an epoch: an eighth of a flow table at most, a power of two', () => {
    const shiftOf = (flows: number) =>
      Buffer.from(encodeSettings({ ...settings, flows })).readUInt16LE(stepAt + 2);
    assert.deepEqual([1, 8, 16, 5000, 8191, 8192, 131_072].map(shiftOf), [0, 0, 1, 9, 9, 10, 14]);
  });

  const stepOf = (min: number, max: number) =>
    Buffer.from(encodeSettings({ ...settings, snatPorts: [min, max] })).readUInt16LE(stepAt);

  for (const size of [1, 2, 3, 7, 64, 1000, 2767, 32767, 32768, 65535]) {
    it(`the walk through a window of ${size} ports reaches every port`, () => {
      for (let i = 0; i < 20; i++) {
        const step = stepOf(65536 - size, 65535);
        const seen = new Uint8Array(size);
        /* As lb_window_port() of bpf/snat.h goes on. */
        for (let n = 0; n < size; n++) seen[(n * step) % size] = 1;
        assert.ok(step >= 1 && !seen.includes(0), `step ${step}`);
      }
    });
  }

  it('the walk is another one each time', () => {
    const steps = new Set(Array.from({ length: 256 }, () => stepOf(32768, 65535)));
    /* Of 256 draws among 16,384 about two repeat an earlier one; more than 56 never do. */
    assert.ok(steps.size > 200, `${steps.size} different steps`);
  });
});
