import { isAbsent, listOf, objectOf, show, textMapOf, textOf, textsOf } from './json';
import { zoneLabel } from './labels';
import { parseSloppyAddress, parseSloppyRange } from './sloppy-address';
import type { Findings } from './warnings';

/** This Node, as far as its object tells. */
export interface NodeFacts {
  readonly name: string;
  /** Canonical; the InternalIPs, then the ExternalIPs. The first is the primary one. */
  readonly addresses: readonly string[];
  /** Of label `topology.kubernetes.io/zone`; absent when that is empty. */
  readonly zone?: string;
  /** Canonical. */
  readonly podCIDRs: readonly string[];
  /** May take traffic of load balancers: it is not being deleted, nor going to be by the cluster autoscaler. */
  readonly eligible: boolean;
  readonly labels: ReadonlyMap<string, string>;
}

const scaledDownTaint = 'ToBeDeletedByClusterAutoscaler';

/** Reads a Node. */
export function readNode(object: unknown, name: string, findings: Findings): NodeFacts {
  const { metadata, spec, status } = objectOf(object);
  const labels = textMapOf(objectOf(metadata).labels);
  const { podCIDR, podCIDRs, taints } = objectOf(spec);
  const ranges = textsOf(podCIDRs);
  const zone = labels.get(zoneLabel);
  return {
    name,
    addresses: readAddresses(objectOf(status).addresses, findings),
    ...(zone && { zone }),
    podCIDRs: (ranges.length > 0 ? ranges : [textOf(podCIDR)]).flatMap((range) => readRange(range, findings)),
    eligible:
      isAbsent(objectOf(metadata).deletionTimestamp) &&
      !listOf(taints).some((taint) => objectOf(taint).key === scaledDownTaint),
    labels,
  };
}

function readAddresses(list: unknown, findings: Findings): string[] {
  const addresses = ['InternalIP', 'ExternalIP'].flatMap((type) =>
    listOf(list)
      .map(objectOf)
      .filter((entry) => entry.type === type)
      .flatMap(({ address }) => {
        const parsed = parseSloppyAddress(textOf(address));
        if (!parsed) findings.add('InvalidAddress', `${type} ${show(address)} is not an address`);
        return parsed ? [parsed.text] : [];
      }),
  );
  return [...new Set(addresses)];
}

function readRange(range: string, findings: Findings): string[] {
  if (range === '') return [];
  const parsed = parseSloppyRange(range);
  if (!parsed) findings.add('InvalidAddress', `podCIDR ${show(range)} is not a range`);
  return parsed ? [parsed.text] : [];
}
