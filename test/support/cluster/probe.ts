import path from 'node:path';

import type { Endpoint } from './exchange';
import type { Namespace } from './namespace';

/** What came of an echo request; nothing when there was silence. */
export interface Echo {
  reply?: true;
  from?: string;
  /** Of the reply, if it is IPv4: the kernel does not tell of ICMPv6 messages whose sum is wrong. */
  checksum?: boolean;
}

/** What came of a datagram; nothing when there was silence. */
export interface Probe {
  answer?: true;
  /** The name of an errno. */
  error?: string;
  /** ICMP or ICMPv6. */
  type?: number;
  code?: number;
  /** Who answered, or sent the error. */
  from?: string;
  /** Where the datagram went that the error quotes: address and port. */
  about?: string;
}

const script = path.join(__dirname, 'probe.py');

/** Sends an ICMP echo request. */
export function ping(namespace: Namespace, address: string): Echo {
  return JSON.parse(namespace.run('python3', script, 'echo', address)) as Echo;
}

/** Sends a datagram that is forwarded `ttl - 1` times. */
export function probe(namespace: Namespace, { address, port }: Endpoint, ttl: number): Probe {
  return JSON.parse(namespace.run('python3', script, 'udp', address, String(port), String(ttl))) as Probe;
}
