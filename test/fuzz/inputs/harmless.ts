import { crc32c } from '../../program/packets';

/* What a reader of the RFCs sees in a frame, however broken; nothing here is shared with the code under test. */

const [hopByHop, routing, fragment, authentication, destinationOptions] = [0, 43, 44, 51, 60];
const [icmp, tcp, udp, icmp6, sctp] = [1, 6, 17, 58, 132];

interface View {
  readonly version: 4 | 6;
  readonly ip: Buffer;
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly protocol: number;
  /** No more than what the packet says it has; empty where its headers do not end. */
  readonly transport: Buffer;
  /** The packet has all that it says. */
  readonly whole: boolean;
  /** A later fragment: what follows the IP headers is no transport header. */
  readonly later: boolean;
  readonly fragmented: boolean;
}

/** Undefined for what is no IP. */
function view(frame: Buffer, link: boolean): View | undefined {
  let at = 0;
  if (link) {
    at = 12;
    if (frame.length < 14) return undefined;
    if (frame.readUInt16BE(at) === 0x8100) at += 4;
    if (frame.length < at + 2) return undefined;
    at += 2;
  }
  const packet = frame.subarray(at);
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) return view4(packet);
  if (version === 6) return view6(packet);
  return undefined;
}

function view4(packet: Buffer): View | undefined {
  const length = ((packet[0] ?? 0) & 0xf) * 4;
  if (length < 20 || packet.length < length) return undefined;
  const total = packet.readUInt16BE(2);
  const flags = packet.readUInt16BE(6);
  return {
    version: 4,
    ip: packet.subarray(0, length),
    source: packet.subarray(12, 16),
    destination: packet.subarray(16, 20),
    protocol: packet[9] as number,
    transport: packet.subarray(length, Math.max(total, length)),
    whole: total >= length && total <= packet.length,
    later: (flags & 0x1fff) !== 0,
    fragmented: (flags & 0x3fff) !== 0,
  };
}

function view6(packet: Buffer): View | undefined {
  if (packet.length < 40) return undefined;
  const end = 40 + packet.readUInt16BE(4);
  let [at, protocol, later, fragmented] = [40, packet[6] as number, false, false];
  while ([hopByHop, routing, fragment, authentication, destinationOptions].includes(protocol) && !later) {
    if (at + 8 > Math.min(end, packet.length)) break;
    const size = packet[at + 1] as number;
    if (protocol === fragment) {
      later = packet.readUInt16BE(at + 2) >= 8;
      fragmented = later || (packet.readUInt16BE(at + 2) & 1) === 1;
    }
    const length = protocol === fragment ? 8 : protocol === authentication ? (size + 2) * 4 : (size + 1) * 8;
    protocol = packet[at] as number;
    at += length;
  }
  return {
    version: 6,
    ip: packet.subarray(0, Math.min(at, packet.length)),
    source: packet.subarray(8, 24),
    destination: packet.subarray(24, 40),
    protocol,
    transport: packet.subarray(at, Math.max(end, at)),
    whole: at <= end && end <= packet.length,
    later,
    fragmented,
  };
}

/** The sum of ones' complement, 0 for a header whose checksum is right. */
function residue(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  return sum % 0xffff;
}

/** Of the transport: 0 for a right one, undefined where there is none to look at. */
function transportResidue({ protocol, source, destination, transport, later }: View): number | undefined {
  if (later) return undefined;
  const sized = Buffer.alloc(4);
  sized.writeUInt16BE(transport.length, 0);
  sized.writeUInt16BE(protocol, 2);
  switch (protocol) {
    case tcp:
      return transport.length < 18 ? undefined : residue(source, destination, sized, transport);
    case udp:
      if (transport.length < 8 || transport.readUInt16BE(6) === 0) return undefined;
      return residue(source, destination, sized, transport);
    case icmp:
      return transport.length < 4 ? undefined : residue(transport);
    case icmp6:
      return transport.length < 4 ? undefined : residue(source, destination, sized, transport);
    case sctp: {
      if (transport.length < 12) return undefined;
      const right = crc32c(Buffer.from(transport).fill(0, 8, 12));
      return Buffer.compare(right, transport.subarray(8, 12)) === 0 ? 0 : 1;
    }
    default:
      return undefined;
  }
}

/** What is wrong with what became of a frame, or undefined. */
export function faultOf(before: Buffer, after: Buffer, link: boolean): string | undefined {
  if (before.equals(after)) return undefined;
  const [was, is] = [view(before, link), view(after, link)];
  if (!was) return 'what is no IP packet was changed';
  if (!is) return 'a packet became something else';
  if (!was.whole) return 'a packet that is cut off was changed';
  const translated = before.length === after.length ? faultOfTranslation(was, is) : 'the length was changed';
  if (translated === undefined) return undefined;
  return is.destination.equals(was.source) ? faultOfAnswer(is) : translated;
}

/** A checksum that was wrong stays as wrong as it was. */
function faultOfTranslation(was: View, is: View): string | undefined {
  if (is.version === 4 && residue(is.ip) !== residue(was.ip)) return 'the checksum of the IPv4 header is off';
  const [then, now] = [transportResidue(was), transportResidue(is)];
  if (was.protocol === sctp ? then === 0 && now !== 0 : then !== now) {
    return `the checksum of the transport is off by ${now} instead of ${then}`;
  }
  return was.later && !is.transport.equals(was.transport)
    ? 'the middle of a datagram was changed'
    : undefined;
}

function faultOfAnswer(answer: View): string | undefined {
  if (!answer.whole) return 'an answer has not the length that it says';
  if (answer.version === 4 && residue(answer.ip) !== 0) return 'the IPv4 checksum of an answer is wrong';
  return (transportResidue(answer) ?? 0) === 0 ? undefined : 'the checksum of an answer is wrong';
}
