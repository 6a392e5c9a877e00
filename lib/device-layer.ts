import { AddressFlag } from './abi';
import { type Address, families, type Family } from './address';
import { Device } from './device';
import { type DeviceDefinition, nodeAddresses, selectDevices, snatSource } from './device-selection';
import { encodeAddress, encodeAddressInfo, encodeDevice, encodeUint32 } from './encode';
import { attempt } from './errors';
import type { Hook, Hooks } from './hooks';
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
  #addresses = new Map<string, AddressEntry>();

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
    return new Set(this.#addresses.keys());
  }

  /** Addresses that answer NodePorts from outside. */
  nodePortAddresses(family: Family): string[] {
    return [...this.#addresses.values()]
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
    const kept = this.#devices.filter((d) => selected.some((s) => isSame(d, s)));
    const gone = this.#devices.filter((d) => !kept.includes(d));
    const added = await this.#attach(selected.filter((s) => !kept.some((d) => isSame(d, s))));
    const addresses = addressEntries(nodeAddresses(network), selected);
    try {
      await attempt('write the device tables', () =>
        this.#datapath.commit([
          ...selected.map(deviceUpdate),
          ...this.#addressOperations(addresses),
          ...gone.map(({ ifindex }): MapOperation => ({
            map: 'devices',
            kind: 'delete',
            keys: encodeUint32(ifindex),
          })),
        ]),
      );
    } catch (error) {
      for (const device of added) device.detach();
      throw error;
    }
    for (const device of gone) device.detach();
    for (const device of kept) device.refresh(selected.find((s) => isSame(device, s)) as DeviceDefinition);
    this.#devices = selected.map((s) => [...kept, ...added].find((d) => isSame(d, s)) as Device);
    this.#addresses = addresses;
  }

  detach(): void {
    for (const device of this.#devices) device.detach();
    this.#devices = [];
  }

  async #attach(definitions: readonly DeviceDefinition[]): Promise<Device[]> {
    const devices: Device[] = [];
    try {
      for (const definition of definitions) devices.push(await this.#attachOne(definition));
    } catch (error) {
      for (const device of devices) device.detach();
      throw error;
    }
    return devices;
  }

  async #attachOne(definition: DeviceDefinition): Promise<Device> {
    const hooks: Hook[] = [];
    try {
      for (const [program, direction] of Object.entries(devicePrograms)) {
        hooks.push(await this.#hooks.attachDevice(program, definition, direction));
      }
    } catch (error) {
      for (const { link } of hooks) link.detach();
      throw error;
    }
    return new Device(definition, hooks);
  }

  #addressOperations(next: ReadonlyMap<string, AddressEntry>): MapOperation[] {
    return families.flatMap((family): MapOperation[] => {
      const map = `addresses${family}`;
      const stale = [...this.#addresses].filter(
        ([text, { address }]) => address.family === family && !next.has(text),
      );
      const current = [...next.values()].filter(({ address }) => address.family === family);
      return [
        ...stale.map(([text]): MapOperation => ({ map, kind: 'delete', keys: encodeAddress(family, text) })),
        ...current.map(({ address, flags }): MapOperation => ({
          map,
          kind: 'update',
          keys: encodeAddress(family, address.text),
          values: encodeAddressInfo(flags),
        })),
      ];
    });
  }
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
