import type { EndpointSliceObject, ServiceObject } from '../../lib/kubernetes';
import type { Protocol } from '../../lib/spec';

/* Files of packet flows, as JSON has them. docs/conformance.md explains their fields. */

/** kube-proxy's modes that there are cases of. */
export type Mode = 'nftables' | 'iptables';

/** The node of a case. */
export interface CaseNode {
  readonly name: string;
  readonly ips: readonly string[];
  readonly zone?: string;
}

/** How kube-proxy is configured in a case. */
export interface CaseConfig {
  readonly masqueradeAll: boolean;
  /** Where sources are pods'; null, or none of a family: pods are not told from others. */
  readonly localPodCIDRs: readonly string[] | null;
  /** Null: all. */
  readonly nodePortAddresses: readonly string[] | null;
  readonly localhostNodePorts: boolean;
  readonly serviceCIDRs: readonly string[];
}

/** A packet, and what has to become of it. */
export interface CaseFlow {
  readonly name: string;
  readonly from: string;
  readonly fromKind: string;
  readonly protocol: Protocol;
  readonly to: string;
  readonly port: number;
  readonly expect: 'accept' | 'reject' | 'drop' | 'none';
  /** `ip:port`. None, where a listener of the node itself has to be let through. */
  readonly backends: readonly string[];
  readonly masquerade: boolean;
  readonly modes?: readonly Mode[];
}

/** Lists of addresses; null: no frontend uses the list. */
export interface CaseCategories {
  readonly cluster: readonly string[] | null;
  readonly local: readonly string[] | null;
  readonly allReachable: readonly string[];
  readonly hasAnyEndpoints: boolean;
}

/** A state of the cluster, and flows. */
export interface PacketFlowCase {
  readonly id: string;
  readonly modes?: readonly Mode[];
  readonly node: CaseNode;
  readonly config: CaseConfig;
  readonly configByMode?: Partial<Record<Mode, Partial<CaseConfig>>>;
  readonly featureGates?: Readonly<Record<string, boolean>>;
  /** Steps of one group are successive states of one cluster. */
  readonly sequence?: { readonly group: string; readonly step: number };
  categorize?: CaseCategories;
  readonly services: readonly ServiceObject[];
  readonly endpointSlices: readonly EndpointSliceObject[];
  readonly flows: readonly CaseFlow[];
}

/** The configuration in a mode. */
export function configIn(mode: Mode, { config, configByMode }: PacketFlowCase): CaseConfig {
  return { ...config, ...configByMode?.[mode] };
}

/** Whether a case or a flow speaks of a mode. */
export function isOf(mode: Mode, { modes }: { readonly modes?: readonly Mode[] }): boolean {
  return modes?.includes(mode) ?? true;
}

/** The cases in groups that follow each other, steps of one sequence in one group. */
export function groupsOf(cases: readonly PacketFlowCase[]): PacketFlowCase[][] {
  const groups = new Map<string, PacketFlowCase[]>();
  for (const [i, one] of cases.entries()) {
    const key = one.sequence ? `group ${one.sequence.group}` : `case ${i}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((group) =>
    group.toSorted((a, b) => (a.sequence?.step ?? 0) - (b.sequence?.step ?? 0)),
  );
}
