import { constants } from 'node:os';
import { setTimeout } from 'node:timers/promises';

import type { Family } from './address';
import { Device } from './device';
import { type DeviceDefinition, nodeDevices, selectDevices } from './device-selection';
import {
  type AddressEntry,
  addressEntries,
  type DeviceTables,
  deviceTables,
  nodeAddressesOf,
  readDeviceTables,
  tableChange,
  wildcardAddresses,
} from './device-tables';
import { attempt, KernelError, LoadBalancerError } from './errors';
import { deviceHookStates, type HookState, isLost } from './hook-loss';
import { allOrNone, type Hook, type Hooks } from './hooks';
import type { NodePortAddresses } from './node-addresses';
import { devicePrograms } from './programs';
import type { Datapath, Native } from '../types/native';

/** Milliseconds: the kernel takes the programs off a device that goes, and has it among the others for a while yet. */
const farewell = 250;

/** What was decided about devices when the LoadBalancer was opened. */
export interface DevicePolicy {
  readonly nodePortAddresses: NodePortAddresses;
  /** Name or prefix. */
  readonly directRoutingDevice: string | undefined;
  readonly redirectPeer: boolean;
}

/** What became of the selected devices, by name. */
export interface DeviceChange {
  readonly added: readonly string[];
  /** A device that was made again under its name is added, too. */
  readonly removed: readonly string[];
  /** Another name, role or addresses, other routing, or programs that were attached anew. */
  readonly changed: readonly string[];
}

/** A device with its programs, before the tables know it. */
interface Armed {
  readonly definition: DeviceDefinition;
  readonly device: Device | undefined;
  readonly hooks: readonly Hook[];
  readonly fresh: readonly Hook[];
}

/**
 * The selected devices and the addresses of this node, in the kernel and here. Writes the tables that say so: no
 * address answers NodePorts before its device has programs, and none does after they are gone.
 */
export class DeviceLayer {
  readonly #native: Native;
  readonly #datapath: Datapath;
  readonly #hooks: Hooks;
  readonly #policy: DevicePolicy;
  readonly #onChange: (change: DeviceChange) => void;
  #devices: readonly Device[] = [];
  #addresses: ReadonlyMap<string, AddressEntry> = new Map();
  #tables: DeviceTables = new Map();

  /** `onChange` is told of every selection that differs from the one before; it must not throw. */
  constructor(
    native: Native,
    datapath: Datapath,
    hooks: Hooks,
    policy: DevicePolicy,
    onChange: (change: DeviceChange) => void = () => undefined,
  ) {
    this.#native = native;
    this.#datapath = datapath;
    this.#hooks = hooks;
    this.#policy = policy;
    this.#onChange = onChange;
  }

  get devices(): readonly Device[] {
    return this.#devices;
  }

