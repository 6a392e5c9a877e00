import type { DeviceDefinition, DeviceRole } from './device-selection';
import type { Hook } from './hooks';

/** A selected device. Live: after it was deselected, `selected` is false. */
export class Device {
  readonly name: string;
  readonly ifindex: number;
  /** Where it leads: to clients and other nodes, or to pods of this node. */
  readonly role: DeviceRole;
  #addresses: readonly string[];
  #hooks: readonly Hook[];

  /** @internal */
  constructor(definition: DeviceDefinition, hooks: readonly Hook[]) {
    this.name = definition.name;
    this.ifindex = definition.ifindex;
    this.role = definition.role;
    this.#addresses = definition.addresses.map((a) => a.text);
    this.#hooks = hooks;
  }

  /** Addresses of global scope when the device was last looked at. */
  get addresses(): readonly string[] {
    return this.#addresses;
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
  refresh(definition: DeviceDefinition): void {
    this.#addresses = definition.addresses.map((a) => a.text);
  }

  /** @internal */
  detach(): void {
    /* Ingress goes first: what it has translated still finds its way back. */
    for (const { link } of [...this.#hooks].reverse()) link.detach();
    this.#hooks = [];
  }
}
