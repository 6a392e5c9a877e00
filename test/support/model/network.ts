import type { OpenOptions } from '../../../lib/options';

/** A device of the node, as the model knows it. */
export interface ModelDevice {
  readonly name: string;
  /** What its name makes it. */
  readonly kind: 'external' | 'pod';
  readonly selected: boolean;
  /** The first of each family is the primary one. */
  readonly addresses: readonly string[];
}

/** A node: what the model has to know besides the services. */
export interface ModelNode {
  readonly devices: readonly ModelDevice[];
  /** The longest prefix wins. What is to an address of the node itself takes no route. */
  readonly routes: readonly { readonly to: string; readonly device: string }[];
  readonly options: OpenOptions;
}

export type Family = 4 | 6;

/** Of an address or a CIDR range. */
export function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function endpoint(address: string, port: number): string {
  return familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The bits of an address as text. */
function bitsOf(address: string): string {
  const bits = (numbers: readonly number[], width: number) =>
    numbers.map((number) => number.toString(2).padStart(width, '0')).join('');
  if (familyOf(address) === 4) return bits(address.split('.').map(Number), 8);
  const [head = '', tail] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)));
  const [first, last] = [groups(head), groups(tail ?? '')];
  return bits([...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last], 16);
}

/** Whether a CIDR range has the address. */
export function contains(range: string, address: string): boolean {
  const [network = '', length] = range.split('/');
  if (familyOf(network) !== familyOf(address)) return false;
  return bitsOf(address).startsWith(bitsOf(network).slice(0, Number(length)));
}

export function isLoopback(address: string): boolean {
  return contains('127.0.0.0/8', address) || contains('::1/128', address);
}

export function isOwn(node: ModelNode, address: string): boolean {
  return node.devices.some(({ addresses }) => addresses.includes(address));
}

/** The device that leads to an address. */
export function routeTo(node: ModelNode, address: string): ModelDevice | undefined {
  if (isOwn(node, address)) return undefined;
  let best: { device: string; length: number } | undefined;
  for (const { to, device } of node.routes) {
    const length = Number(to.split('/')[1]);
    if (contains(to, address) && (!best || length > best.length)) best = { device, length };
  }
  return node.devices.find(({ name }) => name === best?.device);
}

/** Whether an address of the node answers NodePorts, by the option `nodePortAddresses`. */
export function answersNodePorts(node: ModelNode, address: string): boolean {
  const rule = node.options.nodePortAddresses ?? ['primary'];
  const words = rule.filter((element) => !element.includes('/'));
  const ranges = rule.filter((element) => element.includes('/'));
  if (isLoopback(address)) {
    const asked = ranges.some((range) => !range.endsWith('/0') && contains(range, address));
    return words.includes('localhost') || asked;
  }
  for (const device of servingDevices(node)) {
    if (!device.addresses.includes(address)) continue;
    const family = familyOf(address);
    const primary = device.addresses.find((other) => familyOf(other) === family);
    if (words.includes('all')) return true;
    if (words.includes('primary') && address === primary) return true;
    if (ranges.some((range) => contains(range, address))) return true;
    /* Ranges of one family alone leave the other one open. */
    if (words.length === 0 && !ranges.some((range) => familyOf(range) === family)) return true;
  }
  return false;
}

/** External devices that are selected; while there is none, all devices but pods'. */
function servingDevices(node: ModelNode): readonly ModelDevice[] {
  const external = node.devices.filter(({ kind }) => kind === 'external');
  const selected = external.filter((device) => device.selected);
  return selected.length > 0 ? selected : external;
}
