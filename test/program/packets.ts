import assert from 'node:assert/strict';

import ipaddr from 'ipaddr.js';

/*
 * Packets for tests, built and checked from the RFCs alone: nothing here is shared with the code under test.
 */

/** What a test cares about in an Ethernet frame with TCP or UDP over IPv4 or IPv6. */
export interface Packet {
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  protocol: 'TCP' | 'UDP';
  /** TCP flags, of `FSRPA`. Default `S`. */
  flags?: string;
  /** Default 64. */
  ttl?: number;
  payload?: Uint8Array;
  /** UDP over IPv4 without a checksum. */
  unchecked?: boolean;
  /** IPv4 options, a multiple of four bytes. */
  options?: Uint8Array;
  /** IPv4 flags and fragment offset. */
  fragment?: number;
}

const flagBits: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16 };

function bytesOf(address: string): number[] {
  return ipaddr.parse(address).toByteArray();
}

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

function pseudoHeader(source: number[], destination: number[], protocol: number, length: number): Uint8Array {
  if (source.length === 4) {
    return Uint8Array.from([...source, ...destination, 0, protocol, length >> 8, length & 0xff]);
  }
  return Uint8Array.from([...source, ...destination, 0, 0, length >> 8, length & 0xff, 0, 0, 0, protocol]);
}

/** The frame, with every checksum right. */
export function build(packet: Packet): Uint8Array {
  const { protocol, payload = new Uint8Array(), options = new Uint8Array(), ttl = 64 } = packet;
  const [source, destination] = [bytesOf(packet.source), bytesOf(packet.destination)];
  const number = protocol === 'TCP' ? 6 : 17;
  const transport = Buffer.alloc((protocol === 'TCP' ? 20 : 8) + payload.length);
  transport.writeUInt16BE(packet.sourcePort, 0);
  transport.writeUInt16BE(packet.destinationPort, 2);
  if (protocol === 'TCP') {
    transport.writeUInt32BE(0x01020304, 4);
    transport[12] = 5 << 4;
    transport[13] = [...(packet.flags ?? 'S')].reduce((bits, flag) => bits | (flagBits[flag] as number), 0);
    transport.writeUInt16BE(0xfaf0, 14);
    transport.set(payload, 20);
  } else {
    transport.writeUInt16BE(transport.length, 4);
    transport.set(payload, 8);
  }
  if (!packet.unchecked) {
    const checksum = internetChecksum(pseudoHeader(source, destination, number, transport.length), transport);
    transport.writeUInt16BE(
      protocol === 'UDP' && checksum === 0 ? 0xffff : checksum,
      protocol === 'TCP' ? 16 : 6,
    );
  }
  const v4 = source.length === 4;
  let header: Buffer;
  if (v4) {
    header = Buffer.alloc(20 + options.length);
    header[0] = (4 << 4) | (header.length / 4);
    header.writeUInt16BE(header.length + transport.length, 2);
    header.writeUInt16BE(0x1234, 4);
    header.writeUInt16BE(packet.fragment ?? 0x4000, 6);
    header[8] = ttl;
    header[9] = number;
    header.set(source, 12);
    header.set(destination, 16);
    header.set(options, 20);
    header.writeUInt16BE(internetChecksum(header), 10);
  } else {
    header = Buffer.alloc(40);
    header[0] = 6 << 4;
    header.writeUInt16BE(transport.length, 4);
    header[6] = number;
    header[7] = ttl;
    header.set(source, 8);
    header.set(destination, 24);
  }
  const ethernet = Buffer.from('020000000001020000000002' + (v4 ? '0800' : '86dd'), 'hex');
  return Buffer.concat([ethernet, header, transport]);
}

/** Fails unless both frames are the same, byte for byte; shows them in hex. */
export function assertSameFrame(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(Buffer.from(actual).toString('hex'), Buffer.from(expected).toString('hex'));
}

/** The fields that translation may change, and whether all checksums are right. */
export function parse(frame: Uint8Array): Packet & { valid: boolean } {
  const bytes = Buffer.from(frame);
  const v4 = bytes.readUInt16BE(12) === 0x0800;
  const headerLength = v4 ? ((bytes[14] as number) & 0xf) * 4 : 40;
  const header = bytes.subarray(14, 14 + headerLength);
  const number = header[v4 ? 9 : 6] as number;
  const addresses = v4 ? [12, 16, 20] : [8, 24, 40];
  const address = (i: number) => [...header.subarray(addresses[i], addresses[i + 1])];
  const transport = bytes.subarray(14 + headerLength);
  const protocol = number === 6 ? 'TCP' : 'UDP';
  const unchecked = protocol === 'UDP' && transport.readUInt16BE(6) === 0;
  const pseudo = pseudoHeader(address(0), address(1), number, transport.length);
  return {
    source: ipaddr.fromByteArray(address(0)).toString(),
    destination: ipaddr.fromByteArray(address(1)).toString(),
    sourcePort: transport.readUInt16BE(0),
    destinationPort: transport.readUInt16BE(2),
    protocol,
    ttl: header[v4 ? 8 : 7] as number,
    unchecked,
    valid:
      (!v4 || internetChecksum(header) === 0) && (unchecked || internetChecksum(pseudo, transport) === 0),
  };
}
