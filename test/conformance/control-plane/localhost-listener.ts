import { parseKubeProxyConfig } from '../../../lib/kubernetes';
import { Simulator } from '../../../lib/simulator';
import type { Protocol, ServiceSpec } from '../../../lib/spec';
import { compared } from '../report';
import { type Check, type ControlPlaneCase, each } from './case';

interface ListenerCase extends ControlPlaneCase {
  /** Of KubeProxyNFTablesLocalhostNodePorts. */
  readonly gate: boolean;
  readonly nodePortAddresses: readonly string[];
  readonly listens: Readonly<Record<string, boolean>>;
  /** Served where it listens. */
  readonly protocols: readonly Protocol[];
}

const port = 30_080;

function serviceOf(protocol: Protocol): ServiceSpec {
  return {
    name: `default/web:${protocol}`,
    frontends: [{ type: 'NodePort', port, protocol }],
    backends: [
      { address: '10.244.2.2', port: 8080 },
      { address: 'fd00:2::2', port: 8080 },
    ],
  };
}

/** Whether NodePorts are to be had on loopback addresses: by sockets of the node, of kube-proxy's protocols and of others. */
export const localhostListener = each(async (one: ListenerCase): Promise<Check[]> => {
  const { open } = parseKubeProxyConfig({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    nodePortAddresses: [...one.nodePortAddresses],
    featureGates: { KubeProxyNFTablesLocalhostNodePorts: one.gate },
  });
  const { nodePortAddresses } = open;
  const simulator = await Simulator.open({
    ...(nodePortAddresses && { nodePortAddresses }),
    node: { devices: [{ name: 'eth0', addresses: ['192.0.2.1', '2001:db8::1'] }] },
  });
  simulator.apply([serviceOf('TCP'), serviceOf('UDP')]);
  const isServed = (to: string, protocol: Protocol) =>
    simulator.simulate({ from: to, to, port, protocol, socket: true }).verdict === 'forward';
  const protocols = one.protocols.length > 0 ? one.protocols : (['TCP'] as const);
  return Object.entries(one.listens).flatMap(([address, listens]) =>
    protocols.map((protocol) => ({
      name: `${address}, ${protocol}`,
      outcome: compared(listens, isServed(address, protocol)),
    })),
  );
});
