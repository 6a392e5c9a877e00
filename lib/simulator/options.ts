import { inspect } from 'node:util';

import { parseAddress } from '../address';
import { type DeviceDefinition, type DeviceRole, roleOf } from '../device-selection';
import { type AddressEntry, addressEntries } from '../device-tables';
import { LoadBalancerError } from '../errors';
import { type OpenOptions, type Options, parseOptions } from '../options';
import { Place } from '../place';

/** What `Simulator.open` takes: a node, and those options of a LoadBalancer that decide who is served, and how. */
export interface SimulatorOptions extends Pick<
  OpenOptions,
  | 'algorithm'
  | 'capacity'
  | 'externalClusterIP'
  | 'externalIPRanges'
  | 'maglevTableSize'
  | 'masqueradeAll'
  | 'masqueradeExternalClusterIP'
  | 'masqueradeLocal'
  | 'noBackend'
  | 'nodePortAddresses'
  | 'nodePortRange'
  | 'serviceCIDRs'
  | 'snatPorts'
  | 'socketLB'
> {
  /** Default: a node without addresses and devices. */
  node?: SimulatedNode;
  /** Seconds of the clock that session affinity goes by. Default: a monotonic clock of the machine. */
  now?: () => number;
}

/** A node's network, as far as services depend on it. */
export interface SimulatedNode {
  /** Of a device that is not selected, the primary ones first. What has loopback or link-local scope does not count. */
  addresses?: readonly string[];
  devices?: readonly SimulatedDevice[];
}

/** A device of a simulated node. */
export interface SimulatedDevice {
  name: string;
  /** Default: by the name, as a LoadBalancer tells them apart. */
  role?: DeviceRole;
  /** The first of a family is its primary one. */
  addresses?: readonly string[];
  /** Carries programs: packets that come in through it are looked at. Default true. */
  selected?: boolean;
}

/** A node as the tables want to have it. */
export interface NodeDefinition {
  /** Those that are selected. */
  readonly devices: readonly DeviceDefinition[];
  readonly addresses: ReadonlyMap<string, AddressEntry>;
}

/** Validates what is the LoadBalancer's, too. */
export function parsePolicyOptions(options: SimulatorOptions): Options {
  return parseOptions(options);
}

/** @throws LoadBalancerError `ERR_BPF_INVALID_OPTION`, `ERR_BPF_INVALID_ADDRESS`, with the place. */
export function parseNode(node: SimulatedNode = {}, { nodePortAddresses }: Options): NodeDefinition {
  const further = { role: 'external' as const, addresses: parseAddresses(node.addresses, 'node: addresses') };
  const parsed = list(node.devices, 'node: devices').map((device, i) =>
    parseDevice(device as SimulatedDevice, i),
  );
  const devices = parsed.filter(({ selected }) => selected).map(({ definition }) => definition);
  const all = [...parsed.map(({ definition }) => definition), further];
  return { devices, addresses: addressEntries(all, devices, nodePortAddresses) };
}

function parseDevice(
  device: SimulatedDevice,
  index: number,
): { definition: DeviceDefinition; selected: boolean } {
  const place = `node: devices[${index}]`;
  const { name, selected = true } = device;
  if (typeof name !== 'string' || name === '') throw invalid(`${place}.name`, name, 'is not a name');
  const { role = roleOf(name) } = device;
  if (role !== 'external' && role !== 'pod')
    throw invalid(`${place}.role`, role, "is neither 'external' nor 'pod'");
  const definition: DeviceDefinition = {
    name,
    ifindex: index + 1,
    role,
    layer: 'ethernet',
    addresses: parseAddresses(device.addresses, `${place}: addresses`),
    directRouting: false,
    paired: false,
  };
  return { definition, selected };
}

function parseAddresses(addresses: readonly string[] | undefined, name: string) {
  return list(addresses, name).map((address, i) => parseAddress(address, new Place(`${name}[${i}]`)));
}

function list(value: unknown, name: string): readonly unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw invalid(name, value, 'is not an array');
}

function invalid(name: string, value: unknown, why: string): LoadBalancerError {
  return new LoadBalancerError('ERR_BPF_INVALID_OPTION', `${name}: ${inspect(value)} ${why}.`);
}
