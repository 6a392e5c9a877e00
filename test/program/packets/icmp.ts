import { internetChecksum, pseudoHeader } from './checksums';
import { bytesOf, frameAround, type IpHeader, ipPacket, protocolNumbers } from './ip';

/** ICMP over IPv4, ICMPv6 over IPv6. */
export interface Message extends IpHeader {
  type: number;
  code?: number;
  /** The second word: identifier and sequence number of an echo, the MTU of a packet that is too big. Default 0. */
  info?: number;
  /** An error quotes a packet, an echo carries data. */
  body?: Uint8Array;
}

/** Types and codes by family. */
export const messages = {
  4: {
    echoRequest: { type: 8 },
    echoReply: { type: 0 },
    portUnreachable: { type: 3, code: 3 },
    tooBig: { type: 3, code: 4 },
    timeExceeded: { type: 11, code: 0 },
    redirect: { type: 5, code: 1 },
  },
  6: {
    echoRequest: { type: 128 },
    echoReply: { type: 129 },
    portUnreachable: { type: 1, code: 4 },
    tooBig: { type: 2, code: 0 },
    timeExceeded: { type: 3, code: 0 },
    redirect: { type: 137, code: 0 },
  },
} as const;

/** The frame, with every checksum right. */
export function buildMessage(message: Message): Buffer {
  return frameAround(message, messageWithoutLink(message));
}

/** The same from the IP header on. */
export function messageWithoutLink(message: Message): Buffer {
  const [source, destination] = [bytesOf(message.source), bytesOf(message.destination)];
  const bytes = Buffer.concat([Buffer.alloc(8), message.body ?? new Uint8Array()]);
  const protocol = source.length === 4 ? protocolNumbers.ICMP : protocolNumbers.ICMPv6;
  bytes[0] = message.type;
  bytes[1] = message.code ?? 0;
  bytes.writeUInt32BE(message.info ?? 0, 4);
  const pseudo =
    source.length === 4 ? new Uint8Array() : pseudoHeader(source, destination, protocol, bytes.length);
  bytes.writeUInt16BE(internetChecksum(pseudo, bytes), 2);
  return ipPacket(message, protocol, bytes);
}
