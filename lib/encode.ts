import { BackendFlag, DeviceRole, layouts, ServiceFlag } from './abi';
import { type Family, ipv4Bits, ipv6Bytes, isLoopback } from './address';
import type { BackendDefinition, FrontendDefinition, ServiceDefinition } from './service-definition';
import type { Protocol } from './spec';

/*
 * From definitions to the bytes of bpf/abi.h. The supported machines are little-endian; addresses and ports are in
 * network order.
 */

const protocolNumbers: Record<Protocol, number> = { TCP: 6, UDP: 17 };

const key4 = layouts.lb_key4.fields;
const key6 = layouts.lb_key6.fields;
const service = layouts.lb_service.fields;
const backend = layouts.lb_backend.fields;

/** Bytes of one key of services4 or services6. */
export const keySize: Record<Family, number> = { 4: layouts.lb_key4.size, 6: layouts.lb_key6.size };

/** Where a service's backends are, for one family. */
export interface Placement {
  /** Repeated in every backend of the ranges; never used twice. */
  readonly set: number;
  readonly first: number;
  readonly count: number;
  readonly localFirst: number;
  readonly localCount: number;
  readonly usable: boolean;
}

/** Writes the key of a frontend and returns nothing; `bytes` covers the same memory as `view`. */
export function writeKey(view: DataView, bytes: Uint8Array, at: number, frontend: FrontendDefinition): void {
  const protocol = protocolNumbers[frontend.protocol];
  if (frontend.family === 4) {
    if (frontend.address) view.setUint32(at + key4.address.offset, ipv4Bits(frontend.address));
    view.setUint16(at + key4.port.offset, frontend.port);
    view.setUint8(at + key4.protocol.offset, protocol);
  } else {
    if (frontend.address) bytes.set(ipv6Bytes(frontend.address), at + key6.address.offset);
    view.setUint16(at + key6.port.offset, frontend.port);
    view.setUint8(at + key6.protocol.offset, protocol);
  }
}

/** lb_key4_check and lb_key6_check of bpf/service.h, byte by byte. */
function writeCheck(view: DataView, at: number, frontend: FrontendDefinition): void {
  view.setUint8(at, protocolNumbers[frontend.protocol]);
  view.setUint16(at + 2, frontend.port);
  if (!frontend.address) return;
  if (frontend.family === 4) {
    view.setUint32(at + 4, ipv4Bits(frontend.address));
    return;
  }
  const a = ipv6Bytes(frontend.address);
  const byte = (i: number) => a[i] as number;
  for (let i = 0; i < 4; i++) {
    view.setUint8(at + i, view.getUint8(at + i) ^ byte(4 + i) ^ byte(12 + i));
    view.setUint8(at + 4 + i, byte(i) ^ byte(8 + i));
  }
}

/** Which hooks answer a frontend, and under which policy. */
export function serviceFlags(
  frontend: FrontendDefinition,
  definition: ServiceDefinition,
  usable: boolean,
  nodeAddresses: ReadonlySet<string>,
): number {
  const usableFlag = usable ? ServiceFlag.USABLE : 0;
  if (frontend.type === 'ClusterIP') {
    return (
      usableFlag |
      ServiceFlag.SOCKET |
      (definition.internalTrafficPolicy === 'Local' ? ServiceFlag.SOCKET_LOCAL : 0)
    );
  }
  const loopback = isLoopback(frontend.address);
  const device = loopback ? 0 : ServiceFlag.DEVICE;
  const deviceLocal = definition.externalTrafficPolicy === 'Local' ? ServiceFlag.DEVICE_LOCAL : 0;
  const bind = frontend.type === 'HostPort' ? 0 : ServiceFlag.BIND;
  /*
   * Anyone who may create a Service may claim any external IP. Sockets of this node follow such a claim only where
   * the address is the node's own (CVE-2020-8554); the same goes for the address of a HostPort.
   */
  const claimed =
    frontend.type === 'ExternalIPs' || (frontend.type === 'HostPort' && frontend.address !== '');
  const socket = !claimed || loopback || nodeAddresses.has(frontend.address) ? ServiceFlag.SOCKET : 0;
  return usableFlag | device | deviceLocal | bind | socket;
}

