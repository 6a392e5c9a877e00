import type { OpenOptions } from '../../lib/options';
import type { Cleanup } from '../support/cleanup';
import { connect, Namespace } from '../support/cluster/namespace';
import type { ModelDevice, ModelNode } from '../support/model';

/*
 * The one node of all cases. `eth0` leads to clients, `eth1` to another node with pods in 10.244.2.0/24 and fd00:2::/64,
 * `lxc0` to the pods of this node, 10.244.1.0/24 and fd00:1::/64, `eth2` to a network whose device is never selected.
 * Only one pod exists; nothing else does, because nothing is ever sent.
 */

/** Of every device: frames for other stations are not looked at. */
export const deviceAddress = '02:00:00:00:00:01';

interface TopologyDevice {
  readonly name: string;
  readonly kind: ModelDevice['kind'];
  /** With prefix length, oldest first. */
  readonly addresses: readonly string[];
}

const devices: readonly TopologyDevice[] = [
  /* The first of the namespace has no address of its own, as many have. */
  { name: 'aaa0', kind: 'external', addresses: [] },
  { name: 'eth0', kind: 'external', addresses: ['203.0.113.1/24', '2001:db8:1::1/64'] },
  {
    name: 'eth1',
    kind: 'external',
    addresses: ['10.0.9.1/24', '10.0.9.77/24', 'fd00:9::1/64', 'fd00:9::77/64'],
  },
  { name: 'lxc0', kind: 'pod', addresses: ['10.244.1.1/24', 'fd00:1::1/64'] },
  { name: 'eth2', kind: 'external', addresses: ['10.99.0.1/24', 'fd00:99::1/64'] },
];

/** Where extra addresses of the node are put: not first, so that the node is the same client with and without. */
export const extraDevice = 'eth1';

/** The pod that exists. */
export const pod = { 4: '10.244.1.9', 6: 'fd00:1::9' } as const;

/** By which address sockets of the node are known: the first one of its first device. */
export const host = { 4: '203.0.113.1', 6: '2001:db8:1::1' } as const;

const gateways = [
  { to: '0.0.0.0/0', via: '203.0.113.254', device: 'eth0' },
  { to: '::/0', via: '2001:db8:1::fe', device: 'eth0' },
  { to: '10.244.2.0/24', via: '10.0.9.2', device: 'eth1' },
  { to: 'fd00:2::/64', via: 'fd00:9::2', device: 'eth1' },
  /* One VIP of each family leads elsewhere than back to the clients. */
  { to: '198.51.100.8/32', via: '10.0.9.2', device: 'eth1' },
  { to: '2001:db8:f::8/128', via: 'fd00:9::2', device: 'eth1' },
];

/** The node as it is with the options, and with extra addresses. */
export function modelNode(options: OpenOptions, extra: readonly string[]): ModelNode {
  const patterns = options.devices ?? [];
  return {
    devices: devices.map(({ name, kind, addresses }) => ({
      name,
      kind,
      selected: patterns.includes(name),
      addresses: [
        ...addresses.map((address) => address.split('/')[0] as string),
        ...(name === extraDevice ? extra : []),
      ],
    })),
    routes: [
      ...devices.flatMap(({ name, addresses }) => addresses.map((to) => ({ to, device: name }))),
      ...gateways.map(({ to, device }) => ({ to, device })),
    ],
    options,
  };
}

/** The size of the tables of TCP connections in new namespaces (Linux 6.1). */
const smallTables = '/proc/sys/net/ipv4/tcp_child_ehash_entries';

/** The namespaces of the node and of its pod. */
export interface Topology {
  readonly node: Namespace;
  readonly pod: Namespace;
}

/** Makes the node; the cleanup removes it. */
export function makeTopology(cleanup: Cleanup): Topology {
  const others = Namespace.make(cleanup, 'fuzz-others');
  /* Sockets are looked up in the kernel's list of them, which is read as slowly as its table is large. */
  others.run('sh', '-ec', `[ ! -e ${smallTables} ] || echo 256 > ${smallTables}`);
  const node = Namespace.make(cleanup, 'fuzz', others);
  const podNamespace = Namespace.make(cleanup, 'fuzz-pod', others);
  node.forward();
  for (const { name, kind, addresses } of devices) {
    const peer = kind === 'pod' ? podNamespace : others;
    connect({ namespace: node, device: name, addresses }, { namespace: peer, device: `${name}p` });
    node.ip(`link set ${name} address ${deviceAddress}`);
  }
  node.ip(...gateways.map(({ to, via, device }) => `route add ${to} via ${via} dev ${device}`));
  podNamespace.ip(
    `addr add ${pod[4]}/24 dev lxc0p`,
    `addr add ${pod[6]}/64 dev lxc0p`,
    'route add 0.0.0.0/0 via 10.244.1.1',
    'route add ::/0 via fd00:1::1',
  );
  return { node, pod: podNamespace };
}
