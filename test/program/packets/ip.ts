import ipaddr from 'ipaddr.js';

import { internetChecksum } from './checksums';

/** An IPv6 extension header. */
export interface Extension {
  type: 'hop-by-hop' | 'destination' | 'routing' | 'fragment' | 'authentication';
  /** Bytes, a multiple of eight; a fragment header has 8. Default 8. */
  length?: number;
  /** Of a routing header: stations that are left. Default 0. */
  left?: number;
  /** Of a fragment header: as in the packet, offset in bytes and the flag for more. Default 0: all there is. */
  fragment?: number;
  /** Of a fragment header. Default 1. */
  id?: number;
}

/** What a test says of the IP header, of either family, and of what is around it. */
export interface IpHeader {
  source: string;
  destination: string;
  /** Default 64. */
  ttl?: number;
  /** IPv4 identification. Default 0x1234. */
  id?: number;
  /** IPv4 flags and fragment offset. Default 0x4000: not to be fragmented. */
  fragment?: number;
  /** IPv4 options, a multiple of four bytes. */
  options?: Uint8Array;
  /** IPv6 extension headers. */
  extensions?: Extension[];
  /** An 802.1Q tag with this VLAN. */
  vlan?: number;
  /** Sent by the node, to the station that all other frames come from. */
  fromNode?: boolean;
}

/** Numbers in IPv4's protocol and IPv6's next header. */
export const protocolNumbers = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const;

const extensionNumbers = {
  'hop-by-hop': 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  destination: 60,
} as const;

const [node, station] = ['020000000001', '020000000002'];

/** In network order. */
export function bytesOf(address: string): Uint8Array {
  return Uint8Array.from(ipaddr.parse(address).toByteArray());
}

/** The packet without a link header, around what follows all IP headers. */
export function ipPacket(header: IpHeader, protocol: number, content: Uint8Array): Buffer {
  const [source, destination] = [bytesOf(header.source), bytesOf(header.destination)];
  const { ttl = 64, options = new Uint8Array(), extensions = [] } = header;
  if (source.length === 4) {
    const ip = Buffer.alloc(20 + options.length);
    ip[0] = (4 << 4) | (ip.length / 4);
    ip.writeUInt16BE(ip.length + content.length, 2);
    ip.writeUInt16BE(header.id ?? 0x1234, 4);
    ip.writeUInt16BE(header.fragment ?? 0x4000, 6);
    ip[8] = ttl;
    ip[9] = protocol;
    ip.set(source, 12);
    ip.set(destination, 16);
    ip.set(options, 20);
    ip.writeUInt16BE(internetChecksum(ip), 10);
    return Buffer.concat([ip, content]);
  }
  const numbers = [...extensions.map(({ type }) => extensionNumbers[type]), protocol];
  const between = extensions.map((extension, i) => extensionBytes(extension, numbers[i + 1] as number));
  const ip = Buffer.alloc(40);
  ip[0] = 6 << 4;
  ip.writeUInt16BE(
    between.reduce((sum, { length }) => sum + length, content.length),
    4,
  );
  ip[6] = numbers[0] as number;
  ip[7] = ttl;
  ip.set(source, 8);
  ip.set(destination, 24);
  return Buffer.concat([ip, ...between, content]);
}

function extensionBytes(extension: Extension, next: number): Buffer {
  const { type, length = 8 } = extension;
  const bytes = Buffer.alloc(length);
  bytes[0] = next;
  switch (type) {
    case 'fragment':
      bytes.writeUInt16BE(extension.fragment ?? 0, 2);
      bytes.writeUInt32BE(extension.id ?? 1, 4);
      break;
    case 'authentication':
      /* Counted in words of four bytes (RFC 4302, 2.2). */
      bytes[1] = length / 4 - 2;
      bytes.fill(0xa5, 4);
      break;
    case 'routing':
      bytes[1] = length / 8 - 1;
      bytes[2] = 4;
      bytes[3] = extension.left ?? 0;
      break;
    default:
      /* One PadN option that fills it. */
      bytes[1] = length / 8 - 1;
      bytes[2] = 1;
      bytes[3] = length - 4;
  }
  return bytes;
}

/** The Ethernet frame around the packet. */
export function frameAround({ vlan, fromNode = false }: IpHeader, packet: Buffer): Buffer {
  const addresses = Buffer.from(fromNode ? station + node : node + station, 'hex');
  const tag = Buffer.alloc(vlan === undefined ? 0 : 4);
  if (vlan !== undefined) {
    tag.writeUInt16BE(0x8100, 0);
    tag.writeUInt16BE(vlan, 2);
  }
  const type = Buffer.from((packet[0] as number) >> 4 === 4 ? '0800' : '86dd', 'hex');
  return Buffer.concat([addresses, tag, type, packet]);
}
