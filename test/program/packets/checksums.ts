/*
 * Checksums from the RFCs alone: nothing here is shared with the code under test.
 */

/** RFC 1071 over the parts, one after the other. */
export function internetChecksum(...parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** CRC32c as SCTP has it (RFC 9260, appendix A), in the order in which it stands in the packet. */
export function crc32c(bytes: Uint8Array): Uint8Array {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(~crc >>> 0);
  return checksum;
}

/** What transport checksums cover of the IP header (RFC 9293, 3.1; RFC 8200, 8.1). */
export function pseudoHeader(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): Uint8Array {
  const rest = [length >> 8, length & 0xff];
  if (source.length === 4) return Uint8Array.from([...source, ...destination, 0, protocol, ...rest]);
  return Uint8Array.from([...source, ...destination, 0, 0, ...rest, 0, 0, 0, protocol]);
}
