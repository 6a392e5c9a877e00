import ipaddr from 'ipaddr.js';

import { formatEndpoint } from '../../lib/address';
import { parse } from '../program/packets';

/** What tc does next, as the programs say it. */
const codes = { next: 0xffffffff, drop: 2, redirect: 7 } as const;

/** What became of a packet. */
export type PacketFate =
  | { readonly verdict: 'reject' | 'drop' | 'untouched' }
  /** `source`: the address that it goes on with. */
  | { readonly verdict: 'forward'; readonly backend: string; readonly source: string }
  /** Something that should never be. */
  | { readonly verdict: 'broken'; readonly detail: string };

/** What became of the first packet of a flow: by the frame that was sent, and by what the program returned and left of it. */
export function fateOf(sent: Uint8Array, retval: number, left: Uint8Array): PacketFate {
  const broken = (why: string): PacketFate => ({
    verdict: 'broken',
    detail: `${why}: returned ${retval} with ${Buffer.from(left).toString('hex')}`,
  });
  if (retval === codes.drop) return { verdict: 'drop' };
  if (Buffer.compare(left, sent) === 0)
    return retval === codes.next ? { verdict: 'untouched' } : broken('unchanged, but not let through');
  const before = parse(sent);
  if (isUnreachable(left, before.destination, before.source))
    return retval === codes.redirect ? { verdict: 'reject' } : broken('an answer that is not sent');
  const after = parse(left);
  if (!after.valid) return broken('wrong checksums');
  const isAnswer =
    after.source === before.destination &&
    after.destination === before.source &&
    after.destinationPort === before.sourcePort;
  if (isAnswer)
    return retval === codes.redirect ? { verdict: 'reject' } : broken('an answer that is not sent');
  if (retval !== codes.redirect && retval !== codes.next) return broken('neither sent nor let through');
  return {
    verdict: 'forward',
    backend: formatEndpoint(after.destination, after.destinationPort),
    source: after.source,
  };
}

/** An ICMP or ICMPv6 message from `from` to `to` that says that the port is unreachable. */
function isUnreachable(frame: Uint8Array, from: string, to: string): boolean {
  const packet = Buffer.from(frame).subarray(14);
  const isIPv4 = (packet[0] as number) >> 4 === 4;
  const [protocol, type, code] = isIPv4 ? [packet[9], 3, 3] : [packet[6], 1, 4];
  if (protocol !== (isIPv4 ? 1 : 58)) return false;
  const at = (start: number, size: number) =>
    ipaddr.fromByteArray([...packet.subarray(start, start + size)]).toString();
  const [source, destination] = isIPv4 ? [at(12, 4), at(16, 4)] : [at(8, 16), at(24, 16)];
  const message = packet.subarray(isIPv4 ? 20 : 40);
  return message[0] === type && message[1] === code && source === from && destination === to;
}
