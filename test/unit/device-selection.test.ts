import assert from 'node:assert/strict';

import ipaddr from 'ipaddr.js';

import { nodeDevices, selectDevices, snatSource } from '../../lib/device-selection';
import type { Network } from '../../types/native';

const UP = 0x1;
const LOOPBACK = 0x8;
const SECONDARY = 0x01;
const DADFAILED = 0x08;
const DEPRECATED = 0x20;
const TENTATIVE = 0x40;
const marks: Record<string, number> = {
  secondary: SECONDARY,
  tentative: TENTATIVE,
  deprecated: DEPRECATED,
  duplicate: DADFAILED,
};

interface Spec {
  kind?: string;
  /** One of a pair, the other of which is in another namespace. */
  away?: boolean;
  down?: boolean;
  master?: number;
  /** ARPHRD_* */
  type?: number;
  /** With prefix length; `|link` or one of the marks behind it. */
  addresses?: string[];
  /** `default` or `default6`, or a destination with its prefix length; `|` and a metric behind it. */
  routes?: string[];
}

/** A network of these devices, with ifindexes from 1 on. */
function network(specs: Record<string, Spec>): Network {
  const result: Network = { links: [], addresses: [], routes: [] };
  for (const [i, [name, spec]] of Object.entries(specs).entries()) {
    const ifindex = i + 1;
    const flags = (spec.down ? 0 : UP) | (name === 'lo' ? LOOPBACK : 0);
    const { kind = '', master = 0, type = name === 'lo' ? 772 : 1 } = spec;
    const leadsToAnotherNamespace = spec.away ?? false;
    result.links.push({ ifindex, name, flags, kind, master, mtu: 1500, leadsToAnotherNamespace, type });
    for (const text of spec.addresses ?? []) {
      const [cidr = '', mark] = text.split('|');
      const [address, prefixLength] = ipaddr.parseCIDR(cidr);
      result.addresses.push({
        ifindex,
        address: Uint8Array.from(address.toByteArray()),
        prefixLength,
        scope: mark === 'link' ? 253 : name === 'lo' ? 254 : 0,
        flags: marks[mark ?? ''] ?? 0,
      });
    }
    for (const text of spec.routes ?? []) {
      const [route = '', metric = '0'] = text.split('|');
      const isDefault = route.startsWith('default');
      const [destination, prefixLength] = ipaddr.parseCIDR(
        route === 'default' ? '0.0.0.0/0' : route === 'default6' ? '::/0' : route,
      );
      result.routes.push({
        family: destination.kind() === 'ipv4' ? 4 : 6,
        ifindex,
        destination: Uint8Array.from(destination.toByteArray()),
        prefixLength,
        metric: Number(metric),
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
    assert.deepEqual(names('auto', '!eth0', '!tun+'), ['eth1']);
  });

  it('by a prefix never selects what carries no packets from outside', () => {
    assert.deepEqual(names('lo+'), []);
    assert.deepEqual(selectDevices(['can+'], network({ can0: { type: 280 } })), []);
  });

  it('knows what has no Ethernet header', () => {
    const devices = network({
      eth0: {},
      tun0: { type: 65534 },
      ppp0: { type: 512 },
      wwan0: { type: 519 },
      gre0: { type: 778 },
    });
    assert.deepEqual(
      selectDevices(['eth+', 'tun+', 'ppp+', 'wwan+', 'gre+'], devices).map(({ name, layer }) => [
        name,
        layer,
      ]),
      [
        ['eth0', 'ethernet'],
        ['tun0', 'ip'],
        ['ppp0', 'ip'],
        ['wwan0', 'ip'],
      ],
    );
  });

  describe('auto', () => {
    it("selects the node's own devices", () => {
      assert.deepEqual(names('auto'), ['eth0', 'eth1', 'tun0']);
    });

    it('beside names and prefixes', () => {
      assert.deepEqual(names('auto', 'lxc+', '!lxc2'), ['eth0', 'eth1', 'lxc1', 'tun0']);
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
      layer: 'ethernet',
      addresses: [
        { family: 4, text: '192.0.2.1' },
        { family: 4, text: '192.0.2.9' },
        { family: 6, text: '2001:db8::1' },
      ],
      directRouting: true,
      paired: false,
    });
    assert.deepEqual(eth2?.addresses, [], 'a tentative address is not one yet');
    assert.equal(lxc1?.role, 'pod');
  });

  it('knows the ends of pairs that lead elsewhere', () => {
    const pairs = network({
      ens1: {},
      lxc1: { kind: 'veth', away: true },
      lxc2: { kind: 'netkit', away: true },
      both: { kind: 'veth' },
      vlan: { kind: 'vlan', away: true },
    });
    const paired = selectDevices(['ens1', 'lxc+', 'both', 'vlan'], pairs).filter((device) => device.paired);
    assert.deepEqual(
      paired.map(({ name }) => name),
      ['lxc1', 'lxc2'],
    );
  });

  it('orders addresses by their worth and age, and leaves out what is none', () => {
    // As the kernel lists them: the newest first.
    const devices = network({
      eth0: {
        addresses: [
          '2001:db8::1/64|duplicate',
          '2001:db8::2/64|deprecated',
          '2001:db8::3/64|secondary',
          '2001:db8::4/64',
          '2001:db8::5/64',
        ],
      },
    });
    assert.deepEqual(
      selectDevices(['eth0'], devices)[0]?.addresses.map(({ text }) => text),
      ['2001:db8::5', '2001:db8::4', '2001:db8::3', '2001:db8::2'],
    );
  });

  describe('the source of SNAT', () => {
    const sources = (patterns: string[], directRouting?: string) => {
      const selected = selectDevices(patterns, node, { directRouting });
      return Object.fromEntries(
        selected.map((device) => [
          device.name,
          ([4, 6] as const).map((family) => snatSource(device, family, selected)),
        ]),
      );
    };

    it('is the first address of the device, in the family', () => {
      assert.deepEqual(sources(['eth0', 'lxc1']), {
        eth0: ['192.0.2.1', '2001:db8::1'],
        lxc1: ['10.244.0.1', '2001:db8::1'],
      });
    });

    it('or that of the direct routing device, or of another external one, never that of pods', () => {
      assert.deepEqual(sources(['eth0', 'eth1', 'lxc2']).lxc2, ['192.0.2.1', '2001:db8::1']);
      assert.deepEqual(sources(['eth0', 'eth1', 'lxc2'], 'eth1').lxc2, ['198.51.100.1', '2001:db8::1']);
      assert.deepEqual(sources(['lxc1', 'lxc2']).lxc2, [undefined, undefined]);
    });
  });

  describe('the direct routing device', () => {
    const direct = (devices: Network, patterns: string[], directRouting?: string, wait = false) =>
      selectDevices(patterns, devices, { directRouting, wait })
        .filter((device) => device.directRouting)
        .map(({ name }) => name);

    it('is the only external one, whatever its routes', () => {
      assert.deepEqual(direct(node, ['eth1', 'lxc+']), ['eth1']);
      assert.deepEqual(direct(node, ['lxc+']), []);
    });

    it('is that of the default route, IPv4 first, by metric', () => {
      assert.deepEqual(direct(node, ['eth+']), ['eth0']);
      assert.deepEqual(direct(node, ['eth+', '!eth0']), []);
      const several = network({
        eth0: { routes: ['default6'] },
        eth1: { routes: ['default|200'] },
        eth2: { routes: ['default|100'] },
      });
      assert.deepEqual(direct(several, ['eth+']), ['eth2']);
      assert.deepEqual(direct(several, ['eth+', '!eth2']), ['eth1']);
      assert.deepEqual(direct(several, ['eth0', 'lo+']), ['eth0']);
    });

    it('is the one that was asked for', () => {
      assert.deepEqual(direct(node, ['eth+'], 'eth1'), ['eth1']);
      assert.deepEqual(direct(node, ['eth0', 'eth1', 'lxc+'], 'eth1+'), ['eth1']);
      assert.deepEqual(direct(node, []), []);
      assert.deepEqual(direct(node, ['lxc+'], 'eth1'), [], 'there is nothing to choose from');
    });

    it('throws unless exactly one is the one that was asked for', () => {
      for (const [pattern, message] of [
        ['eth9', /'eth9' has to be one of the selected external devices, eth0, eth1: none is/],
        ['eth+', /several are/],
        ['lxc1', /none is/],
      ] as const) {
        assert.throws(() => direct(node, ['eth0', 'eth1', 'lxc1'], pattern), {
          code: 'ERR_BPF_INVALID_OPTION',
          message,
        });
        assert.deepEqual(direct(node, ['eth0', 'eth1', 'lxc1'], pattern, true), []);
      }
    });
  });

  it('waits for what is missing, if it is told to', () => {
    const waiting = (...patterns: string[]) =>
      selectDevices(patterns, node, { wait: true }).map(({ name }) => name);
    assert.deepEqual(waiting('eth0', 'eth9', 'lo'), ['eth0']);
    assert.throws(() => waiting('eth 9'), { code: 'ERR_BPF_INVALID_OPTION' });
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
      nodeDevices(node).flatMap(({ addresses }) => addresses.map(({ text }) => text)),
      [
        '192.0.2.1',
        '192.0.2.9',
        '2001:db8::1',
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
