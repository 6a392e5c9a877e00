import type { Family } from '../support/model';

/*
 * What cases are made of. There is little of everything, so that addresses, ports and services collide.
 */

/** Addresses by what they are meant for; a case may use them otherwise. */
export const addresses = {
  4: {
    clusterIP: ['10.96.0.1', '10.96.0.2'],
    /** In the range of ClusterIPs. */
    unallocated: '10.96.0.9',
    vip: ['198.51.100.7', '198.51.100.8'],
    /** The first one is in {@link trustedRanges}. */
    externalIP: ['192.0.2.7', '192.0.3.7'],
    node: ['203.0.113.1', '10.0.9.1', '10.0.9.77', '10.244.1.1', '10.99.0.1'],
    loopback: '127.0.0.1',
    elsewhere: '192.0.2.99',
    /** On another node, on this one, behind a device that is not selected, and the node itself. */
    backend: [
      '10.244.2.2',
      '10.244.2.3',
      '10.244.1.2',
      '10.244.1.9',
      '10.99.0.5',
      '203.0.113.1',
      '203.0.113.2',
    ],
    client: ['203.0.113.2', '203.0.113.3', '10.244.1.9', '10.244.2.2', '198.51.100.7', '192.0.2.50'],
  },
  6: {
    clusterIP: ['fd00:96::1', 'fd00:96::2'],
    unallocated: 'fd00:96::9',
    vip: ['2001:db8:f::7', '2001:db8:f::8'],
    externalIP: ['2001:db8:e::7', '2001:db8:ee::7'],
    node: ['2001:db8:1::1', 'fd00:9::1', 'fd00:9::77', 'fd00:1::1', 'fd00:99::1'],
    loopback: '::1',
    elsewhere: '2001:db8:e::99',
    backend: [
      'fd00:2::2',
      'fd00:2::3',
      'fd00:1::2',
      'fd00:1::9',
      'fd00:99::5',
      '2001:db8:1::1',
      '2001:db8:1::2',
    ],
    client: ['2001:db8:1::2', '2001:db8:1::3', 'fd00:1::9', 'fd00:2::2', '2001:db8:f::7', '2001:db8:e::50'],
  },
} as const;

/** Addresses that the node may get and lose. */
export const extraAddresses = ([4, 6] as const).flatMap((family: Family) => {
  const { vip, clusterIP, externalIP, unallocated } = addresses[family];
  return [vip[0], clusterIP[1], externalIP[1], unallocated];
});

export const ports = [80, 443, 30001] as const;
export const nodePorts = [30001, 30002, 80] as const;
export const backendPorts = [8080, 8081] as const;

/** Whatever may be asked for. */
export const allAddresses = { 4: allOf(4), 6: allOf(6) } as const;
export const allPorts = [...new Set([...ports, ...nodePorts, 22])];

function allOf(family: Family): readonly string[] {
  const { clusterIP, unallocated, vip, externalIP, node, elsewhere, loopback, backend } = addresses[family];
  return [...clusterIP, unallocated, ...vip, ...externalIP, ...node, elsewhere, loopback, backend[0]];
}

export const sourceRanges = [
  '203.0.113.0/24',
  '203.0.113.2/32',
  '10.244.0.0/16',
  '10.0.9.0/24',
  '192.0.2.0/24',
  '0.0.0.0/0',
  '2001:db8:1::/64',
  '2001:db8:1::2/128',
  'fd00:1::/64',
  'fd00:9::/64',
  '2001:db8:e::/64',
] as const;

export const serviceCIDRs = ['10.96.0.0/24', 'fd00:96::/112'];
export const trustedRanges = ['192.0.2.0/24', '2001:db8:e::/64'];