/** Writes a value of services4 or services6. */
export function writeService(
  view: DataView,
  at: number,
  frontend: FrontendDefinition,
  placement: Placement,
  flags: number,
  id: number,
): void {
  writeCheck(view, at + service.check.offset, frontend);
  view.setUint32(at + service.set.offset, placement.set, true);
  view.setUint32(at + service.flags.offset, flags, true);
  view.setUint32(at + service.first.offset, placement.first, true);
  view.setUint32(at + service.count.offset, placement.count, true);
  view.setUint32(at + service.local_first.offset, placement.localFirst, true);
  view.setUint32(at + service.local_count.offset, placement.localCount, true);
  view.setUint32(at + service.id.offset, id, true);
}

/** Writes one element of the backend array. */
export function writeBackend(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  definition: BackendDefinition,
  set: number,
): void {
  writeMapped(view, bytes, at + backend.address.offset, definition.family, definition.address);
  view.setUint16(at + backend.port.offset, definition.port);
  view.setUint16(at + backend.weight.offset, definition.weight, true);
  view.setUint32(at + backend.set.offset, set, true);
  view.setUint32(at + backend.flags.offset, definition.local ? BackendFlag.LOCAL : 0, true);
}

/** Sixteen bytes: an IPv6 address, or an IPv4 one mapped into it. */
function writeMapped(view: DataView, bytes: Uint8Array, at: number, family: Family, address: string): void {
  if (family === 6) {
    bytes.set(ipv6Bytes(address), at);
  } else {
    view.setUint16(at + 10, 0xffff);
    view.setUint32(at + 12, ipv4Bits(address));
  }
}

/** The key of addresses4 or addresses6. */
export function encodeAddress(family: Family, address: string): Uint8Array {
  if (family === 6) return Uint8Array.from(ipv6Bytes(address));
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, ipv4Bits(address));
  return bytes;
}

/** A value of addresses4 or addresses6. */
export function encodeAddressInfo(flags: number): Uint8Array {
  return encodeUint32(flags);
}

/** A number in the machine's byte order: an ifindex, an array index, flags. */
export function encodeUint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** A value of the device table. The sources are the addresses that SNAT uses on the device. */
export function encodeDevice(
  role: 'external' | 'pod',
  source4: string | undefined,
  source6: string | undefined,
): Uint8Array {
  const { size, fields } = layouts.lb_device;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  if (source6) bytes.set(ipv6Bytes(source6), fields.source6.offset);
  if (source4) view.setUint32(fields.source4.offset, ipv4Bits(source4));
  view.setUint32(fields.role.offset, role === 'pod' ? DeviceRole.POD : DeviceRole.EXTERNAL, true);
  return bytes;
}

/** What {@link encodeSettings} needs. Lifetimes in seconds. */
export interface Settings {
  hostNetns: bigint;
  snatPorts: readonly [min: number, max: number];
  originSlots: number;
  flowLifetimes: { opening: number; established: number; closing: number; datagram: number };
}

/** The value of the settings table. */
export function encodeSettings(settings: Settings): Uint8Array {
  const { size, fields } = layouts.lb_settings;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const { flowLifetimes, snatPorts } = settings;
  view.setBigUint64(fields.host_netns.offset, settings.hostNetns, true);
  view.setUint16(fields.snat_port_min.offset, snatPorts[0], true);
  view.setUint16(fields.snat_port_max.offset, snatPorts[1], true);
  view.setUint32(fields.flow_opening.offset, flowLifetimes.opening, true);
  view.setUint32(fields.flow_established.offset, flowLifetimes.established, true);
  view.setUint32(fields.flow_closing.offset, flowLifetimes.closing, true);
  view.setUint32(fields.flow_datagram.offset, flowLifetimes.datagram, true);
  view.setUint32(fields.origin_mask.offset, settings.originSlots - 1, true);
  return bytes;
}
