import { isDeepStrictEqual } from 'node:util';

import { type Cidr, contains, parseCidr } from '../../lib/cidr';
import { nodePortAddressesOf } from '../../lib/kubernetes/node-port-addresses';
import type { OpenOptions } from '../../lib/options';
import { Place } from '../../lib/place';
import { type CaseConfig, configIn, type Mode, type PacketFlowCase } from './packet-flow-case';

/*
 * The node that cases are run on: `eth0`, with the node's addresses, leads to clients; `eth1` to everything that is not on
 * the node, so that what is not ours has somewhere else to go; another device to its pods.
 */

/** An IP version. */
export type Family = 4 | 6;

/** What a node has to be for some flows of a case. */
export interface NodeSettings {
  readonly addresses: readonly string[];
  /** Pods are told from others: by their device, whose name says so. */
  readonly knowsPods: boolean;
  readonly options: OpenOptions;
}

/** Devices of the node. */
export const devices = { clients: 'eth0', others: 'eth1' } as const;

/** The device of pods. Who cannot tell pods from others has them behind a device as others are. */
export function podDevice({ knowsPods }: Pick<NodeSettings, 'knowsPods'>): string {
  return knowsPods ? 'lxc0' : 'tap0';
}

export function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

const everything = ['0.0.0.0/0', '::/0'];
const place = new Place('conformance');

/** kube-proxy's rules without any of ours, as far as options decide. */
export function settingsOf(one: PacketFlowCase, mode: Mode, knowsPods: boolean): NodeSettings {
  const config = configIn(mode, one);
  const gate = one.featureGates?.KubeProxyNFTablesLocalhostNodePorts === true;
  const included = mode === 'iptables' && config.localhostNodePorts;
  const localhost = included ? 'included' : mode === 'nftables' && gate ? 'named' : 'never';
  return {
    addresses: one.node.ips,
    knowsPods,
    options: {
      nodePortAddresses: nodePortAddressesOf(config.nodePortAddresses ?? ['all'], localhost),
      externalClusterIP: true,
      externalIPRanges: everything,
      masqueradeAll: config.masqueradeAll,
      masqueradeExternalClusterIP: knowsPods,
      masqueradeLocal: true,
      /* Of iptables mode no rule looks at them. */
      serviceCIDRs: mode === 'nftables' ? config.serviceCIDRs : [],
      /* Where pods are not told from others, nobody may see by the socket that it is one. */
      socketLB: knowsPods || { hostNamespaceOnly: true },
    },
  };
}

export function areSame(a: NodeSettings, b: NodeSettings): boolean {
  return isDeepStrictEqual(a, b);
}

function podRanges({ localPodCIDRs }: CaseConfig): Cidr[] {
  return (localPodCIDRs ?? []).map((range) => parseCidr(range, place));
}

/** Whether pods are told from others in the family: kube-proxy has a detector for each. */
export function knowsPods(config: CaseConfig, family: Family): boolean {
  return podRanges(config).some((range) => range.family === family);
}

/** Whether a source is a pod's. */
export function isPod(config: CaseConfig, address: string): boolean {
  return podRanges(config).some((range) => contains(range, address));
}
