import { inspect } from 'node:util';

import { type Address, formatAddress } from './address';
import { LoadBalancerError } from './errors';
import type { Network } from '../types/native';

/** Where a device leads: to clients and other nodes, or to pods of this node. */
export type DeviceRole = 'external' | 'pod';

/** A device that carries the programs, as it was when it was selected. */
export interface DeviceDefinition {
  readonly name: string;
  readonly ifindex: number;
  readonly role: DeviceRole;
  /** Addresses of global scope, in the kernel's order. */
  readonly addresses: readonly Address[];
}

type Link = Network['links'][number];

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const ARPHRD_ETHER = 1;
const RT_SCOPE_UNIVERSE = 0;
const IFA_F_SECONDARY = 0x01;
const IFA_F_TENTATIVE = 0x40;

/** Names that container networks give to the node's end of a pod's link, or to the bridge of such ends. */
const podPrefixes = ['lxc', 'cali', 'veth', 'cni', 'docker'];

const undetectedPrefixes = ['cilium_', 'lo', 'lxc', 'cni', 'docker'];
const undetectedKinds = ['bridge', 'openvswitch', 'ipoib'];

function usableAddresses(network: Network, ifindex: number): Address[] {
  return network.addresses
    .filter((a) => a.ifindex === ifindex && a.scope === RT_SCOPE_UNIVERSE && !(a.flags & IFA_F_TENTATIVE))
    .sort((a, b) => (a.flags & IFA_F_SECONDARY) - (b.flags & IFA_F_SECONDARY))
    .map((a) => formatAddress(a.address));
}

/** Every address that belongs to this node, loopback and link-local ones left out. */
export function nodeAddresses(network: Network): Address[] {
  return network.links.flatMap((link) => usableAddresses(network, link.ifindex));
}

/** A device of the node's own network: what Cilium detects (docs of `--devices`). */
function isDetected(link: Link, network: Network): boolean {
  const routes = network.routes.filter((r) => r.ifindex === link.ifindex);
  return (
    (link.flags & IFF_UP) !== 0 &&
    (link.flags & IFF_LOOPBACK) === 0 &&
    link.master === 0 &&
    !undetectedPrefixes.some((prefix) => link.name.startsWith(prefix)) &&
    !undetectedKinds.includes(link.kind) &&
    usableAddresses(network, link.ifindex).length > 0 &&
    (link.kind !== 'veth' || routes.some((r) => r.prefixLength === 0)) &&
    routes.some((r) => r.prefixLength === 0 || isGlobalUnicast(r.destination))
  );
}

function isGlobalUnicast(destination: Uint8Array): boolean {
  const [first = 0, second = 0] = destination;
  if (destination.length === 4) return first !== 127 && first < 224 && !(first === 169 && second === 254);
  return first !== 0xff && !(first === 0xfe && (second & 0xc0) === 0x80);
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/**
 * Chooses devices by exact names (`eth0`), prefixes (`lxc+`), exclusions (`!eth9`, `!eth+`) and `auto`. The more
 * specific word wins, and an exclusion wins over its equal: a device is never exposed against an exclusion by name.
 *
 * Throws `ERR_BPF_NO_DEVICE` when a device that is named exactly is missing or cannot carry the programs.
 */
export function selectDevices(patterns: readonly string[], network: Network): DeviceDefinition[] {
  for (const pattern of patterns) checkPattern(pattern);
  const included = patterns.filter((p) => !p.startsWith('!'));
  const excluded = patterns.filter((p) => p.startsWith('!')).map((p) => p.slice(1));
  const named = included.filter((p) => p !== 'auto' && !p.endsWith('+'));
  for (const name of named) checkNamed(name, network);
  const selected = network.links.filter((link) => {
    if (excluded.includes(link.name)) return false;
    if (named.includes(link.name)) return true;
    if (excluded.some((p) => matches(p, link.name)) || !canCarryPrograms(link)) return false;
    return included.some((p) => (p === 'auto' ? isDetected(link, network) : matches(p, link.name)));
  });
  return selected.map((link) => ({
    name: link.name,
    ifindex: link.ifindex,
    role: podPrefixes.some((prefix) => link.name.startsWith(prefix)) ? 'pod' : 'external',
    addresses: usableAddresses(network, link.ifindex),
  }));
}

function canCarryPrograms(link: Link): boolean {
  return link.type === ARPHRD_ETHER && (link.flags & IFF_LOOPBACK) === 0;
}

function checkPattern(pattern: unknown): void {
  const name = typeof pattern === 'string' ? pattern.replace(/^!/, '').replace(/\+$/, '') : '';
  /* The kernel's limit is 15 bytes; it refuses '/' and white space. */
  if (name === '' || Buffer.byteLength(name) > 15 || /[/\s!+]/.test(name)) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      `devices: ${inspect(pattern)} is neither a device name, a prefix with '+', an exclusion with '!', nor 'auto'.`,
    );
  }
}

function checkNamed(name: string, network: Network): void {
  const link = network.links.find((l) => l.name === name);
  if (!link) {
    const names = network.links.map((l) => l.name).join(', ');
    throw new LoadBalancerError(
      'ERR_BPF_NO_DEVICE',
      `There is no device ${name} in this network namespace: it has ${names}.`,
    );
  }
  if (canCarryPrograms(link)) return;
  throw new LoadBalancerError(
    'ERR_BPF_NO_DEVICE',
    `Device ${name} carries no Ethernet frames from outside; select the device that packets arrive on.`,
  );
}

/** The address that source NAT uses on a device: its first of the family, primary ones before secondary ones. */
export function snatSource(device: DeviceDefinition, family: 4 | 6): string | undefined {
  return device.addresses.find((a) => a.family === family)?.text;
}
