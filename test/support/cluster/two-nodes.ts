import type { Family } from '../../../lib/address';
import type { Cleanup } from '../cleanup';
import type { NodeFunctions } from './agent';
import { makeCgroup } from './cgroup';
import { connect, Namespace } from './namespace';
import type { PeerFunctions } from './peer';
import { start } from './process';
import type { Remote } from './rpc';

/** Addresses, one of each family. */
export type Addresses = Readonly<Record<Family, string>>;

/** A place with sockets: a pod, a node's own namespace, the client outside. */
export interface Host {
  readonly name: string;
  readonly namespace: Namespace;
  readonly addresses: Addresses;
  /** Its processes' cgroup, which decides whether sockets are translated. */
  readonly cgroup: string | undefined;
  /** The process that opens sockets there; started on first use. */
  peer(): Promise<Remote<PeerFunctions>>;
}

export interface Pod extends Host {
  /** The node's end of its link. */
  readonly device: string;
  /** The node that it runs on. */
  readonly node: Node;
}

export interface Node extends Host {
  readonly cgroup: string;
  readonly pods: readonly [Pod, Pod];
  /** The process that opens LoadBalancers there; started on first use. */
  agent(): Promise<Remote<NodeFunctions>>;
}

/**
 * Two nodes with two pods each, and a client outside, on one segment:
 *
 *     client eth0 ---+--- node1 eth0 | lxc1 --- eth0 pod1a
 *                    |               | lxc2 --- eth0 pod1b
 *                    +--- node2 eth0 | ...
 *
 * Nodes know the way to each other's pods; the client knows no pods. It sends what is for 198.51.100.0/24,
 * 2001:db8:51::/48, 10.96.0.0/16 and fd00:96::/48 (addresses of services) to node1.
 */
export interface TwoNodes {
  readonly nodes: readonly [Node, Node];
  readonly client: Host;
}

const anywhere = { 4: '0.0.0.0/0', 6: '::/0' } as const;

function lanAddresses(number: number): Addresses {
  return { 4: `10.100.0.${number}`, 6: `fd00:100::${number}` };
}

function podAddresses(node: number, number: number): Addresses {
  return { 4: `10.244.${node}.${number}`, 6: `fd00:244:${node}::${number}` };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

function makeHost(
  cleanup: Cleanup,
  name: string,
  namespace: Namespace,
  addresses: Addresses,
  cgroup: string | undefined,
): Host {
  const peer = once(() => start<PeerFunctions>(cleanup, { namespace, cgroup }, 'peer.ts'));
  return { name, namespace, addresses, cgroup, peer };
}

function makePod(cleanup: Cleanup, node: Node, nodeNumber: number, index: number): Pod {
  const name = `pod${nodeNumber}${'ab'[index]}`;
  const device = `lxc${index + 1}`;
  const namespace = Namespace.make(cleanup, name);
  const addresses = podAddresses(nodeNumber, 11 + index);
  const gateway = podAddresses(nodeNumber, 1);
  connect(
    { namespace: node.namespace, device, addresses: [`${gateway[4]}/32`, `${gateway[6]}/128`] },
    { namespace, device: 'eth0', addresses: [`${addresses[4]}/32`, `${addresses[6]}/128`] },
  );
  for (const family of [4, 6] as const) {
    const target = `${addresses[family]}/${family === 4 ? 32 : 128}`;
    node.namespace.ip(`route add ${target} dev ${device}`);
    namespace.ip(
      `route add ${gateway[family]} dev eth0`,
      `route add ${anywhere[family]} via ${gateway[family]} dev eth0`,
    );
  }
  return { ...makeHost(cleanup, name, namespace, addresses, node.cgroup), device, node };
}

function makeNode(cleanup: Cleanup, number: number, segment: Namespace): Node {
  const name = `node${number}`;
  const namespace = Namespace.make(cleanup, name);
  namespace.forward();
  const addresses = lanAddresses(number);
  joinSegment(segment, name, namespace, addresses);
  const other = 3 - number;
  namespace.ip(
    `route add 10.244.${other}.0/24 via ${lanAddresses(other)[4]}`,
    `route add fd00:244:${other}::/64 via ${lanAddresses(other)[6]}`,
  );
  const cgroup = makeCgroup(cleanup, name);
  const agent = once(() => start<NodeFunctions>(cleanup, { namespace }, 'agent.ts'));
  const pods: Pod[] = [];
  const node = {
    ...makeHost(cleanup, name, namespace, addresses, cgroup),
    cgroup,
    agent,
    pods,
  } as unknown as Node;
  for (const index of [0, 1]) pods.push(makePod(cleanup, node, number, index));
  return node;
}

function joinSegment(segment: Namespace, name: string, namespace: Namespace, addresses: Addresses): void {
  connect(
    { namespace: segment, device: name },
    { namespace, device: 'eth0', addresses: [`${addresses[4]}/24`, `${addresses[6]}/64`] },
  );
  segment.ip(`link set ${name} master bridge0`);
}

/** Everything is removed by the cleanup, processes included. */
export function makeTwoNodes(cleanup: Cleanup): TwoNodes {
  const segment = Namespace.make(cleanup, 'segment');
  segment.ip('link add bridge0 type bridge', 'link set bridge0 up');
  const nodes = [makeNode(cleanup, 1, segment), makeNode(cleanup, 2, segment)] as const;
  const namespace = Namespace.make(cleanup, 'client');
  const addresses = lanAddresses(100);
  joinSegment(segment, 'client', namespace, addresses);
  namespace.ip(
    `route add 198.51.100.0/24 via ${nodes[0].addresses[4]}`,
    `route add 10.96.0.0/16 via ${nodes[0].addresses[4]}`,
    `route add 2001:db8:51::/48 via ${nodes[0].addresses[6]}`,
    `route add fd00:96::/48 via ${nodes[0].addresses[6]}`,
  );
  return { nodes, client: makeHost(cleanup, 'client', namespace, addresses, undefined) };
}
