import { isIPv4, isIPv6 } from 'node:net';
import { inspect } from 'node:util';

import ipaddr from 'ipaddr.js';

import { LoadBalancerError } from './errors';
import type { Place } from './place';

/** An address family, as the number in its name. */
export type Family = 4 | 6;

/** Both families, for loops. */
export const families: readonly Family[] = [4, 6];

/** An IP address in canonical text form (RFC 5952 for IPv6). */
export interface Address {
  readonly family: Family;
  readonly text: string;
}

function malformed(text: unknown, place: Place, why: string): LoadBalancerError {
  return new LoadBalancerError('ERR_BPF_INVALID_ADDRESS', `${place.of('address')}: ${inspect(text)} ${why}.`);
}

const notAnAddress = 'is not an IP address';
const everyAddress = 'stands for every address, not for one';
const notUnicast = 'is not a unicast address';

/** An address, in canonical text form, and a port. An address that is mapped into IPv6 is the IPv4 one. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Parses the address of a frontend or backend. Leading zeros, ports, zones and host names are errors. */
export function parseAddress(text: unknown, place: Place): Address {
  if (typeof text !== 'string') throw malformed(text, place, notAnAddress);
  if (isIPv4(text)) {
    const bits = ipv4Bits(text);
    if (bits === 0) throw malformed(text, place, everyAddress);
    if (bits >= 0xe0000000) throw malformed(text, place, notUnicast);
    return { family: 4, text };
  }
  if (!isIPv6(text) || text.includes('%')) throw malformed(text, place, notAnAddress);
  const parsed = ipaddr.IPv6.parse(text);
  if (parsed.isIPv4MappedAddress()) return parseAddress(parsed.toIPv4Address().toString(), place);
  const range = parsed.range();
  if (range === 'unspecified') throw malformed(text, place, everyAddress);
  if (range === 'multicast') throw malformed(text, place, notUnicast);
  return { family: 6, text: parsed.toRFC5952String() };
}

/** The 32 bits of a dotted quad that `net.isIPv4` accepted. */
export function ipv4Bits(text: string): number {
  let bits = 0;
  let octet = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 46 /* . */) {
      bits = (bits << 8) | octet;
      octet = 0;
    } else {
      octet = octet * 10 + c - 48;
    }
  }
  return ((bits << 8) | octet) >>> 0;
}

/** The 16 bytes of an IPv6 address. */
export function ipv6Bytes(text: string): number[] {
  return ipaddr.IPv6.parse(text).toByteArray();
}

/** Canonical text of 4 or 16 bytes in network order. */
export function formatAddress(bytes: Uint8Array): Address {
  const parsed = ipaddr.fromByteArray([...bytes]);
  return parsed.kind() === 'ipv4'
    ? { family: 4, text: parsed.toString() }
    : { family: 6, text: (parsed as ipaddr.IPv6).toRFC5952String() };
}

/** Canonical text of 16 bytes in network order; an address that is mapped into IPv6 is the IPv4 one. */
export function formatWideAddress(bytes: Uint8Array): Address {
  const isMapped =
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return formatAddress(isMapped ? bytes.subarray(12) : bytes);
}

/** `address:port`, with brackets around an IPv6 address. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What {@link formatEndpoint} writes. The address need not be canonical. */
export function parseEndpoint(text: string, place: Place): Endpoint {
  const [, v6, other, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (!(port >= 1 && port <= 65_535)) throw malformed(text, place, 'is not address:port or [address]:port');
  return { address: parseAddress(v6 ?? other, place).text, port };
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: string): boolean {
  return address === '::1' || (address.startsWith('127.') && isIPv4(address));
}
