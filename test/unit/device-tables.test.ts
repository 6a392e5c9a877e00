import assert from 'node:assert/strict';

import { AddressFlag } from '../../lib/abi';
import type { Address } from '../../lib/address';
import type { DeviceDefinition } from '../../lib/device-selection';
import { addressEntries, deviceTables, tableChange } from '../../lib/device-tables';
import { encodeAddress, encodeAddressInfo, encodeDevice, encodeUint32 } from '../../lib/encode';
import { parseNodePortAddresses } from '../../lib/node-addresses';
import { Place } from '../../lib/place';

const address = (text: string): Address => ({ family: text.includes(':') ? 6 : 4, text });

function device(ifindex: number, role: 'external' | 'pod', ...addresses: string[]): DeviceDefinition {
  return {
    name: `dev${ifindex}`,
    ifindex,
    role,
    layer: 'ethernet',
    addresses: addresses.map(address),
    directRouting: ifindex === 1,
    paired: role === 'pod',
  };
}

const eth0 = device(1, 'external', '192.0.2.1', '192.0.2.9', '2001:db8::1');
const eth1 = device(2, 'external', '198.51.100.1');
const lxc1 = device(3, 'pod', '10.244.0.1');
const eth9 = device(9, 'external', '203.0.113.1', '203.0.113.9', '::3');

function tablesOf(
  selected: readonly DeviceDefinition[],
  nodePortAddresses = ['primary'],
  other = eth9,
  redirectPeer = false,
) {
  const all = [eth0, eth1, lxc1, other];
  const rule = parseNodePortAddresses(nodePortAddresses, new Place('open'));
  return deviceTables(selected, addressEntries(all, selected, rule), redirectPeer);
}

/** Flags by address. */
function flags(tables: ReturnType<typeof tablesOf>): Record<string, number> {
  return Object.fromEntries(
    [...tables]
      .filter(([name]) => name.startsWith('address '))
      .map(([name, { value }]) => [name.slice('address '.length), Buffer.from(value).readUInt32LE()]),
  );
}

const { NODE, NODEPORT, EXTERNAL } = AddressFlag;

describe('device tables', () => {
  it('say of each address of the node what it answers', () => {
    assert.deepEqual(flags(tablesOf([eth0, lxc1])), {
      '192.0.2.1': NODE | NODEPORT | EXTERNAL,
      '192.0.2.9': NODE | EXTERNAL,
      '2001:db8::1': NODE | NODEPORT | EXTERNAL,
      '198.51.100.1': NODE,
      '10.244.0.1': NODE,
      '203.0.113.1': NODE,
      '203.0.113.9': NODE,
      '::3': NODE,
    });
    const ofAll = flags(tablesOf([eth0, eth1, lxc1], ['all']));
    assert.deepEqual(
      Object.keys(ofAll).filter((text) => (ofAll[text] ?? 0) & NODEPORT),
      ['192.0.2.1', '192.0.2.9', '2001:db8::1', '198.51.100.1'],
    );
  });

  it('let all devices but those of pods answer sockets, while nothing is served outside', () => {
    for (const selected of [[], [lxc1]]) {
      assert.deepEqual(flags(tablesOf(selected)), {
        '192.0.2.1': NODE | NODEPORT,
        '192.0.2.9': NODE,
        '2001:db8::1': NODE | NODEPORT,
        '198.51.100.1': NODE | NODEPORT,
        '10.244.0.1': NODE,
        '203.0.113.1': NODE | NODEPORT,
        '203.0.113.9': NODE,
        '::3': NODE | NODEPORT,
      });
    }
  });

  it('let an address that two devices have answer if it does so on one', () => {
    const twin = device(4, 'external', '198.51.100.7', '192.0.2.1');
    for (const selected of [
      [eth0, twin],
      [twin, eth0],
    ]) {
      assert.equal(flags(tablesOf(selected))['192.0.2.1'], NODE | NODEPORT | EXTERNAL);
    }
  });

  it('give each device its role and sources', () => {
    const tables = tablesOf([eth0, eth1, lxc1]);
    assert.deepEqual(
      tables.get('device 1')?.value,
      encodeDevice('external', '192.0.2.1', '2001:db8::1', false),
    );
    assert.deepEqual(
      tables.get('device 2')?.value,
      encodeDevice('external', '198.51.100.1', '2001:db8::1', false),
    );
    assert.deepEqual(tables.get('device 3')?.value, encodeDevice('pod', '10.244.0.1', '2001:db8::1', false));
  });

  it('say what takes packets at its other end, where that was asked for', () => {
    const tables = tablesOf([eth0, lxc1], ['primary'], eth9, true);
    const address = '192.0.2.1';
    assert.deepEqual(tables.get('device 1')?.value, encodeDevice('external', address, '2001:db8::1', false));
    assert.deepEqual(tables.get('device 3')?.value, encodeDevice('pod', '10.244.0.1', '2001:db8::1', true));
  });

  it('are changed where they differ: devices before addresses, and the other way when they go', () => {
    const before = tablesOf([eth0]);
    assert.deepEqual(tableChange(before, tablesOf([eth0])), []);
    const after = tablesOf([eth0, eth1], ['primary'], device(9, 'external', '203.0.113.1', '203.0.113.9'));
    const added = {
      map: 'devices',
      kind: 'update',
      keys: encodeUint32(2),
      values: encodeDevice('external', '198.51.100.1', '2001:db8::1', false),
    };
    const answers = (value: number) => ({
      map: 'addresses4',
      kind: 'update',
      keys: encodeAddress(4, '198.51.100.1'),
      values: encodeAddressInfo(value),
    });
    const removed = (map: string, keys: Uint8Array) => ({ map, kind: 'delete', keys });
    assert.deepEqual(tableChange(before, after), [
      added,
      answers(NODE | NODEPORT | EXTERNAL),
      removed('addresses6', encodeAddress(6, '::3')),
    ]);
    const empty = tableChange(after, new Map());
    assert.equal(empty.length, after.size);
    assert.ok(empty.every(({ kind }) => kind === 'delete'));
    assert.equal(empty.at(-1)?.map, 'devices');
    assert.equal(empty[0]?.map, 'addresses4');
  });
});