  /**
   * Begins with what an earlier process left in the tables, instead of empty ones. Before any selection. Resolves with
   * the addresses of this node as they were then.
   */
  async adopt(): Promise<ReadonlySet<string>> {
    this.#tables = await readDeviceTables(this.#datapath);
    return nodeAddressesOf(this.#tables);
  }

  /** Names of those that lead outside. */
  get externalDevices(): readonly string[] {
    return this.#devices.filter(({ role }) => role === 'external').map(({ name }) => name);
  }

  /** Every address of this node, canonical. */
  get nodeAddresses(): ReadonlySet<string> {
    return new Set(this.#addresses.keys());
  }

  /** Addresses that answer a frontend without an address of its own, from outside. */
  wildcardAddresses(type: 'NodePort' | 'HostPort', family: Family): readonly string[] {
    return wildcardAddresses(this.#addresses, type, family);
  }

  /**
   * Brings devices and addresses to what the patterns select now; on failure both are as they were. `wait`: devices
   * that are named and missing, or that vanish meanwhile, are left out.
   *
   * @throws LoadBalancerError `ERR_BPF_NO_DEVICE`, `ERR_BPF_INVALID_OPTION`, and those of kernel calls.
   */
  async select(patterns: readonly string[], wait = false): Promise<void> {
    const network = await attempt('read the network configuration', () => this.#native.network());
    const directRouting = this.#policy.directRoutingDevice;
    const armed = await this.#armAll(selectDevices(patterns, network, { directRouting, wait }), wait);
    const change = this.#changeTo(armed);
    await this.#write(
      armed,
      addressEntries(nodeDevices(network), definitionsOf(armed), this.#policy.nodePortAddresses),
    );
    this.#adopt(armed);
    if (change.added.length + change.removed.length + change.changed.length > 0) this.#onChange(change);
  }

  /** Every program of the devices that there are, and whether it is on its hook. */
  async look(): Promise<HookState[]> {
    const look = () => this.#devices.flatMap(({ name, hooks }) => deviceHookStates(name, hooks));
    const states = look();
    if (!states.some(isLost)) return states;
    /* The programs of a device that has gone are nobody's loss: that is for select(). */
    let present = await this.#present();
    if (look().some((state) => isLost(state) && present.has(state.where))) {
      await setTimeout(farewell);
      present = await this.#present();
    }
    return look().filter(({ where }) => present.has(where));
  }

  /** Names of the devices that there still are. */
  async #present(): Promise<Set<string>> {
    const { links } = await attempt('read the network configuration', () => this.#native.network());
    const indexes = new Set(links.map(({ ifindex }) => ifindex));
    return new Set(this.#devices.filter(({ ifindex }) => indexes.has(ifindex)).map(({ name }) => name));
  }

  /** Puts back programs that others took off devices; rejects with the first that the kernel refused. */
  async repair(): Promise<void> {
    const failures: unknown[] = [];
    for (const device of this.#devices) {
      try {
        const { definition, hooks } = await this.#arm(device.definition);
        device.update(definition, hooks);
      } catch (error) {
        if (!isGone(error)) failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  detach(): void {
    for (const device of this.#devices) device.detach();
    this.#devices = [];
  }

  async #armAll(definitions: readonly DeviceDefinition[], wait: boolean): Promise<Armed[]> {
    const armed = await allOrNone(
      definitions,
      async (definition) => {
        try {
          return await this.#arm(definition);
        } catch (error) {
          if (wait && isGone(error)) return undefined;
          throw error;
        }
      },
      (one) => one && this.#disarm(one),
    );
    return armed.filter((one) => one !== undefined);
  }

  /** Attaches the programs that the device lacks; what it has stays where it is. */
  async #arm(definition: DeviceDefinition): Promise<Armed> {
    const programs = Object.entries(devicePrograms[definition.layer]);
    const device = this.#devices.find(({ ifindex }) => ifindex === definition.ifindex);
    const alive = device?.hooks.filter(({ link }) => link.attached()) ?? [];
    /* Of a hook that somebody took off the pin is left, in the way of the next one's. */
    for (const hook of device?.hooks ?? []) if (!alive.includes(hook)) hook.link.detach();
    const fresh = await allOrNone(
      programs.filter(([program]) => !alive.some((hook) => hook.program === program)),
      ([program, direction]) => this.#hooks.attachDevice(program, definition, direction),
      (hook) => this.#hooks.takeBack(hook),
    );
    const all = [...alive, ...fresh];
    const hooks = programs.flatMap(([program]) => all.find((hook) => hook.program === program) ?? []);
    return { definition, device, hooks, fresh };
  }

  /** What the device had before stays. */
  #disarm({ fresh }: Armed): void {
    for (const hook of [...fresh].reverse()) this.#hooks.takeBack(hook);
  }

  #changeTo(armed: readonly Armed[]): DeviceChange {
    const nameOf = ({ definition }: Armed) => definition.name;
    return {
      added: armed.filter(({ device }) => !device).map(nameOf),
      removed: this.#gone(armed).map(({ name }) => name),
      changed: armed
        .filter(({ device, definition, fresh }) => device && (fresh.length > 0 || !device.is(definition)))
        .map(nameOf),
    };
  }

  #gone(armed: readonly Armed[]): Device[] {
    return this.#devices.filter((device) => !armed.some((one) => one.device === device));
  }

  async #write(armed: readonly Armed[], addresses: ReadonlyMap<string, AddressEntry>): Promise<void> {
    const tables = deviceTables(definitionsOf(armed), addresses, this.#policy.redirectPeer);
    const change = tableChange(this.#tables, tables);
    try {
      if (change.length > 0) await attempt('write the device tables', () => this.#datapath.commit(change));
    } catch (error) {
      await this.#datapath.commit(tableChange(tables, this.#tables)).catch(() => undefined);
      for (const one of armed) this.#disarm(one);
      throw error;
    }
    this.#addresses = addresses;
    this.#tables = tables;
  }

  #adopt(armed: readonly Armed[]): void {
    for (const device of this.#gone(armed)) device.detach();
    this.#devices = armed.map(({ definition, device, hooks }) => {
      if (!device) return new Device(definition, hooks);
      device.update(definition, hooks);
      return device;
    });
  }
}

function definitionsOf(armed: readonly Armed[]): DeviceDefinition[] {
  return armed.map(({ definition }) => definition);
}

/** It has vanished since it was listed. */
function isGone(error: unknown): boolean {
  if (error instanceof KernelError) return error.errno === -constants.errno.ENODEV;
  return error instanceof LoadBalancerError && error.code === 'ERR_BPF_NO_DEVICE';
}
