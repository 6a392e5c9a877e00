import { ServiceFlag } from './abi';
import { type Family, isLoopback } from './address';
import { type Cidr, contains } from './cidr';
import type { Placement } from './encode';
import type { FrontendDefinition, ServiceDefinition } from './service-definition';
import { isInternal } from './internal-service';
import type { Algorithm } from './spec';

/** What the LoadBalancer was opened with, as far as it decides who is served, and how. */
export interface ServicePolicy {
  readonly algorithm: Algorithm;
  /** Undefined: by the number of backends. */
  readonly maglevTableSize: number | undefined;
  readonly externalClusterIP: boolean;
  /** Those outside do not show themselves to backends of ClusterIPs. */
  readonly masqueradeExternalClusterIP: boolean;
  /** Nobody does. */
  readonly masqueradeAll: boolean;
  /** Where sockets and pods follow external IPs that are not the node's own. */
  readonly externalIPRanges: readonly Cidr[];
}

/** A node as it is by default. */
export const defaultPolicy: ServicePolicy = {
  algorithm: 'random',
  maglevTableSize: undefined,
  externalClusterIP: false,
  masqueradeExternalClusterIP: true,
  masqueradeAll: false,
  externalIPRanges: [],
};

const { INSIDE, OUTSIDE, INSIDE_LOCAL, OUTSIDE_LOCAL, INSIDE_SNAT, OUTSIDE_SNAT } = ServiceFlag;

/** Who is served by a frontend, under which policies: kube-proxy's rules, as its nftables mode has them. */
export function serviceFlags(
  frontend: FrontendDefinition,
  definition: ServiceDefinition,
  placement: Placement,
  weighted: boolean,
  policy: ServicePolicy,
  nodeAddresses: ReadonlySet<string>,
): number {
  return (
    (placement.usable ? ServiceFlag.USABLE : 0) |
    (isInternal(definition.name) ? ServiceFlag.CANARY : 0) |
    algorithmFlags(definition.algorithm ?? policy.algorithm, weighted) |
    (definition.affinityTimeout > 0 ? ServiceFlag.AFFINITY : 0) |
    (frontend.type === 'ClusterIP'
      ? clusterIPFlags(definition, policy)
      : externalFlags(frontend, definition, policy, nodeAddresses)) |
    rangeFlags(frontend, definition, nodeAddresses)
  );
}

function algorithmFlags(algorithm: Algorithm, weighted: boolean): number {
  if (algorithm === 'maglev') return ServiceFlag.MAGLEV;
  const least = algorithm === 'least-connections' ? ServiceFlag.LEAST : 0;
  return least | (weighted ? ServiceFlag.WEIGHTED : 0);
}

function clusterIPFlags({ internalTrafficPolicy }: ServiceDefinition, policy: ServicePolicy): number {
  const { externalClusterIP, masqueradeExternalClusterIP, masqueradeAll } = policy;
  return (
    INSIDE |
    (externalClusterIP ? OUTSIDE : 0) |
    (internalTrafficPolicy === 'Local' ? INSIDE_LOCAL | OUTSIDE_LOCAL : 0) |
    (masqueradeAll || masqueradeExternalClusterIP ? OUTSIDE_SNAT : 0) |
    (masqueradeAll ? INSIDE_SNAT : 0)
  );
}

/**
 * Policy Local is for those outside, who keep their address; those inside are offered all backends, and keep it too.
 *
 * Anyone who may create a Service may claim any external IP. Those inside follow such a claim only where the address is
 * the node's own, or in ranges that the embedder trusts (CVE-2020-8554); so they do that of a HostPort.
 */
function externalFlags(
  { type, address, family }: FrontendDefinition,
  { externalTrafficPolicy }: ServiceDefinition,
  policy: ServicePolicy,
  nodeAddresses: ReadonlySet<string>,
): number {
  const loopback = isLoopback(address);
  const local = externalTrafficPolicy === 'Local';
  const trusted =
    loopback ||
    nodeAddresses.has(address) ||
    (type === 'ExternalIPs' && inRanges(policy.externalIPRanges, family, address));
  const claimed = type === 'ExternalIPs' || (type === 'HostPort' && address !== '');
  return (
    (!claimed || trusted ? INSIDE : 0) |
    (loopback ? 0 : OUTSIDE) |
    (local ? OUTSIDE_LOCAL : INSIDE_SNAT | OUTSIDE_SNAT) |
    (type === 'HostPort' ? ServiceFlag.HOST_PORT : ServiceFlag.BIND)
  );
}

/** Ranges are for LoadBalancer frontends. A node that may come may come by the VIP as its address, where it has that. */
function rangeFlags(
  { type, family }: FrontendDefinition,
  { sourceRanges, sourceRangesPolicy }: ServiceDefinition,
  nodeAddresses: ReadonlySet<string>,
): number {
  const ranges = sourceRanges.filter((range) => range.family === family);
  if (type !== 'LoadBalancer' || ranges.length === 0) return 0;
  if (sourceRangesPolicy === 'deny') return ServiceFlag.RANGES | ServiceFlag.RANGES_DENY;
  const self = [...nodeAddresses].some((address) => ranges.some((range) => contains(range, address)));
  return ServiceFlag.RANGES | (self ? ServiceFlag.RANGES_SELF : 0);
}

function inRanges(ranges: readonly Cidr[], family: Family, address: string): boolean {
  return ranges.some((range) => range.family === family && contains(range, address));
}
