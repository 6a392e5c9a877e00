import { AddressFlag } from './abi';
import { type Address, type Family, families, formatAddress } from './address';
import { type DeviceDefinition, type DeviceRole, snatSource } from './device-selection';
import { elementsOf } from './dump';
import { encodeAddress, encodeAddressInfo, encodeDevice, encodeUint32 } from './encode';
import { answersNodePorts, type NodePortAddresses } from './node-addresses';
import type { Datapath, MapOperation } from '../types/native';

/** An address of this node, and what it answers. */
export interface AddressEntry {
  readonly address: Address;
  /** Answers NodePorts. */
  readonly nodePort: boolean;
  /** Of a selected external device: answers from outside, HostPorts without a hostIP included. */
  readonly external: boolean;
}

/** What the kernel's tables of devices and addresses hold, in the order in which it is written. */
export type DeviceTables = ReadonlyMap<string, TableEntry>;

interface TableEntry {
  readonly map: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * By text. Addresses of selected external devices answer from outside; while none is selected, those of all devices but
 * pods' answer sockets of this node alone.
 */
export function addressEntries(
  all: readonly Pick<DeviceDefinition, 'role' | 'addresses'>[],
  selected: readonly DeviceDefinition[],
  rule: NodePortAddresses,
): Map<string, AddressEntry> {
  const entries = new Map<string, AddressEntry>();
  for (const address of all.flatMap(({ addresses }) => addresses)) {
    entries.set(address.text, { address, nodePort: false, external: false });
  }
  const isExternal = ({ role }: { role: DeviceRole }) => role === 'external';
  const external = selected.some(isExternal);
  for (const { addresses } of (external ? selected : all).filter(isExternal)) {
    const primary = families.map((family) => addresses.find((a) => a.family === family));
    for (const address of addresses) {
      const nodePort =
        entries.get(address.text)?.nodePort || answersNodePorts(rule, address, primary.includes(address));
      entries.set(address.text, { address, nodePort, external });
    }
  }
  return entries;
}

/** Addresses that answer a frontend without an address of its own, from outside. */
export function wildcardAddresses(
  addresses: ReadonlyMap<string, AddressEntry>,
  type: 'NodePort' | 'HostPort',
  family: Family,
): readonly string[] {
  return [...addresses.values()]
    .filter(({ address, nodePort, external }) => {
      return address.family === family && external && (type === 'HostPort' || nodePort);
    })
    .map(({ address }) => address.text);
}

/** The tables' contents, of the devices and of {@link addressEntries}. */
export function deviceTables(
  selected: readonly DeviceDefinition[],
  addresses: ReadonlyMap<string, AddressEntry>,
  redirectPeer: boolean,
): DeviceTables {
  const tables = new Map<string, TableEntry>();
  for (const device of selected) {
    const source = (family: Family) => snatSource(device, family, selected);
    tables.set(`device ${device.ifindex}`, {
      map: 'devices',
      key: encodeUint32(device.ifindex),
      value: encodeDevice(device.role, source(4), source(6), redirectPeer && device.paired),
    });
  }
  for (const { address, nodePort, external } of addresses.values()) {
    const flags =
      AddressFlag.NODE | (nodePort ? AddressFlag.NODEPORT : 0) | (external ? AddressFlag.EXTERNAL : 0);
    tables.set(`address ${address.text}`, {
      map: `addresses${address.family}`,
      key: encodeAddress(address.family, address.text),
      value: encodeAddressInfo(flags),
    });
  }
  return tables;
}

/** What the kernel's tables hold. */
export async function readDeviceTables(datapath: Pick<Datapath, 'dump'>): Promise<DeviceTables> {
  const tables = new Map<string, TableEntry>();
  for (const map of ['devices', 'addresses4', 'addresses6'] as const) {
    for (const { key, value } of elementsOf(await datapath.dump(map))) {
      tables.set(map === 'devices' ? `device ${decodeUint32(key)}` : `address ${formatAddress(key).text}`, {
        map,
        key,
        value,
      });
    }
  }
  return tables;
}

/** Addresses of this node, as the tables have them. */
export function nodeAddressesOf(tables: DeviceTables): Set<string> {
  const prefix = 'address ';
  return new Set(
    [...tables.keys()].filter((name) => name.startsWith(prefix)).map((n) => n.slice(prefix.length)),
  );
}

/** The same as {@link wildcardAddresses}, of what the tables have. */
export function wildcardTexts(
  tables: DeviceTables,
  type: 'NodePort' | 'HostPort',
  family: Family,
): readonly string[] {
  const needed = AddressFlag.EXTERNAL | (type === 'NodePort' ? AddressFlag.NODEPORT : 0);
  return [...tables.values()]
    .filter(({ map, value }) => map === `addresses${family}` && (decodeUint32(value) & needed) === needed)
    .map(({ key }) => formatAddress(key).text);
}

function decodeUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** What is new or different is written first, devices before their addresses; what has gone goes the other way. */
export function tableChange(from: DeviceTables, to: DeviceTables): MapOperation[] {
  const operations: MapOperation[] = [];
  for (const [name, { map, key, value }] of to) {
    const before = from.get(name)?.value;
    if (before && Buffer.compare(before, value) === 0) continue;
    operations.push({ map, kind: 'update', keys: key, values: value });
  }
  for (const [name, { map, key }] of [...from].reverse()) {
    if (!to.has(name)) operations.push({ map, kind: 'delete', keys: key });
  }
  return operations;
}
