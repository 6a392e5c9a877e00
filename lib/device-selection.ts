import { inspect } from 'node:util';

import { type Address, type Family, formatAddress } from './address';
import { LoadBalancerError } from './errors';
import type { LinkLayer } from './programs';
import type { Network } from '../types/native';

/** Where a device leads: to clients and other nodes, or to pods of this node. */
export type DeviceRole = 'external' | 'pod';

/** A device that carries the programs, as it was when it was selected. */
export interface DeviceDefinition {
  readonly name: string;
  readonly ifindex: number;
  readonly role: DeviceRole;
  readonly layer: LinkLayer;
  /** Of global scope: IPv4 first, the oldest of a family first, secondary, temporary and deprecated ones last. */
  readonly addresses: readonly Address[];
  /** Other nodes are reached through it. At most one of those that are selected. */
  readonly directRouting: boolean;
  /** One of a pair, the other of which is in another network namespace. */
  readonly paired: boolean;
}

/** How devices are chosen, apart from their patterns. */
export interface SelectionOptions {
  /** Name or prefix of the direct routing device. By default the only external device, or that of the default route. */
  readonly directRouting?: string | undefined;
  /** What is missing now is waited for, and no error. Default false. */
  readonly wait?: boolean;
}

type Link = Network['links'][number];

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const RT_SCOPE_UNIVERSE = 0;
const RT_TABLE_MAIN = 254;
const IFA_F_SECONDARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;

/** By ARPHRD_*: Ethernet; PPP, raw IP, and what has no link layer (tun, WireGuard). */
const layers: Readonly<Record<number, LinkLayer>> = { 1: 'ethernet', 512: 'ip', 519: 'ip', 65534: 'ip' };

/** Names that container networks give to the node's end of a pod's link, or to the bridge of such ends. */
const podPrefixes = ['lxc', 'cali', 'veth', 'cni', 'docker'];

/** Kinds of devices that are made two at a time. */
const pairs = ['veth', 'netkit'];

const undetectedPrefixes = ['cilium_', 'lo', 'lxc', 'cni', 'docker'];
const undetectedKinds = ['bridge', 'openvswitch', 'ipoib'];

function usableAddresses(network: Network, ifindex: number): Address[] {
  const usable = network.addresses
    .filter((a) => a.ifindex === ifindex && a.scope === RT_SCOPE_UNIVERSE)
    .filter((a) => !(a.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)));
  const ipv4 = usable.filter((a) => a.address.length === 4);
  /* The kernel lists these from the newest to the oldest: a new one must not take the place of the first. */
  const ipv6 = usable.filter((a) => a.address.length === 16).reverse();
  const rank = (flags: number) => (flags & (IFA_F_SECONDARY | IFA_F_DEPRECATED) ? 1 : 0);
  return [ipv4, ipv6].flatMap((addresses) =>
    addresses.sort((a, b) => rank(a.flags) - rank(b.flags)).map((a) => formatAddress(a.address)),
  );
}

/** Every device of the node, with its addresses; those of loopback and link-local scope are left out. */
export function nodeDevices(network: Network): Pick<DeviceDefinition, 'role' | 'addresses'>[] {
  return network.links.map(({ name, ifindex }) => ({
    role: roleOf(name),
    addresses: usableAddresses(network, ifindex),
  }));
}

/** By its name. */
export function roleOf(name: string): DeviceRole {
  return podPrefixes.some((prefix) => name.startsWith(prefix)) ? 'pod' : 'external';
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
 * @throws LoadBalancerError `ERR_BPF_INVALID_OPTION` for what is no pattern. Unless it waits: `ERR_BPF_NO_DEVICE` when
 *   a device that is named exactly is missing or cannot carry the programs, `ERR_BPF_INVALID_OPTION` when not exactly
 *   one external device is the direct routing device that was asked for.
 */
export function selectDevices(
  patterns: readonly string[],
  network: Network,
  { directRouting, wait = false }: SelectionOptions = {},
): DeviceDefinition[] {
  for (const pattern of patterns) checkPattern(pattern);
  const included = patterns.filter((p) => !p.startsWith('!'));
  const excluded = patterns.filter((p) => p.startsWith('!')).map((p) => p.slice(1));
  const named = included.filter((p) => p !== 'auto' && !p.endsWith('+'));
  if (!wait) for (const name of named) checkNamed(name, network);
  const selected = network.links.flatMap((link) => {
    const layer = layerOf(link);
    if (layer === undefined || excluded.includes(link.name)) return [];
    if (named.includes(link.name)) return define(link, layer, network);
    if (excluded.some((p) => matches(p, link.name))) return [];
    const chosen = included.some((p) => (p === 'auto' ? isDetected(link, network) : matches(p, link.name)));
    return chosen ? define(link, layer, network) : [];
  });
  const direct = directRoutingDevice(selected, network, directRouting, wait);
  return selected.map((device) => ({ ...device, directRouting: device === direct }));
}

/** Undefined: it cannot carry the programs. */
function layerOf(link: Link): LinkLayer | undefined {
  return (link.flags & IFF_LOOPBACK) === 0 ? layers[link.type] : undefined;
}

function define(link: Link, layer: LinkLayer, network: Network): DeviceDefinition {
  const { name, ifindex } = link;
  const addresses = usableAddresses(network, ifindex);
  const paired = pairs.includes(link.kind) && link.leadsToAnotherNamespace;
  return { name, ifindex, role: roleOf(name), layer, addresses, directRouting: false, paired };
}

function directRoutingDevice(
  selected: readonly DeviceDefinition[],
  network: Network,
  pattern: string | undefined,
  wait: boolean,
): DeviceDefinition | undefined {
  const external = selected.filter((device) => device.role === 'external');
  if (pattern === undefined) return external.length === 1 ? external[0] : byDefaultRoute(external, network);
  const fit = external.filter((device) => matches(pattern, device.name));
  if (fit.length === 1 || external.length === 0 || wait) return fit.length === 1 ? fit[0] : undefined;
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_OPTION',
    `directRoutingDevice: ${inspect(pattern)} has to be one of the selected external devices, ` +
      `${external.map(({ name }) => name).join(', ')}: ${fit.length === 0 ? 'none is' : 'several are'}.`,
  );
}

/** IPv4's before IPv6's, and of several the one that the kernel prefers. */
function byDefaultRoute(
  external: readonly DeviceDefinition[],
  network: Network,
): DeviceDefinition | undefined {
  const [first] = network.routes
    .filter((r) => r.prefixLength === 0 && r.table === RT_TABLE_MAIN)
    .filter((r) => external.some(({ ifindex }) => ifindex === r.ifindex))
    .sort((a, b) => a.family - b.family || a.metric - b.metric);
  return external.find(({ ifindex }) => ifindex === first?.ifindex);
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
  if (layerOf(link)) return;
  throw new LoadBalancerError(
    'ERR_BPF_NO_DEVICE',
    `Device ${name} carries no packets from outside; select the device that they arrive on.`,
  );
}

/**
 * The address that source NAT uses on a device: its first of the family. A device without one, as pods' devices often
 * are, uses that of the direct routing device, or else of another external device.
 */
export function snatSource(
  device: DeviceDefinition,
  family: Family,
  selected: readonly DeviceDefinition[],
): string | undefined {
  const external = selected.filter(({ role }) => role === 'external');
  const candidates = [device, ...external.filter((d) => d.directRouting), ...external];
  return candidates.flatMap(({ addresses }) => addresses).find((a) => a.family === family)?.text;
}
