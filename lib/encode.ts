import { randomInt } from 'node:crypto';

import { BackendFlag, DeviceFlag, DeviceRole, layouts, Setting } from './abi';
import { type Family, ipv4Bits, ipv6Bytes } from './address';
import type { Cidr } from './cidr';
import type { MaglevPlacement } from './maglev-tables';
import type { BackendDefinition, FrontendDefinition, FrontendKey } from './service-definition';
import type { Protocol } from './spec';

/*
 * From definitions to the bytes of bpf/abi.h. The supported machines are little-endian; addresses and ports are in
 * network order.
 */

const protocolNumbers: Record<Protocol, number> = { TCP: 6, UDP: 17, SCTP: 132 };

const key4 = layouts.lb_key4.fields;
const key6 = layouts.lb_key6.fields;
const service = layouts.lb_service.fields;
const backend = layouts.lb_backend.fields;

/** The protocol of a number; undefined for others than are balanced. */
export function protocolOf(number: number): Protocol | undefined {
  return (Object.keys(protocolNumbers) as Protocol[]).find((name) => protocolNumbers[name] === number);
}

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
  readonly maglev?: MaglevPlacement | undefined;
  readonly localMaglev?: MaglevPlacement | undefined;
}

/** Numbers that all frontends of a service share. */
export interface ServiceNumbers {
  /** What session affinity is kept for. */
  readonly group: number;
  /** Seconds. */
  readonly affinityTimeout: number;
  /** Of its source ranges. */
  readonly ranges: number;
}

