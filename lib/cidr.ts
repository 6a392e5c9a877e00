import { isIPv4, isIPv6 } from 'node:net';
import { inspect } from 'node:util';

import ipaddr from 'ipaddr.js';

import { formatAddress, ipv6Bytes, type Family } from './address';
import { LoadBalancerError } from './errors';
import type { Place } from './place';

/** A range of IP addresses, in canonical form: the bits behind the prefix are zero. */
export interface Cidr {
  readonly family: Family;
  /** The first address, 16 bytes in network order; that of IPv4 as it is mapped into IPv6 (`::ffff:10.0.0.0`). */
  readonly bytes: Uint8Array;
  /** Leading bits that the addresses share, counted in the family's own form: 0 to 32, or 0 to 128. */
  readonly prefixLength: number;
  /** `10.0.0.0/8`, always with its length. */
  readonly text: string;
}

/** Bits of ::ffff:0:0/96, below which IPv6 holds the addresses of IPv4. */
const mappedPrefixLength = 96;

/**
 * Parses the text of a range. An address alone is a range of one; blanks around it are ignored, bits behind the
 * prefix cleared. A range of IPv4 addresses that are mapped into IPv6 is one of IPv4.
 *
 * @throws LoadBalancerError `ERR_BPF_INVALID_ADDRESS`, with the place.
 */
export function parseCidr(text: unknown, place: Place): Cidr {
  const [, address = '', length] =
    (typeof text === 'string' && /^([^/]+)(?:\/(0|[1-9]\d*))?$/.exec(text.trim())) || [];
  if (isIPv4(address) && Number(length ?? 32) <= 32) {
    return canonical(ipv6Bytes(`::ffff:${address}`), mappedPrefixLength + Number(length ?? 32));
  }
  if (isIPv6(address) && !address.includes('%') && Number(length ?? 128) <= 128) {
    return canonical(ipv6Bytes(address), Number(length ?? 128));
  }
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_ADDRESS',
    `${place.of()}: ${inspect(text)} is not an IP address or a CIDR range.`,
  );
}

/** `length` counts the bits of the 16 bytes. */
function canonical(address: number[], length: number): Cidr {
  const bytes = Uint8Array.from(address, (byte, i) => byte & maskByte(length - 8 * i));
  const isMapped = length >= mappedPrefixLength && ipaddr.fromByteArray(address).range() === 'ipv4Mapped';
  const prefixLength = isMapped ? length - mappedPrefixLength : length;
  const first = formatAddress(isMapped ? bytes.subarray(mappedPrefixLength / 8) : bytes);
  return { family: first.family, bytes, prefixLength, text: `${first.text}/${prefixLength}` };
}

/** A byte whose first `bits` bits are set: none if negative, all if there are more than eight. */
function maskByte(bits: number): number {
  return 0xff & (0xff00 >> Math.min(Math.max(bits, 0), 8));
}

/** Whether an address, as text that {@link parseAddress} gave, is in a range. */
export function contains(range: Cidr, address: string): boolean {
  const parsed = ipaddr.process(address);
  const [first, length] = ipaddr.parseCIDR(range.text);
  return parsed.kind() === first.kind() && parsed.match(first, length);
}
