import assert from 'node:assert/strict';

import { ServiceFlag } from '../../lib/abi';
import { encodeAddress, encodeDevice, encodeSettings, encodeUint32, serviceFlags } from '../../lib/encode';
import { defineService } from '../../lib/service-definition';
import { ServiceTable } from '../../lib/service-table';
import type { FrontendSpec, TrafficPolicy } from '../../lib/spec';
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
        { address: '10.244.0.1', port: 8080, weight: 258, local: true },
        { address: '10.244.0.2', port: 8081 },
        { address: 'fd00::1', port: 8082 },
      ],
    }),
  );
  const operations = tx.operations();
  const update = (map: string) => {
    const found = operations.find((op) => op.map === map && op.kind === 'update');
    assert.ok(found?.kind === 'update');
    return found;
  };

  it('keys of services4: address, port, protocol', () => {
    assert.equal(hex(update('services4').keys), '0a600102 00500600 00000000 75801100');
  });

  it('keys of services6', () => {
    const address = '20010db8 00000000 00000000 00000009';
    assert.equal(hex(update('services6').keys.slice(-20)), `${address} 01bb0600`);
  });

  it('values: check, set, flags, both ranges, id', () => {
    const [clusterIP, nodePort] = [0, 40].map((at) => update('services4').values.slice(at, at + 40));
    //                            check             set      flags    first    count    local    count    id       pad
    assert.equal(
      hex(clusterIP),
      '06000050 0a600102 01000000 11000000 05000000 02000000 06000000 01000000 01000000 00000000',
    );
    assert.equal(
      hex(nodePort),
      '11007580 00000000 01000000 33000000 05000000 02000000 06000000 01000000 02000000 00000000',
    );
  });

  it('the check of an IPv6 key folds the whole address', () => {
    const value = update('services6').values.slice(-40);
    const [low, high] = [Buffer.from(value).readUInt32LE(0), Buffer.from(value).readUInt32LE(4)];
    const word = (text: string) => Buffer.from(text, 'hex').readUInt32LE();
    // As bpf/service.h: high half of the address in front of the low one, all of it xored, port and protocol below.
    assert.equal(high, (word('20010db8') ^ word('00000000')) >>> 0);
    assert.equal(low, (word('00000000') ^ word('00000009') ^ ((word('01bb0000') << 16) | 6)) >>> 0);
  });

  it('backends: address as IPv6, port, weight, set, flags; those of this node behind the others', () => {
    const store = operations.find((op) => op.map === 'backends');
    assert.ok(store?.kind === 'store');
    assert.equal(store.offset, 5 * 32);
    assert.deepEqual(
      [0, 32, 64].map((at) => hex(store.bytes.slice(at, at + 32))),
      [
        '00000000 00000000 0000ffff 0af40002 1f910100 01000000 00000000 00000000',
        '00000000 00000000 0000ffff 0af40001 1f900201 01000000 01000000 00000000',
        'fd000000 00000000 00000000 00000001 1f920100 02000000 00000000 00000000',
      ],
    );
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
      hex(encodeDevice('external', '192.0.2.1', '2001:db8::1')),
      '20010db8 00000000 00000000 00000001 c0000201 01000000',
    );
    assert.equal(
      hex(encodeDevice('pod', undefined, undefined)),
      '00000000 00000000 00000000 00000000 00000000 02000000',
    );
  });

  it('settings', () => {
    const bytes = encodeSettings({
      hostNetns: 0x0102030405060708n,
      snatPorts: [61000, 65535],
      originSlots: 1024,
      flowLifetimes: { opening: 1, established: 2, closing: 3, datagram: 4 },
    });
    assert.equal(hex(bytes), '08070605 04030201 48eeffff 01000000 02000000 03000000 04000000 ff030000');
  });
});

describe('flags of a frontend', () => {
  const node = new Set(['192.0.2.1', '2001:db8::1']);
  const { SOCKET, DEVICE, SOCKET_LOCAL, DEVICE_LOCAL, USABLE, BIND } = ServiceFlag;

  function flags(
    frontend: FrontendSpec,
    external: TrafficPolicy = 'Cluster',
    internal: TrafficPolicy = 'Cluster',
  ) {
    const definition = defineService({
      name: 'web',
      frontends: [frontend],
      backends: [],
      externalTrafficPolicy: external,
      internalTrafficPolicy: internal,
    });
    return serviceFlags(definition.frontends[0]!, definition, false, node);
  }

  const at = (type: FrontendSpec['type'], address?: string): FrontendSpec => ({
    type,
    port: 80,
    ...(address ? { address } : {}),
  });

  it('ClusterIP: sockets alone', () => {
    assert.equal(flags(at('ClusterIP', '10.96.0.1')), SOCKET);
    assert.equal(flags(at('ClusterIP', '10.96.0.1'), 'Local', 'Cluster'), SOCKET);
    assert.equal(flags(at('ClusterIP', '10.96.0.1'), 'Cluster', 'Local'), SOCKET | SOCKET_LOCAL);
  });

  it('NodePort and LoadBalancer: sockets and devices, and the port is taken', () => {
    for (const frontend of [at('NodePort'), at('LoadBalancer', '203.0.113.1')]) {
      assert.equal(flags(frontend), SOCKET | DEVICE | BIND);
      assert.equal(flags(frontend, 'Local', 'Local'), SOCKET | DEVICE | DEVICE_LOCAL | BIND);
    }
  });

  it('ExternalIPs: sockets only where the address is the node', () => {
    assert.equal(flags(at('ExternalIPs', '203.0.113.1')), DEVICE | BIND);
    assert.equal(flags(at('ExternalIPs', '192.0.2.1')), DEVICE | BIND | SOCKET);
    assert.equal(flags(at('ExternalIPs', '2001:DB8::1')), DEVICE | BIND | SOCKET);
  });

  it('HostPort: its address, or all; never to devices on loopback', () => {
    assert.equal(flags(at('HostPort')), SOCKET | DEVICE);
    assert.equal(flags(at('HostPort', '192.0.2.1')), SOCKET | DEVICE);
    assert.equal(flags(at('HostPort', '203.0.113.1')), DEVICE);
    assert.equal(flags(at('HostPort', '127.0.0.1')), SOCKET);
  });

  it('a service with a usable backend says so', () => {
    const definition = defineService({ name: 'web', frontends: [at('NodePort')], backends: [] });
    assert.equal(
      serviceFlags(definition.frontends[0]!, definition, true, node),
      SOCKET | DEVICE | BIND | USABLE,
    );
  });
});
