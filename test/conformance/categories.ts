import { selectBackends } from '../../lib/selection';
import { defineService, type ServiceDefinition } from '../../lib/service-definition';
import type { ServiceSpec } from '../../lib/spec';
import type { CaseCategories } from './packet-flow-case';

/** The lists of backends that frontends of a service use, as kube-proxy has them for each of its ports. */
export function categoriesOf(services: Iterable<ServiceSpec>): CaseCategories {
  const [cluster, local] = [new Set<string>(), new Set<string>()];
  let [usesCluster, usesLocal, usable] = [false, false, false];
  for (const spec of services) {
    const service = defineService(spec);
    const uses = usedBy(service);
    usesCluster ||= uses.cluster;
    usesLocal ||= uses.local;
    for (const family of new Set(service.frontends.map((frontend) => frontend.family))) {
      const selection = selectBackends(service, family);
      const { backends, count, localOffset, localCount } = selection;
      usable ||= selection.usable;
      if (uses.cluster) for (const { address } of backends.slice(0, count)) cluster.add(address);
      const ofNode = backends.slice(localOffset, localOffset + localCount);
      if (uses.local) for (const { address } of ofNode) local.add(address);
    }
  }
  return inOrder({
    cluster: usesCluster ? [...cluster] : null,
    local: usesLocal ? [...local] : null,
    allReachable: [...new Set([...cluster, ...local])],
    hasAnyEndpoints: usable,
  });
}

/** External frontends offer all backends to those inside, also with policy Local. */
function usedBy({ frontends, internalTrafficPolicy, externalTrafficPolicy }: ServiceDefinition) {
  const isExternal = frontends.some(({ type }) => type !== 'ClusterIP');
  return {
    cluster: internalTrafficPolicy === 'Cluster' || isExternal,
    local: internalTrafficPolicy === 'Local' || (externalTrafficPolicy === 'Local' && isExternal),
  };
}

/** With every list in order. */
export function inOrder(categories: CaseCategories): CaseCategories {
  const { cluster, local, allReachable, hasAnyEndpoints } = categories;
  return {
    cluster: cluster && cluster.toSorted(),
    local: local && local.toSorted(),
    allReachable: allReachable.toSorted(),
    hasAnyEndpoints,
  };
}
