import assert from 'node:assert/strict';

import ipaddr from 'ipaddr.js';

import { nodeAddresses, selectDevices, snatSource } from '../../lib/device-selection';
import type { Network } from '../../types/native';

const UP = 0x1;
const LOOPBACK = 0x8;
const SECONDARY = 0x01;
const TENTATIVE = 0x40;

interface Spec {
  kind?: string;
  down?: boolean;
  master?: number;
  /** ARPHRD_* */
  type?: number;
  /** With prefix length; `|link`, `|secondary` or `|tentative` behind it. */
  addresses?: string[];
  /** `default`, or a destination with its prefix length. */
  routes?: string[];
}

/** A network of these devices, with ifindexes from 1 on. */
function network(specs: Record<string, Spec>): Network {
  const result: Network = { links: [], addresses: [], routes: [] };
  for (const [i, [name, spec]] of Object.entries(specs).entries()) {
    const ifindex = i + 1;
    const flags = (spec.down ? 0 : UP) | (name === 'lo' ? LOOPBACK : 0);
    const { kind = '', master = 0, type = name === 'lo' ? 772 : 1 } = spec;
    result.links.push({ ifindex, name, flags, kind, master, mtu: 1500, type });
    for (const text of spec.addresses ?? []) {
      const [cidr = '', mark] = text.split('|');
      const [address, prefixLength] = ipaddr.parseCIDR(cidr);
      result.addresses.push({
        ifindex,
        address: Uint8Array.from(address.toByteArray()),
        prefixLength,
        scope: mark === 'link' ? 253 : name === 'lo' ? 254 : 0,
        flags: mark === 'secondary' ? SECONDARY : mark === 'tentative' ? TENTATIVE : 0,
      });
    }
    for (const route of spec.routes ?? []) {
      const isDefault = route === 'default';
      const [destination, prefixLength] = ipaddr.parseCIDR(isDefault ? '0.0.0.0/0' : route);
      result.routes.push({
        family: destination.kind() === 'ipv4' ? 4 : 6,
        ifindex,
        destination: Uint8Array.from(destination.toByteArray()),
        prefixLength,
        metric: 0,
        gateway: isDefault,
        table: 254,
      });
    }
  }
  return result;
}

const node = network({
  lo: { addresses: ['127.0.0.1/8', '::1/128'], routes: [] },
  eth0: {
    addresses: ['192.0.2.9/24|secondary', '192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64|link'],
    routes: ['default', '192.0.2.0/24'],
  },
  eth1: { addresses: ['198.51.100.1/24'], routes: ['198.51.100.0/24'] },
  eth2: { addresses: ['203.0.113.1/24|tentative'], routes: ['203.0.113.0/24'] },
  eth3: { down: true, addresses: ['10.3.0.1/24'], routes: ['10.3.0.0/24'] },
  lxc1: { kind: 'veth', addresses: ['10.244.0.1/32'], routes: ['10.244.0.11/32'] },
  lxc2: { kind: 'veth', routes: ['10.244.0.12/32'] },
  cilium_host: { addresses: ['10.244.0.2/32'], routes: ['10.244.0.0/24'] },
  docker0: { kind: 'bridge', addresses: ['172.17.0.1/16'], routes: ['172.17.0.0/16'] },
  br0: { kind: 'bridge', addresses: ['10.9.0.1/24'], routes: ['10.9.0.0/24'] },
  tun0: { kind: 'tun', type: 65534, addresses: ['10.8.0.1/24'], routes: ['10.8.0.0/24'] },
});

const names = (...patterns: string[]) => selectDevices(patterns, node).map(({ name }) => name);

