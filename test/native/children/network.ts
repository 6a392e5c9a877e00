import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Network } from '../../../types/native';
import { native, run } from '../support';

// Compares network() with `ip` in a network namespace furnished for the purpose.

const ip = (...args: string[]) => run('ip', ...args);
const ask = <T>(...args: string[]) => JSON.parse(ip('-j', '-d', ...args)) as T[];

function furnish(): void {
  ip('link', 'add', 'bridge0', 'type', 'bridge');
  ip('link', 'add', 'veth0', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'veth1');
  ip('link', 'set', 'veth0', 'master', 'bridge0');
  for (const device of ['bridge0', 'veth0', 'veth1']) ip('link', 'set', device, 'up');
  ip('addr', 'add', '192.0.2.1/24', 'dev', 'bridge0');
  ip('addr', 'add', '192.0.2.9/24', 'dev', 'bridge0');
  ip('addr', 'add', '198.51.100.1', 'peer', '198.51.100.2/32', 'dev', 'veth1');
  ip('addr', 'add', '2001:db8::1/64', 'dev', 'bridge0', 'nodad');
  ip('addr', 'add', '2001:db8::5', 'peer', '2001:db8::6/128', 'dev', 'veth1', 'nodad');
  ip('route', 'add', 'default', 'via', '192.0.2.2', 'metric', '5');
  ip('route', 'add', '203.0.113.0/24', 'nexthop', 'via', '192.0.2.3', 'nexthop', 'dev', 'veth1');
  ip('route', 'add', '203.0.113.128/25', 'dev', 'bridge0', 'table', '1000');
  ip('route', 'add', 'blackhole', '10.0.0.0/8');
  ip('-6', 'route', 'add', '2001:db8:1::/48', 'via', '2001:db8::2', 'metric', '77');
  ip(
    '-6',
    'route',
    'add',
    '2001:db8:2::/48',
    'nexthop',
    'via',
    '2001:db8::2',
    'nexthop',
    'via',
    '2001:db8::3',
  );
  ip('route', 'add', '203.0.112.0/24', 'via', 'inet6', '2001:db8::2', 'dev', 'bridge0');
  // More than fits into one message of the dump.
  for (let i = 0; i < 100; i++) {
    ip('link', 'add', `many${i}`, 'type', 'veth', 'peer', 'name', `peer${i}`);
    ip('addr', 'add', `192.0.3.${i}/32`, 'dev', `many${i}`);
  }
}

interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  master?: string;
  link_type: string;
  linkinfo?: { info_kind?: string };
  link_netnsid?: number;
}

function compareLinks(network: Network): void {
  const expected = ask<IpLink>('link', 'show');
  const indexOf = (name?: string) => expected.find(({ ifname }) => ifname === name)?.ifindex ?? 0;
  const hardware: Record<string, number> = { loopback: 772, ether: 1 };
  assert.deepEqual(
    network.links.map(({ flags, type, ...link }) => {
      const known = expected.find(({ ifindex }) => ifindex === link.ifindex);
      assert.equal((flags & 1) !== 0, known?.flags.includes('UP'));
      assert.equal((flags & 8) !== 0, known?.flags.includes('LOOPBACK'));
      assert.equal(type, hardware[known?.link_type ?? '']);
      return link;
    }),
    expected.map(({ ifindex, ifname, mtu, master, linkinfo, link_netnsid }) => ({
      ifindex,
      name: ifname,
      kind: linkinfo?.info_kind ?? '',
      master: indexOf(master),
      mtu,
      leadsToAnotherNamespace: link_netnsid !== undefined,
    })),
  );
  assert.equal(network.links.find(({ name }) => name === 'veth0')?.master, indexOf('bridge0'));
}

interface IpAddress {
  ifindex: number;
  addr_info: { local: string; prefixlen: number; scope: string; secondary?: boolean }[];
}

function compareAddresses(network: Network): void {
  const scopes: Record<string, number> = { global: 0, link: 253, host: 254 };
  const text = (value: object) => JSON.stringify(value);
  const have = network.addresses.map(({ ifindex, address, prefixLength, scope, flags }) =>
    text({ ifindex, address: [...address], prefixLength, scope, secondary: (flags & 1) !== 0 }),
  );
  const want = ask<IpAddress>('addr', 'show').flatMap(({ ifindex, addr_info }) =>
    addr_info.map(({ local, prefixlen, scope, secondary }) =>
      text({
        ifindex,
        address: ipaddr.parse(local).toByteArray(),
        prefixLength: prefixlen,
        scope: scopes[scope],
        secondary: secondary ?? false,
      }),
    ),
  );
  assert.deepEqual(have.sort(), want.sort());
  assert.ok(have.length > 100);
}

interface IpHop {
  dev?: string;
  gateway?: string;
  via?: object;
}

interface IpRoute extends IpHop {
  type?: string;
  dst: string;
  metric?: number;
  table?: string;
  nexthops?: IpHop[];
}

function compareRoutes(network: Network): void {
  const indexOf = (name?: string) => network.links.find((link) => link.name === name)?.ifindex;
  const tables: Record<string, number> = { main: 254, local: 255 };
  const want = ([4, 6] as const).flatMap((family) =>
    ask<IpRoute>(`-${family}`, 'route', 'show', 'table', 'all')
      .filter(({ type }) => (type ?? 'unicast') === 'unicast')
      .flatMap((route) => {
        const any = family === 6 ? '::/0' : '0.0.0.0/0';
        const [address = '', length] = (route.dst === 'default' ? any : route.dst).split('/');
        return (route.nexthops ?? [route]).map((hop) => ({
          family,
          ifindex: indexOf(hop.dev),
          destination: ipaddr.parse(address).toByteArray(),
          prefixLength: Number(length ?? (isIPv6(address) ? 128 : 32)),
          metric: route.metric ?? 0,
          gateway: hop.gateway !== undefined || hop.via !== undefined,
          table: tables[route.table ?? 'main'] ?? Number(route.table),
        }));
      }),
  );
  const have = network.routes.map((route) => ({ ...route, destination: [...route.destination] }));
  const sorted = (routes: object[]) => routes.map((route) => JSON.stringify(route)).sort();
  assert.deepEqual(sorted(have), sorted(want));
  assert.ok(have.some(({ family, gateway }) => family === 6 && gateway));
}

async function main(): Promise<void> {
  const empty = await native.network();
  assert.deepEqual(
    empty.links.filter(({ name }) => name === 'lo').map(({ ifindex }) => ifindex),
    [1],
  );
  furnish();
  const network = await native.network();
  compareLinks(network);
  compareAddresses(network);
  compareRoutes(network);
}

void main();
