import { crc32c, internetChecksum, pseudoHeader } from './checksums';
import { bytesOf, frameAround, type IpHeader, ipPacket, protocolNumbers } from './ip';

/** What a test cares about in an Ethernet frame with TCP, UDP or SCTP over IPv4 or IPv6. */
export interface Packet extends IpHeader {
  sourcePort: number;
  destinationPort: number;
  protocol: 'TCP' | 'UDP' | 'SCTP';
  /** TCP flags, of `FSRPA`. Default `S`. */
  flags?: string;
  /** TCP. Default 0x01020304. */
  seq?: number;
  /** TCP. Default 0. */
  ack?: number;
  /** TCP. Default 0xfaf0. */
  window?: number;
  /** TCP options, a multiple of four bytes. */
  tcpOptions?: Uint8Array;
  /** Type of the only SCTP chunk. Default `INIT`. */
  chunk?: keyof typeof chunkTypes;
  payload?: Uint8Array;
  /** UDP over IPv4 without a checksum. */
  unchecked?: boolean;
}

const flagBits: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16 };

const chunkTypes = {
  DATA: 0,
  INIT: 1,
  'INIT ACK': 2,
  ABORT: 6,
  'COOKIE ECHO': 10,
  'SHUTDOWN COMPLETE': 14,
} as const;

/** The frame, with every checksum right. */
export function build(packet: Packet): Buffer {
  return frameAround(packet, withoutLink(packet));
}

/** The same from the IP header on. */
export function withoutLink(packet: Packet): Buffer {
  return ipPacket(packet, protocolNumbers[packet.protocol], segment(packet));
}

/** What follows all IP headers. */
export function segment(packet: Packet): Buffer {
  const bytes = { TCP: tcp, UDP: udp, SCTP: sctp }[packet.protocol](packet);
  bytes.writeUInt16BE(packet.sourcePort, 0);
  bytes.writeUInt16BE(packet.destinationPort, 2);
  if (packet.protocol === 'SCTP') {
    bytes.set(crc32c(bytes), 8);
  } else if (!packet.unchecked) {
    const [source, destination] = [bytesOf(packet.source), bytesOf(packet.destination)];
    const pseudo = pseudoHeader(source, destination, protocolNumbers[packet.protocol], bytes.length);
    const checksum = internetChecksum(pseudo, bytes);
    if (packet.protocol === 'TCP') bytes.writeUInt16BE(checksum, 16);
    else bytes.writeUInt16BE(checksum === 0 ? 0xffff : checksum, 6);
  }
  return bytes;
}

function tcp({ payload = new Uint8Array(), tcpOptions = new Uint8Array(), ...packet }: Packet): Buffer {
  const header = Buffer.alloc(20 + tcpOptions.length);
  header.writeUInt32BE(packet.seq ?? 0x01020304, 4);
  header.writeUInt32BE(packet.ack ?? 0, 8);
  header[12] = (header.length / 4) << 4;
  header[13] = [...(packet.flags ?? 'S')].reduce((bits, flag) => bits | (flagBits[flag] as number), 0);
  header.writeUInt16BE(packet.window ?? 0xfaf0, 14);
  header.set(tcpOptions, 20);
  return Buffer.concat([header, payload]);
}

function udp({ payload = new Uint8Array() }: Packet): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** With one chunk, which is as long as it says; what fills it up to four bytes is not counted (RFC 9260, 3.2). */
function sctp({ payload = new Uint8Array(), chunk = 'INIT' }: Packet): Buffer {
  const bytes = Buffer.alloc(16 + Math.ceil(payload.length / 4) * 4);
  bytes.writeUInt32BE(chunk === 'INIT' ? 0 : 0xa1b2c3d4, 4);
  bytes[12] = chunkTypes[chunk];
  bytes.writeUInt16BE(4 + payload.length, 14);
  bytes.set(payload, 16);
  return bytes;
}