describe('device selection', () => {
  it('by nothing selects nothing', () => {
    assert.deepEqual(names(), []);
  });

  it('by exact names', () => {
    assert.deepEqual(names('eth0'), ['eth0']);
    assert.deepEqual(names('lxc2', 'eth3'), ['eth3', 'lxc2']);
    assert.deepEqual(names('eth0', 'eth0'), ['eth0']);
  });

  it('by prefixes', () => {
    assert.deepEqual(names('lxc+'), ['lxc1', 'lxc2']);
    assert.deepEqual(names('eth+', 'lxc+'), ['eth0', 'eth1', 'eth2', 'eth3', 'lxc1', 'lxc2']);
    assert.deepEqual(names('none+'), []);
    assert.deepEqual(names('eth0+'), ['eth0']);
  });

  it('by prefixes with exclusions', () => {
    assert.deepEqual(names('eth+', '!eth1'), ['eth0', 'eth2', 'eth3']);
    assert.deepEqual(names('!eth1', 'eth+'), ['eth0', 'eth2', 'eth3']);
    assert.deepEqual(names('eth+', 'lxc+', '!eth+'), ['lxc1', 'lxc2']);
    assert.deepEqual(names('!eth1'), []);
  });

  it('an exact name beats an excluded prefix, and an excluded name beats all', () => {
    assert.deepEqual(names('eth1', '!eth+'), ['eth1']);
    assert.deepEqual(names('eth1', 'eth+', '!eth1'), ['eth0', 'eth2', 'eth3']);
    assert.deepEqual(names('eth1', '!eth1'), []);
    assert.deepEqual(names('auto', '!eth0'), ['eth1']);
  });

  it('by a prefix never selects what carries no frames from outside', () => {
    assert.deepEqual(names('lo+', 'tun+'), []);
  });

  describe('auto', () => {
    it("selects the node's own devices", () => {
      assert.deepEqual(names('auto'), ['eth0', 'eth1']);
    });

    it('beside names and prefixes', () => {
      assert.deepEqual(names('auto', 'lxc+', '!lxc2'), ['eth0', 'eth1', 'lxc1']);
    });

    for (const [title, spec, selected] of [
      ['a device with an address and a route', { addresses: ['10.0.0.1/24'], routes: ['10.0.0.0/24'] }, true],
      ['a device that is down', { down: true, addresses: ['10.0.0.1/24'], routes: ['default'] }, false],
      ['a device without addresses', { routes: ['default'] }, false],
      [
        'a device with a link-local address alone',
        { addresses: ['fe80::1/64|link'], routes: ['default'] },
        false,
      ],
      ['a device without routes', { addresses: ['10.0.0.1/24'] }, false],
      [
        'a device with link-local routes alone',
        { addresses: ['2001:db8::1/128'], routes: ['fe80::/64', '169.254.0.0/16', 'ff00::/8'] },
        false,
      ],
      ['an IPv6 device', { addresses: ['2001:db8::1/64'], routes: ['2001:db8::/64'] }, true],
      ['a part of a bond', { master: 9, addresses: ['10.0.0.1/24'], routes: ['default'] }, false],
      ['a bridge', { kind: 'bridge', addresses: ['10.0.0.1/24'], routes: ['default'] }, false],
      ['an Open vSwitch', { kind: 'openvswitch', addresses: ['10.0.0.1/24'], routes: ['default'] }, false],
      [
        'a veth with a default route',
        { kind: 'veth', addresses: ['10.0.0.1/24'], routes: ['default'] },
        true,
      ],
      ['a veth without one', { kind: 'veth', addresses: ['10.0.0.1/24'], routes: ['10.0.0.0/24'] }, false],
      ['a bond', { kind: 'bond', addresses: ['10.0.0.1/24'], routes: ['default'] }, true],
      ['a VLAN', { kind: 'vlan', addresses: ['10.0.0.1/24'], routes: ['10.0.0.0/24'] }, true],
    ] satisfies [string, Spec, boolean][]) {
      it(`${selected ? 'selects' : 'leaves out'} ${title}`, () => {
        assert.equal(selectDevices(['auto'], network({ dev0: spec })).length, selected ? 1 : 0);
      });
    }

    for (const name of ['lo', 'lxc7', 'cni0', 'docker0', 'cilium_net']) {
      it(`leaves out ${name}, whatever it has`, () => {
        const spec = { addresses: ['10.0.0.1/24'], routes: ['default', '10.0.0.0/24'] };
        assert.deepEqual(selectDevices(['auto'], network({ [name]: spec })), []);
      });
    }
  });

  it('describes devices: role by name, addresses of global scope, primary ones first', () => {
    const [eth0, eth2, lxc1] = selectDevices(['eth0', 'eth2', 'lxc1'], node);
    assert.deepEqual(eth0, {
      name: 'eth0',
      ifindex: 2,
      role: 'external',
      addresses: [
        { family: 4, text: '192.0.2.1' },
        { family: 6, text: '2001:db8::1' },
        { family: 4, text: '192.0.2.9' },
      ],
    });
    assert.deepEqual(eth2?.addresses, [], 'a tentative address is not one yet');
    assert.equal(lxc1?.role, 'pod');
    assert.ok(eth0 && lxc1);
    assert.equal(snatSource(eth0, 4), '192.0.2.1');
    assert.equal(snatSource(eth0, 6), '2001:db8::1');
    assert.equal(snatSource(lxc1, 6), undefined);
  });

  it('knows pod devices by the names that CNIs give', () => {
    const devices = network({
      lxc1: {},
      cali1: {},
      veth1: {},
      cni0: {},
      docker0: {},
      eth0: {},
      lx0: {},
      bond0: {},
    });
    const roles = selectDevices(['eth+', 'lx+', 'cali+', 'veth+', 'cni+', 'docker+', 'bond+'], devices);
    assert.deepEqual(Object.fromEntries(roles.map(({ name, role }) => [name, role])), {
      lxc1: 'pod',
      cali1: 'pod',
      veth1: 'pod',
      cni0: 'pod',
      docker0: 'pod',
      eth0: 'external',
      lx0: 'external',
      bond0: 'external',
    });
  });

  it("the node's addresses are those of all devices, loopback and link-local ones left out", () => {
    assert.deepEqual(
      nodeAddresses(node).map(({ text }) => text),
      [
        '192.0.2.1',
        '2001:db8::1',
        '192.0.2.9',
        '198.51.100.1',
        '10.3.0.1',
        '10.244.0.1',
        '10.244.0.2',
        '172.17.0.1',
        '10.9.0.1',
        '10.8.0.1',
      ],
    );
  });

  it('throws for a named device that is missing, and says which there are', () => {
    assert.throws(() => names('eth0', 'eth9'), {
      code: 'ERR_BPF_NO_DEVICE',
      message: /no device eth9 in this network namespace: it has lo, eth0,/,
    });
    assert.throws(() => names('eth9', '!eth9'), { code: 'ERR_BPF_NO_DEVICE' });
  });

  it('throws for a named device that cannot carry the programs', () => {
    assert.throws(() => names('lo'), { code: 'ERR_BPF_NO_DEVICE' });
    assert.throws(() => names('tun0'), { code: 'ERR_BPF_NO_DEVICE' });
  });

  it('throws for what is no pattern', () => {
    const wrong = [
      '',
      '!',
      '+',
      '!+',
      'eth 0',
      'eth/0',
      'e+th',
      '!!eth0',
      'a-name-that-is-too-long',
      'ÄÄÄÄÄÄÄÄ',
      7,
      null,
    ];
    for (const pattern of wrong) {
      assert.throws(() => names(pattern as string), { code: 'ERR_BPF_INVALID_OPTION' }, String(pattern));
    }
  });
});
