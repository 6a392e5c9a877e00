import { AddressFlag } from './abi';
import { type Address, type Family } from './address';
import { Device } from './device';
import { type DeviceDefinition, nodeAddresses, selectDevices, snatSource } from './device-selection';
import { encodeAddress, encodeAddressInfo, encodeDevice, encodeUint32 } from './encode';
import { attempt } from './errors';
import { allOrNone, type Hook, type Hooks } from './hooks';
import { devicePrograms } from './programs';
import type { Datapath, MapOperation, Native } from '../types/native';

interface AddressEntry {
  readonly address: Address;
  readonly flags: number;
}

/**
 * The selected devices and the addresses of this node, in the kernel and here. Writes the tables that say so: no
 * address answers NodePorts before its device has programs, and none does after they are gone.
 */
export class DeviceLayer {
  readonly #native: Native;
  readonly #datapath: Datapath;
  readonly #hooks: Hooks;
  #devices: Device[] = [];
  #tables: Tables = { selected: [], addresses: new Map() };

  constructor(native: Native, datapath: Datapath, hooks: Hooks) {
    this.#native = native;
    this.#datapath = datapath;
    this.#hooks = hooks;
  }

  get devices(): readonly Device[] {
    return this.#devices;
  }

  /** Every address of this node, canonical. */
  get nodeAddresses(): ReadonlySet<string> {
    return new Set(this.#tables.addresses.keys());
  }

  /** Addresses that answer NodePorts from outside. */
  nodePortAddresses(family: Family): string[] {
    return [...this.#tables.addresses.values()]
      .filter(({ address, flags }) => address.family === family && flags & AddressFlag.NODEPORT)
      .map(({ address }) => address.text);
  }

  /**
   * Brings devices and addresses to what the patterns select now. On failure no device is exposed that was not
   * before. Throws `ERR_BPF_NO_DEVICE`, `ERR_BPF_INVALID_OPTION` and kernel errors.
   */
  async select(patterns: readonly string[]): Promise<void> {
    const network = await attempt('read the network configuration', () => this.#native.network());
    const selected = selectDevices(patterns, network);
    /* A device whose program somebody took off is attached anew. */
    const kept = this.#devices.filter((d) => d.attached && selected.some((s) => isSame(d, s)));
    const gone = this.#devices.filter((d) => !kept.includes(d));
    /* Their pins have the names that the new ones need. */
    for (const device of gone) if (selected.some((s) => s.ifindex === device.ifindex)) device.detach();
    const added = await this.#attach(selected.filter((s) => !kept.some((d) => isSame(d, s))));
    const next = { selected, addresses: addressEntries(nodeAddresses(network), selected) };
    try {
      await attempt('write the device tables', () => this.#datapath.commit(tableChange(this.#tables, next)));
    } catch (error) {
      await this.#datapath.commit(tableChange(next, this.#tables)).catch(() => undefined);
      for (const device of added) device.detach();
      throw error;
    }
    for (const device of gone) device.detach();
    for (const device of kept) device.refresh(selected.find((s) => isSame(device, s)) as DeviceDefinition);
    this.#devices = selected.map((s) => [...kept, ...added].find((d) => isSame(d, s)) as Device);
    this.#tables = next;
  }

  detach(): void {
    for (const device of this.#devices) device.detach();
    this.#devices = [];
  }

  #attach(definitions: readonly DeviceDefinition[]): Promise<Device[]> {
    return allOrNone(
      definitions,
      async (definition) => new Device(definition, await this.#attachPrograms(definition)),
      (device) => device.detach(),
    );
  }

  #attachPrograms(definition: DeviceDefinition): Promise<Hook[]> {
    return allOrNone(
      Object.entries(devicePrograms),
      ([program, direction]) => this.#hooks.attachDevice(program, definition, direction),
      ({ link }) => link.detach(),
    );
  }
}

/** What the kernel's tables of devices and addresses say. */
interface Tables {
  readonly selected: readonly DeviceDefinition[];
  /** By text. */
  readonly addresses: ReadonlyMap<string, AddressEntry>;
}

function tableChange(from: Tables, to: Tables): MapOperation[] {
  const gone = from.selected.filter(({ ifindex }) => !to.selected.some((s) => s.ifindex === ifindex));
  return [
    ...to.selected.map(deviceUpdate),
    ...addressChange(from.addresses, to.addresses),
    ...gone.map(({ ifindex }): MapOperation => ({
      map: 'devices',
      kind: 'delete',
      keys: encodeUint32(ifindex),
    })),
  ];
}

function addressChange(from: Tables['addresses'], to: Tables['addresses']): MapOperation[] {
  const stale = [...from.values()].filter(({ address }) => !to.has(address.text));
  return [
    ...stale.map(({ address: { family, text } }): MapOperation => ({
      map: `addresses${family}`,
      kind: 'delete',
      keys: encodeAddress(family, text),
    })),
    ...[...to.values()].map(({ address: { family, text }, flags }): MapOperation => ({
      map: `addresses${family}`,
      kind: 'update',
      keys: encodeAddress(family, text),
      values: encodeAddressInfo(flags),
    })),
  ];
}

function isSame(device: Device, definition: DeviceDefinition): boolean {
  return (
    device.ifindex === definition.ifindex &&
    device.name === definition.name &&
    device.role === definition.role
  );
}

function deviceUpdate(device: DeviceDefinition): MapOperation {
  return {
    map: 'devices',
    kind: 'update',
    keys: encodeUint32(device.ifindex),
    values: encodeDevice(device.role, snatSource(device, 4), snatSource(device, 6)),
  };
}

/** Addresses of external devices that are selected answer NodePorts; all others of the node are just its own. */
function addressEntries(
  all: readonly Address[],
  selected: readonly DeviceDefinition[],
): Map<string, AddressEntry> {
  const entries = new Map<string, AddressEntry>();
  for (const address of all) entries.set(address.text, { address, flags: AddressFlag.NODE });
  for (const { role, addresses } of selected) {
    if (role !== 'external') continue;
    for (const address of addresses) {
      entries.set(address.text, { address, flags: AddressFlag.NODE | AddressFlag.NODEPORT });
    }
  }
  return entries;
}
