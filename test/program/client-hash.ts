import ipaddr from 'ipaddr.js';

/*
 * The hash by which Maglev tables, and first picks of sticky clients, go: every node has to have the same, so it is
 * written down here a second time.
 */

const word = (1n << 64n) - 1n;

/** The finalizer of MurmurHash3 with 64 bits. */
function mix(x: bigint): bigint {
  x ^= x >> 33n;
  x = (x * 0xff51afd7ed558ccdn) & word;
  x ^= x >> 33n;
  x = (x * 0xc4ceb9fe1a85ec53n) & word;
  return x ^ (x >> 33n);
}

/** Of a client's address and port; the port is 0 where only the address counts. */
export function clientHash(address: string, port: number): bigint {
  const parsed = ipaddr.parse(address);
  const ipv6 = parsed instanceof ipaddr.IPv4 ? parsed.toIPv4MappedAddress() : parsed;
  const bytes = Buffer.from(ipv6.toByteArray());
  const part = (at: number) => (BigInt(bytes.readUInt32LE(at)) << 32n) | BigInt(bytes.readUInt32LE(at + 4));
  const swapped = ((port & 0xff) << 8) | (port >> 8);
  return mix(mix(mix(part(0)) ^ part(8)) ^ BigInt(swapped));
}

/** A number below `n` from the upper half of a hash. */
export function below(hash: bigint, n: number): number {
  return Number(((hash >> 32n) * BigInt(n)) >> 32n);
}
