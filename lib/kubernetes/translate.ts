import type { Family } from '../address';
import type { BackendSpec, FrontendSpec, FrontendType, ServiceSpec } from '../spec';
import { defaultAnnotationPrefix } from './annotations';
import { reachableFrom } from './candidate';
import { type Endpoint, endpointsOf, readSlice, serviceOfSlice, type SliceFacts } from './endpoints';
import { isReadable, keyOf, referenceOf } from './identity';
import { listOf, objectOf, textMapOf } from './json';
import { isHidden, matches } from './labels';
import { serviceName } from './names';
import type { EndpointSliceObject, ServiceObject } from './objects';
import { compareTexts } from './order';
import { readService, type ServiceFacts, type ServicePort } from './service-ports';
import { topologyFilter } from './topology';
import { Findings, type ObjectWarning } from './warnings';

/** What services depend on of the node they are for. */
export interface NodeView {
  readonly zone?: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

/** What one Service means on a node. */
export interface Translation {
  readonly services: readonly ServiceSpec[];
  /** Under which traffic policies there are endpoints, but none for those who come to this node. */
  readonly noLocalEndpoints: { readonly internal: boolean; readonly external: boolean };
}

/** Whether the Service lets the node serve it. */
export function isServedBy({ labels }: NodeView, { annotations }: ServiceFacts): boolean {
  return annotations.nodes?.some((requirements) => matches(labels, requirements)) ?? true;
}

/** One service for each port of a Service that has frontends. `slices` are its own, in an order that does not change. */
export function translate(facts: ServiceFacts, slices: readonly SliceFacts[], node: NodeView): Translation {
  const noLocalEndpoints = { internal: false, external: false };
  if (!isServedBy(node, facts)) return { services: [], noLocalEndpoints };
  const services = facts.ports.flatMap((port): ServiceSpec[] => {
    const frontends = frontendsOf(facts, port);
    if (frontends.length === 0) return [];
    const backends = facts.families.flatMap((family) => {
      const endpoints = endpointsOf(slices, family, port).filter(isUsable);
      if (lacksLocal(endpoints)) {
        noLocalEndpoints.internal ||= facts.internalTrafficPolicy === 'Local';
        noLocalEndpoints.external ||=
          facts.externalTrafficPolicy === 'Local' && isExternal(facts, port, family);
      }
      return backendsOf(endpoints, node.zone);
    });
    return [specOf(facts, port, frontends, backends)];
  });
  return { services, noLocalEndpoints };
}

function specOf(
  facts: ServiceFacts,
  port: ServicePort,
  frontends: readonly FrontendSpec[],
  backends: readonly BackendSpec[],
): ServiceSpec {
  const { affinityTimeout, sourceRanges } = facts;
  const { algorithm, sourceRangesPolicy } = facts.annotations;
  const alike = facts.ports.filter(({ name }) => name === port.name);
  return {
    name: serviceName(`${facts.namespace}/${facts.name}`, port.name, port.protocol, alike),
    frontends,
    backends: reachableFrom(frontends, backends),
    externalTrafficPolicy: frontends.some(({ type }) => type !== 'ClusterIP')
      ? facts.externalTrafficPolicy
      : 'Cluster',
    internalTrafficPolicy: facts.internalTrafficPolicy,
    ...(algorithm && { algorithm }),
    ...(affinityTimeout && { sessionAffinity: 'ClientIP', sessionAffinityTimeout: affinityTimeout }),
    ...(sourceRanges.length > 0 && { sourceRanges }),
    ...(sourceRanges.length > 0 && sourceRangesPolicy && { sourceRangesPolicy }),
  };
}

function frontendsOf({ addresses, annotations }: ServiceFacts, port: ServicePort): FrontendSpec[] {
  const isMade = (type: FrontendType) => annotations.types?.includes(type) ?? true;
  const { protocol, nodePort } = port;
  const frontends: FrontendSpec[] = addresses
    .filter(({ type }) => isMade(type))
    .map(({ type, address }) => ({ type, address, port: port.port, protocol }));
  if (nodePort && isMade('NodePort')) frontends.push({ type: 'NodePort', port: nodePort, protocol });
  return frontends;
}

/** Whether the port can be reached from outside: externalTrafficPolicy is about nothing else. */
function isExternal({ addresses }: ServiceFacts, { nodePort }: ServicePort, family: Family): boolean {
  return nodePort !== undefined || addresses.some((a) => a.type !== 'ClusterIP' && a.family === family);
}

/** May be used, if only as a last resort: it serves although it terminates (KEP-1669). */
function isUsable({ record }: Endpoint): boolean {
  return record.ready || (record.serving && record.terminating);
}

function lacksLocal(usable: readonly Endpoint[]): boolean {
  return usable.length > 0 && !usable.some(({ record }) => record.local);
}

function backendsOf(usable: readonly Endpoint[], zone: string | undefined): BackendSpec[] {
  const ready = usable.map(({ record }) => record).filter((record) => record.ready);
  const isOffered = topologyFilter(ready, zone);
  return usable.map(({ port, record }) => {
    const backend: BackendSpec = { address: record.address, port };
    if (!record.ready) backend.state = 'terminating';
    if (record.local) backend.local = true;
    if (record.ready && !isOffered(record)) backend.clusterWide = false;
    return backend;
  });
}

/** For {@link toServiceSpecs}. */
export interface TranslateOptions {
  /** Decides what is local, and which hints name this node. */
  nodeName: string;
  /** The node's label `topology.kubernetes.io/zone`. Default: none, so that hints for zones have no effect. */
  zone?: string;
  /** The node's labels, for annotations that choose nodes. Default none. */
  nodeLabels?: Readonly<Record<string, string>>;
  /** Default: objects without the label `service.kubernetes.io/service-proxy-name`. */
  serviceProxyName?: string;
  /** Default `service.bpf-lb.io/`. */
  annotationPrefix?: string;
}

/**
 * What one Service and EndpointSlices mean on a node, as a pure function: one service of the LoadBalancer for each port
 * of the Service. Slices of other Services are left out. Never throws: see the warnings for what is not used.
 */
export function toServiceSpecs(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  options: TranslateOptions,
): { services: readonly ServiceSpec[]; warnings: readonly ObjectWarning[] } {
  const {
    nodeName,
    zone,
    nodeLabels,
    serviceProxyName,
    annotationPrefix = defaultAnnotationPrefix,
  } = options;
  const warnings: ObjectWarning[] = [];
  const read = <T>(kind: 'Service' | 'EndpointSlice', object: unknown, how: (findings: Findings) => T) => {
    const findings = new Findings();
    const reference = referenceOf(kind, object);
    const labels = textMapOf(objectOf(objectOf(object).metadata).labels);
    const isUsed = isReadable(object, reference, findings) && !isHidden(labels, serviceProxyName);
    const facts = isUsed ? how(findings) : undefined;
    warnings.push(...findings.warningsOf(reference));
    return facts;
  };
  const { namespace = '', name } = referenceOf('Service', service);
  const facts = read('Service', service, (f) =>
    readService(service, { namespace, name }, annotationPrefix, f),
  );
  const sorted = listOf(slices)
    .map((object) => ({ object, reference: referenceOf('EndpointSlice', object) }))
    .filter(({ object, reference }) => reference.namespace === namespace && serviceOfSlice(object) === name)
    .sort((a, b) => compareTexts(keyOf(a.reference), keyOf(b.reference)));
  const own = sorted.flatMap(
    ({ object }) => read('EndpointSlice', object, (findings) => readSlice(object, nodeName, findings)) ?? [],
  );
  const labels = new Map(Object.entries(nodeLabels ?? {}));
  return { services: facts ? translate(facts, own, { zone, labels }).services : [], warnings };
}
