import { isIPv4, isIPv6 } from 'node:net';
import { inspect } from 'node:util';

import ipaddr from 'ipaddr.js';

import type { Question } from './decision-module';
import { formatAddress } from '../address';
import { LoadBalancerError } from '../errors';
import type { Protocol } from '../spec';

/** A socket that calls connect(), or sendmsg() without being connected. */
export interface SocketQuery {
  /** True: of the host's network namespace. `hostNetwork: false`: of a pod of this node. */
  socket: true | { hostNetwork: boolean };
  device?: never;
}

/** The first packet of a flow, as it comes in. */
export interface PacketQuery {
  /** Name of the device that it comes in through, whose role tells those outside from pods of this node. */
  device: string;
  socket?: never;
}

/** What somebody is about to ask for: see {@link SocketQuery} and {@link PacketQuery}. */
export type Query = {
  /**
   * The client. A packet's source; for a socket, which has no source yet, the first address of its network namespace,
   * by which session affinity and source ranges know it. Of the same family as `to`.
   */
  from: string;
  /** Of a packet; Maglev looks at it. Default: by the seed. */
  fromPort?: number;
  /** Any address: of a service, of this node, or of neither. */
  to: string;
  port: number;
  /** Default `'TCP'`. */
  protocol?: Protocol;
  /**
   * What the random draw is made from, an integer of 64 bits: the same one gives the same backend. Default: drawn anew.
   */
  seed?: number | bigint;
} & (SocketQuery | PacketQuery);

/** A query that was understood. */
export interface ParsedQuery {
  readonly question: Question;
  /** The destination's address in canonical form. */
  readonly to: string;
  readonly protocol: Protocol;
}

const protocolNumbers: Record<Protocol, number> = { TCP: 6, UDP: 17, SCTP: 132 };

/**
 * Validates. `ifindexOf`: 0 for a device that is not selected.
 *
 * @throws LoadBalancerError `ERR_BPF_INVALID_ADDRESS`, `ERR_BPF_INVALID_PORT`, `ERR_BPF_INVALID_PROTOCOL`,
 *   `ERR_BPF_INVALID_OPTION`, with the field's name.
 */
export function parseQuery(query: Query, ifindexOf: (device: string) => number): ParsedQuery {
  if (typeof query !== 'object' || query === null) throw invalidOption('query', query, 'is not an object');
  const { protocol = 'TCP' } = query;
  const number = protocolNumbers[protocol];
  if (number === undefined) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_PROTOCOL',
      `query.protocol: ${inspect(protocol)} is not one of TCP, UDP and SCTP.`,
    );
  }
  const from = parseAny('from', query.from);
  const to = parseAny('to', query.to);
  if (from.isIPv6 !== to.isIPv6) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_ADDRESS',
      `query: ${query.from} and ${query.to} are not of one family.`,
    );
  }
  const { device, socket } = query;
  if (
    (device === undefined) === (socket === undefined) ||
    (device !== undefined && typeof device !== 'string')
  ) {
    throw invalidOption('query', { device, socket }, "needs either a device's name or a socket");
  }
  const seed = parseSeed(query.seed);
  const question: Question = {
    from: from.words,
    to: to.words,
    isIPv6: to.isIPv6,
    fromPort: query.fromPort === undefined ? ephemeralPort(seed.low) : parsePort('fromPort', query.fromPort),
    port: parsePort('port', query.port),
    protocol: number,
    seed,
    isSocket: device === undefined,
    inHostNamespace: device === undefined && isOfHost(socket),
    ifindex: device === undefined ? 0 : ifindexOf(device),
  };
  return { question, to: to.text, protocol };
}

function invalidOption(field: string, value: unknown, why: string): LoadBalancerError {
  return new LoadBalancerError('ERR_BPF_INVALID_OPTION', `${field}: ${inspect(value)} ${why}.`);
}

function isOfHost(socket: unknown): boolean {
  if (socket === true) return true;
  if (typeof socket === 'object' && socket !== null && 'hostNetwork' in socket) {
    if (typeof socket.hostNetwork === 'boolean') return socket.hostNetwork;
  }
  throw invalidOption('query.socket', socket, 'is neither true nor { hostNetwork: true or false }');
}

function parsePort(field: string, port: unknown): number {
  if (typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_PORT',
    `query.${field}: ${inspect(port)} is not a port: use an integer from 0 to 65535.`,
  );
}

const wordSize = 2 ** 32;

function parseSeed(seed: unknown): Question['seed'] {
  if (seed === undefined) return { low: randomWord(), high: randomWord() };
  if (typeof seed === 'number' && Number.isSafeInteger(seed)) {
    return { low: seed >>> 0, high: Math.floor(seed / wordSize) >>> 0 };
  }
  if (typeof seed === 'bigint')
    return { low: Number(seed & 0xffffffffn), high: Number((seed >> 32n) & 0xffffffffn) };
  throw invalidOption('query.seed', seed, 'is not an integer');
}

function randomWord(): number {
  return Math.floor(Math.random() * wordSize);
}

/** Among those that Linux gives to sockets by default. */
function ephemeralPort(seed: number): number {
  return 32_768 + (seed & 0x3fff);
}

interface AnyAddress {
  /** Canonical. */
  readonly text: string;
  /** Of the 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  readonly words: Uint32Array;
  readonly isIPv6: boolean;
}

/** Addresses that were asked for lately, by their text: most questions are about few. */
const known = new Map<string, AnyAddress>();
const maxKnown = 4096;

/** Of a frontend or not, unicast or not. */
function parseAny(field: string, text: unknown): AnyAddress {
  const found = known.get(text as string);
  if (found) return found;
  if (typeof text !== 'string' || !(isIPv4(text) || isIPv6(text)) || text.includes('%')) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_ADDRESS',
      `query.${field}: ${inspect(text)} is not an IP address.`,
    );
  }
  /* A mapped address is one of IPv4: `process` sees to it. */
  const address = ipaddr.process(text);
  const isV4 = address.kind() === 'ipv4';
  const bytes = isV4 ? (address as ipaddr.IPv4).toIPv4MappedAddress().toByteArray() : address.toByteArray();
  const canonical = formatAddress(Uint8Array.from(address.toByteArray())).text;
  const words = new Uint32Array(Uint8Array.from(bytes).buffer);
  const parsed = { text: canonical, words, isIPv6: !isV4 };
  if (known.size >= maxKnown) known.clear();
  known.set(text, parsed);
  return parsed;
}