/** Writes the key of a frontend and returns nothing; `bytes` covers the same memory as `view`. */
export function writeKey(view: DataView, bytes: Uint8Array, at: number, frontend: FrontendKey): void {
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

/** Writes a value of services4 or services6. */
export function writeService(
  view: DataView,
  at: number,
  frontend: FrontendDefinition,
  placement: Placement,
  flags: number,
  id: number,
  { group, affinityTimeout, ranges }: ServiceNumbers,
): void {
  writeCheck(view, at + service.check.offset, frontend);
  view.setUint32(at + service.set.offset, placement.set, true);
  view.setUint32(at + service.flags.offset, flags, true);
  view.setUint32(at + service.first.offset, placement.first, true);
  view.setUint32(at + service.count.offset, placement.count, true);
  view.setUint32(at + service.local_first.offset, placement.localFirst, true);
  view.setUint32(at + service.local_count.offset, placement.localCount, true);
  view.setUint32(at + service.id.offset, id, true);
  view.setUint32(at + service.group.offset, group, true);
  view.setUint32(at + service.affinity_timeout.offset, affinityTimeout, true);
  view.setUint32(at + service.ranges.offset, ranges, true);
  view.setUint32(at + service.maglev.offset, placement.maglev?.first ?? 0, true);
  view.setUint32(at + service.maglev_size.offset, placement.maglev?.size ?? 0, true);
  view.setUint32(at + service.local_maglev.offset, placement.localMaglev?.first ?? 0, true);
  view.setUint32(at + service.local_maglev_size.offset, placement.localMaglev?.size ?? 0, true);
}

/** Writes one element of the backend array. */
export function writeBackend(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  definition: BackendDefinition,
  set: number,
  threshold: number,
  alias: number,
): void {
  writeMapped(view, bytes, at + backend.address.offset, definition.family, definition.address);
  view.setUint16(at + backend.port.offset, definition.port);
  view.setUint16(at + backend.flags.offset, definition.local ? BackendFlag.LOCAL : 0, true);
  view.setUint32(at + backend.set.offset, set, true);
  view.setUint32(at + backend.threshold.offset, threshold, true);
  view.setUint32(at + backend.alias.offset, alias, true);
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

/** A key of ranges4 or ranges6: an entry of the ranges with the id. */
export function encodeRange(id: number, { family, bytes, prefixLength }: Cidr): Uint8Array {
  const { size, fields } = family === 4 ? layouts.lb_range4 : layouts.lb_range6;
  const key = new Uint8Array(size);
  const view = new DataView(key.buffer);
  view.setUint32(fields.prefix.offset, 32 + prefixLength, true);
  view.setUint32(fields.id.offset, id, true);
  key.set(family === 4 ? bytes.subarray(12) : bytes, fields.address.offset);
  return key;
}

/** A key of the table of exceptions: a network namespace by its cookie, a cgroup by its id. */
export function encodeException(kind: number, id: bigint): Uint8Array {
  const { size, fields } = layouts.lb_exception;
  const key = new Uint8Array(size);
  const view = new DataView(key.buffer);
  view.setBigUint64(fields.id.offset, id, true);
  view.setBigUint64(fields.kind.offset, BigInt(kind), true);
  return key;
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
  toPeer: boolean,
): Uint8Array {
  const { size, fields } = layouts.lb_device;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  if (source6) bytes.set(ipv6Bytes(source6), fields.source6.offset);
  if (source4) view.setUint32(fields.source4.offset, ipv4Bits(source4));
  view.setUint32(fields.role.offset, role === 'pod' ? DeviceRole.POD : DeviceRole.EXTERNAL, true);
  view.setUint32(fields.flags.offset, toPeer ? DeviceFlag.TO_PEER : 0, true);
  return bytes;
}

/** What {@link encodeSettings} needs. Lifetimes in seconds. */
export interface Settings {
  readonly hostNetns: bigint;
  readonly snatPorts: readonly [min: number, max: number];
  readonly originSlots: number;
  /** Entries of a flow table. */
  readonly flows: number;
  readonly flowLifetimes: {
    readonly opening: number;
    readonly established: number;
    readonly halfClosed: number;
    readonly closing: number;
    readonly datagram: number;
  };
  readonly rejectsPerSecond: number;
  readonly flags: {
    readonly hostSocketsOnly: boolean;
    readonly socketExceptions: boolean;
    readonly localhost4: boolean;
    readonly reject: boolean;
    readonly answerEcho: boolean;
    readonly masqueradeLocal: boolean;
    readonly serviceRanges: boolean;
    readonly toPeers: boolean;
    readonly localhost6: boolean;
    readonly leaveTracked: boolean;
    readonly releasing: boolean;
    readonly shadow: boolean;
  };
}

const settingBit: Record<keyof Settings['flags'], number> = {
  hostSocketsOnly: Setting.HOST_SOCKETS_ONLY,
  socketExceptions: Setting.SOCKET_EXCEPTIONS,
  localhost4: Setting.LOCALHOST4,
  reject: Setting.REJECT,
  answerEcho: Setting.ANSWER_ECHO,
  masqueradeLocal: Setting.MASQUERADE_LOCAL,
  serviceRanges: Setting.SERVICE_RANGES,
  toPeers: Setting.TO_PEERS,
  localhost6: Setting.LOCALHOST6,
  leaveTracked: Setting.LEAVE_TRACKED,
  releasing: Setting.RELEASING,
  shadow: Setting.SHADOW,
};

/** The value of `lb_settings.flags`. */
export function settingBits(flags: Settings['flags']): number {
  return (Object.keys(flags) as (keyof Settings['flags'])[])
    .filter((name) => flags[name])
    .reduce((bits, name) => bits | settingBit[name], 0);
}

/** How many refusals may be saved up for a burst. */
const rejectBurst = 1000;

/** The value of the settings table. */
export function encodeSettings(settings: Settings): Uint8Array {
  const { size, fields } = layouts.lb_settings;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const { flowLifetimes, snatPorts, flags } = settings;
  const [min, max] = snatPorts;
  view.setBigUint64(fields.host_netns.offset, settings.hostNetns, true);
  view.setUint32(fields.flags.offset, settingBits(flags), true);
  view.setUint16(fields.snat_port_min.offset, min, true);
  view.setUint16(fields.snat_port_max.offset, max, true);
  view.setUint32(fields.flow_opening.offset, flowLifetimes.opening, true);
  view.setUint32(fields.flow_established.offset, flowLifetimes.established, true);
  view.setUint32(fields.flow_half_closed.offset, flowLifetimes.halfClosed, true);
  view.setUint32(fields.flow_closing.offset, flowLifetimes.closing, true);
  view.setUint32(fields.flow_datagram.offset, flowLifetimes.datagram, true);
  view.setUint32(fields.origin_mask.offset, settings.originSlots - 1, true);
  view.setUint32(fields.rejects_per_second.offset, settings.rejectsPerSecond, true);
  view.setUint32(fields.reject_burst.offset, rejectBurst, true);
  view.setUint16(fields.snat_step.offset, stepThrough(max - min + 1), true);
  view.setUint16(fields.flow_epoch_shift.offset, epochShift(settings.flows), true);
  return bytes;
}

/** An eighth of a flow table, or somewhat less, as a power of two. */
function epochShift(flows: number): number {
  return Math.max(0, Math.floor(Math.log2(flows)) - 3);
}

/** Random, and prime to the size: a walk of such steps meets every port before it repeats one. */
function stepThrough(size: number): number {
  for (;;) {
    const step = randomInt(1, Math.max(size, 2));
    if (greatestCommonDivisor(step, size) === 1) return step;
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
