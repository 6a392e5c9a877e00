import { isDeepStrictEqual } from 'node:util';

import type { DeviceDefinition, DeviceRole } from './device-selection';
import type { Hook } from './hooks';

/** A selected device. Live: the properties follow the device; after it was deselected, `selected` is false. */
export class Device {
  #definition: DeviceDefinition;
  #hooks: readonly Hook[];

  /** @internal */
  constructor(definition: DeviceDefinition, hooks: readonly Hook[]) {
    this.#definition = definition;
    this.#hooks = hooks;
  }

  /** As it was last seen: devices can be renamed. */
  get name(): string {
    return this.#definition.name;
  }

  /** What it is to the kernel. A device that is made again under the same name is another one. */
  get ifindex(): number {
    return this.#definition.ifindex;
  }

  /** Where it leads: to clients and other nodes, or to pods of this node. */
  get role(): DeviceRole {
    return this.#definition.role;
  }

  /** Other nodes are reached through it, and its addresses are the source of SNAT on devices that have none. */
  get directRouting(): boolean {
    return this.#definition.directRouting;
  }

  /** Addresses of global scope when the device was last looked at. */
  get addresses(): readonly string[] {
    return this.#definition.addresses.map((a) => a.text);
  }

  /** Programs by their name, and how they are attached. Empty once the device was deselected. */
  get programs(): readonly {
    readonly name: string;
    readonly attachment: 'tcx' | 'clsact';
    readonly attached: boolean;
  }[] {
    return this.#hooks.map(({ program, attachment, link }) => ({
      name: program,
      attachment: attachment as 'tcx' | 'clsact',
      attached: link.attached(),
    }));
  }

  /** Every program is where it was attached. */
  get attached(): boolean {
    return this.#hooks.length > 0 && this.#hooks.every(({ link }) => link.attached());
  }

  get selected(): boolean {
    return this.#hooks.length > 0;
  }

  /** @internal */
  get hooks(): readonly Hook[] {
    return this.#hooks;
  }

  /** @internal */
  get definition(): DeviceDefinition {
    return this.#definition;
  }

  /** @internal Whether it already is what the definition says. */
  is(definition: DeviceDefinition): boolean {
    return isDeepStrictEqual(this.#definition, definition);
  }

  /** @internal */
  update(definition: DeviceDefinition, hooks: readonly Hook[]): void {
    this.#definition = definition;
    this.#hooks = hooks;
  }

  /** @internal */
  detach(): void {
    /* Ingress goes first: what it has translated still finds its way back. */
    for (const { link } of [...this.#hooks].reverse()) link.detach();
    this.#hooks = [];
  }
}
