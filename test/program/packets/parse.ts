import assert from 'node:assert/strict';

import ipaddr from 'ipaddr.js';

import { crc32c, internetChecksum, pseudoHeader } from './checksums';
import { protocolNumbers } from './ip';
import type { Packet } from './transport';

const ethernetLength = 14;
const extensions = { hopByHop: 0, routing: 43, fragment: 44, destinationOptions: 60 };

/** Fails unless both frames are the same, byte for byte; shows them in hex. */
export function assertSameFrame(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(Buffer.from(actual).toString('hex'), Buffer.from(expected).toString('hex'));
}

/** What a test reads of a frame again. */
export interface Parsed extends Packet {
  ttl: number;
  unchecked: boolean;
  /** All checksums are right. */
  valid: boolean;
}

/** The fields that translation may change, and whether all checksums are right. Not for fragments. */
export function parse(frame: Uint8Array): Parsed {
  const packet = Buffer.from(frame).subarray(ethernetLength);
  const v4 = (packet[0] as number) >> 4 === 4;
  const [at, number] = v4
    ? [((packet[0] as number) & 0xf) * 4, packet[9] as number]
    : afterExtensions(packet);
  const header = packet.subarray(0, at);
  const [source, destination] = v4
    ? [packet.subarray(12, 16), packet.subarray(16, 20)]
    : [packet.subarray(8, 24), packet.subarray(24, 40)];
  const transport = packet.subarray(at);
  const protocol = (['TCP', 'UDP', 'SCTP'] as const).find((name) => protocolNumbers[name] === number);
  assert.ok(protocol, `neither TCP nor UDP nor SCTP: protocol ${number}`);
  const unchecked = protocol === 'UDP' && transport.readUInt16BE(6) === 0;
  const sound =
    unchecked ||
    (protocol === 'SCTP'
      ? isCrcRight(transport)
      : internetChecksum(pseudoHeader(source, destination, number, transport.length), transport) === 0);
  return {
    source: ipaddr.fromByteArray([...source]).toString(),
    destination: ipaddr.fromByteArray([...destination]).toString(),
    sourcePort: transport.readUInt16BE(0),
    destinationPort: transport.readUInt16BE(2),
    protocol,
    ttl: packet[v4 ? 8 : 7] as number,
    unchecked,
    valid: (!v4 || internetChecksum(header) === 0) && sound,
  };
}

function afterExtensions(packet: Buffer): [at: number, protocol: number] {
  let [at, protocol] = [40, packet[6] as number];
  while (Object.values(extensions).includes(protocol)) {
    const length = protocol === extensions.fragment ? 0 : (packet[at + 1] as number);
    protocol = packet[at] as number;
    at += (length + 1) * 8;
  }
  return [at, protocol];
}

function isCrcRight(transport: Buffer): boolean {
  const zeroed = Buffer.from(transport).fill(0, 8, 12);
  return Buffer.compare(crc32c(zeroed), transport.subarray(8, 12)) === 0;
}
