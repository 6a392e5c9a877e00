import { type Query, type SimulatedNode, Simulator, type SimulatorOptions } from '../../../lib/simulator';
import type { ServiceSpec } from '../../../lib/spec';

/** Tables for tests: small, so that opening is quick. */
const capacity = { frontends: 1023, backends: 4096, maglevSlots: 65_536 };

/** Towards clients and other nodes `eth0`, towards a pod `lxc1`. `eth9` carries no programs. */
export const node: SimulatedNode = {
  devices: [
    { name: 'eth0', addresses: ['192.0.2.10', '192.0.2.11', '2001:db8::10'] },
    { name: 'lxc1' },
    { name: 'eth9', addresses: ['192.0.2.90'], selected: false },
  ],
};

/** Addresses of a family, wherever they are used. */
export const addresses = {
  4: {
    node: '192.0.2.10',
    secondary: '192.0.2.11',
    clusterIP: '10.96.0.1',
    vip: '198.51.100.1',
    externalIP: '198.51.100.9',
    pod: '10.244.1.9',
    client: '203.0.113.5',
    here: '10.244.1.1',
    there: '10.244.2.1',
  },
  6: {
    node: '2001:db8::10',
    secondary: undefined,
    clusterIP: 'fd00:96::1',
    vip: '2001:db8:51::1',
    externalIP: '2001:db8:51::9',
    pod: 'fd00:244:1::9',
    client: '2001:db8:113::5',
    here: 'fd00:244:1::1',
    there: 'fd00:244:2::1',
  },
} as const;

export const families = [4, 6] as const;

/** A simulated node with these services. */
export async function open(
  services: readonly ServiceSpec[] = [],
  options: SimulatorOptions = {},
): Promise<Simulator> {
  const simulator = await Simulator.open({ node, capacity, ...options });
  simulator.apply(services);
  return simulator;
}

/** A service with a ClusterIP of each family and backends here and there, on both. */
export function web(changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name: 'default/web',
    frontends: families.map((f) => ({ type: 'ClusterIP', address: addresses[f].clusterIP, port: 80 })),
    backends: families.flatMap((f) => [
      { address: addresses[f].here, port: 8080, local: true },
      { address: addresses[f].there, port: 8080 },
    ]),
    ...changes,
  };
}

/** How `web` may be asked for. */
export const askers = {
  outside: (family: 4 | 6) => ({ device: 'eth0', from: addresses[family].client }),
  'a pod': (family: 4 | 6) => ({ device: 'lxc1', from: addresses[family].pod }),
  "a pod's socket": (family: 4 | 6) => ({ socket: { hostNetwork: false }, from: addresses[family].pod }),
  "the node's socket": (family: 4 | 6) => ({ socket: true, from: addresses[family].node }),
} satisfies Record<string, (family: 4 | 6) => Pick<Query, 'from'>>;

export type Asker = keyof typeof askers;
