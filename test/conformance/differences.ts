import type { CaseConfig, CaseFlow, Mode } from './packet-flow-case';

/**
 * Where bpf-lb does otherwise than kube-proxy's iptables mode, because it has nftables mode's way, and no option for the
 * other one.
 */
interface Difference {
  readonly reason: string;
  /** Whether a flow depends on it. `got`: what became of the flow. */
  readonly applies: (flow: CaseFlow, got: string, place: Place) => boolean;
}

/** What a flow is about. */
interface Place {
  readonly config: CaseConfig;
  /** Addresses of cluster IPs of Services that are served. */
  readonly clusterIPs: ReadonlySet<string>;
  /** Addresses of LoadBalancer frontends with source ranges. */
  readonly guarded: ReadonlySet<string>;
}

const differences: readonly Difference[] = [
  {
    reason:
      'other ports and protocols of a ClusterIP are refused, as in nftables mode: who has the address wrong is told at once',
    applies: ({ expect, to }, got, { clusterIPs }) =>
      expect === 'none' && got === 'reject' && clusterIPs.has(to),
  },
  {
    reason:
      'source ranges come before everything else, as in nftables mode: who may not come is not told anything',
    applies: ({ expect, to }, got, { guarded }) => expect === 'reject' && got === 'drop' && guarded.has(to),
  },
];

/** The reason for which a flow of iptables mode ends otherwise, if it is one of those that were chosen. */
export function chosenDifference(mode: Mode, flow: CaseFlow, got: string, place: Place): string | undefined {
  if (mode !== 'iptables') return undefined;
  return differences.find(({ applies }) => applies(flow, got, place))?.reason;
}
