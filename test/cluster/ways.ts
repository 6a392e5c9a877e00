import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';

import type { BackendSpec, FrontendSpec } from '../../lib';
import type { Family } from '../../lib/address';
import type { Endpoint, Exchange } from '../support/cluster/exchange';
import type { PeerFunctions } from '../support/cluster/peer';
import type { Remote } from '../support/cluster/rpc';
import { podPort } from '../support/cluster/suite';
import type { Host, Pod } from '../support/cluster/two-nodes';

type Peer = Remote<PeerFunctions>;

/** The ways to ask a server, by name. */
export type Way = (typeof ways)[number];

export const ways = ['TCP', 'connected UDP', 'unconnected UDP'] as const;

/** Every address family as an application meets it. */
export const families = [4, 6] as const satisfies readonly Family[];

/** The type of a datagram socket that reaches an address. */
export function udpType(address: string): 'udp4' | 'udp6' {
  return isIPv6(address) ? 'udp6' : 'udp4';
}

let datagramPorts = 0;

/** Below the ephemeral ones: a port that the kernel gave out again would meet the flow of an earlier datagram. */
function nextDatagramPort(): number {
  return 10_000 + (datagramPorts++ % 20_000);
}

/** Asks once. `source` is where a datagram came from. */
export async function ask(
  peer: Peer,
  way: Way,
  to: Endpoint,
  timeout?: number,
): Promise<Exchange & { source?: Endpoint }> {
  const silence = timeout === undefined ? {} : { timeout };
  const udp = { type: udpType(to.address), localPort: nextDatagramPort(), ...silence };
  switch (way) {
    case 'TCP':
      return peer.tcp(to, silence);
    case 'connected UDP':
      return peer.connectedUdp(to, udp);
    case 'unconnected UDP':
      return (await peer.unconnectedUdp([to], udp))[0] as Exchange;
  }
}

/** A frontend for both protocols. */
export function both(frontend: Omit<FrontendSpec, 'protocol'>): FrontendSpec[] {
  return [
    { ...frontend, protocol: 'TCP' },
    { ...frontend, protocol: 'UDP' },
  ];
}

/** Backends of both families, or of one: what `servePod` started. `local` says which node they are seen from. */
export function backendsOf(pods: readonly Pod[], node: Host, ...only: Family[]): BackendSpec[] {
  return (only.length > 0 ? only : families).flatMap((family) =>
    pods.map((pod) => ({ address: pod.addresses[family], port: podPort, local: pod.node === node })),
  );
}

/** An IPv4 address as an IPv6 socket writes it. */
export function mapped(address: string): string {
  return `::ffff:${address}`;
}

/** Removes what an IPv6 socket adds to an IPv4 address. */
export function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}

/** The answer came from one of the pods, and looks as if it came from the frontend that was asked. */
export function assertBalanced(
  exchange: Exchange & { source?: Endpoint },
  frontend: Endpoint,
  pods: readonly Host[],
): void {
  assert.deepEqual(exchange.peer, frontend, 'the peer is the frontend');
  if (exchange.source) assert.deepEqual(exchange.source, frontend, 'the answer comes from the frontend');
  const names = pods.map(({ name }) => name);
  assert.ok(names.includes(exchange.server), `${exchange.server} is one of ${names.join(', ')}`);
}
