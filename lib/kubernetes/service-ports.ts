import type { Family } from '../address';
import type { FrontendType, Protocol, TrafficPolicy } from '../spec';
import { readAnnotations, type ServiceAnnotations } from './annotations';
import { isPossibleName } from './identity';
import { isAbsent, type Json, objectOf, show, textMapOf, textOf, textsOf } from './json';
import { familyOf, readList, readOptionalPort, readPort, readProtocol } from './fields';
import { parseSharedAddress, parseSloppyRange } from './sloppy-address';
import type { Findings } from './warnings';

/** A port of a Service. */
export interface ServicePort {
  /** May be empty. Joins it with the ports of EndpointSlices, together with the protocol. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort?: number;
}

/** An address that clients use, of all ports of a Service. */
export interface ServiceAddress {
  readonly type: Exclude<FrontendType, 'NodePort' | 'HostPort'>;
  readonly family: Family;
  readonly address: string;
}

/** What is used of a Service. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  /** In which it exists: those of its cluster IPs. */
  readonly families: readonly Family[];
  readonly addresses: readonly ServiceAddress[];
  readonly ports: readonly ServicePort[];
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** Seconds; absent: no session affinity. */
  readonly affinityTimeout?: number;
  /** Canonical; of the families of the Service alone. */
  readonly sourceRanges: readonly string[];
  readonly healthCheckNodePort?: number;
  readonly annotations: ServiceAnnotations;
}

const defaultAffinityTimeout = 10_800;

/** Reads a Service. Undefined for one that has no cluster IP: it is headless, or of type ExternalName, or not ready. */
export function readService(
  object: unknown,
  { namespace, name }: { namespace: string; name: string },
  annotationPrefix: string,
  findings: Findings,
): ServiceFacts | undefined {
  const { metadata, spec: ofSpec, status } = objectOf(object);
  const spec = objectOf(ofSpec);
  const ownAddresses = spec.type === 'ExternalName' ? [] : readClusterIPs(spec, findings);
  if (ownAddresses.length === 0) return undefined;
  const externalIPs = readList(spec.externalIPs, 'externalIPs', findings);
  const served = ownAddresses.map(({ family }) => family);
  const externalTrafficPolicy = readPolicy(spec, 'externalTrafficPolicy', findings);
  const affinityTimeout = readAffinity(spec, findings);
  const checked = spec.type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
  const healthCheckNodePort =
    checked && readOptionalPort(spec.healthCheckNodePort, 'healthCheckNodePort', findings);
  return {
    namespace,
    name,
    families: served,
    addresses: distinct([
      ...ownAddresses,
      ...readAddresses('LoadBalancer', virtualIPs(status, findings), served, findings),
      ...readAddresses('ExternalIPs', externalIPs, served, findings),
    ]),
    ports: readPorts(spec.ports, findings),
    internalTrafficPolicy: readPolicy(spec, 'internalTrafficPolicy', findings),
    externalTrafficPolicy,
    ...(affinityTimeout && { affinityTimeout }),
    sourceRanges: readSourceRanges(spec.loadBalancerSourceRanges, served, findings),
    ...(healthCheckNodePort && { healthCheckNodePort }),
    annotations: readAnnotations(textMapOf(objectOf(metadata).annotations), annotationPrefix, findings),
  };
}

/** The first of each family. Without `ipFamilies`, it is `clusterIP` that counts. */
function readClusterIPs(spec: Json, findings: Findings): ServiceAddress[] {
  const listed = readList(spec.clusterIPs, 'clusterIPs', findings);
  const clusterIP = isAbsent(spec.clusterIP) ? listed[0] : spec.clusterIP;
  if (!clusterIP || clusterIP === 'None') return [];
  const wanted = textsOf(spec.ipFamilies);
  if (wanted.length === 0) return readAddresses('ClusterIP', [clusterIP], [4, 6], findings);
  const ips = listed.length > 0 ? listed : [clusterIP];
  const addresses = new Map<Family, ServiceAddress>();
  wanted.forEach((wantedFamily, i) => {
    const family = familyOf(wantedFamily);
    const ip = ips[i];
    if (!family || !ip || addresses.has(family)) return;
    const [address] = readAddresses('ClusterIP', [ip], [4, 6], findings);
    if (address?.family === family) addresses.set(family, address);
    else if (address) findings.add('InvalidAddress', `ClusterIP ${show(ip)} is not ${wantedFamily}`);
  });
  return [...addresses.values()];
}

/** Those that the load balancer passes on as they are; with ipMode Proxy it is a client like others (KEP-1860). */
function virtualIPs(status: unknown, findings: Findings): unknown[] {
  return readList(objectOf(objectOf(status).loadBalancer).ingress, 'ingress', findings)
    .map(objectOf)
    .filter(({ ip, ipMode }) => !isAbsent(ip) && ip !== '' && (isAbsent(ipMode) || ipMode === 'VIP'))
    .map(({ ip }) => ip);
}

function readAddresses(
  type: ServiceAddress['type'],
  ips: readonly unknown[],
  served: readonly Family[],
  findings: Findings,
): ServiceAddress[] {
  return ips.flatMap((ip) => {
    const address = parseSharedAddress(textOf(ip));
    if (!address) findings.add('InvalidAddress', `${type} ${show(ip)} is not an address`);
    return address && served.includes(address.family)
      ? [{ type, family: address.family, address: address.text }]
      : [];
  });
}

/**
 * An address that is there twice counts as the first. So a VIP that is an external IP, too, has the source ranges of a
 * VIP.
 */
function distinct(addresses: readonly ServiceAddress[]): ServiceAddress[] {
  return addresses.filter((a, i) => addresses.findIndex((b) => b.address === a.address) === i);
}

function readPolicy(spec: Json, field: string, findings: Findings): TrafficPolicy {
  const policy = spec[field];
  if (policy === 'Local' || policy === 'Cluster') return policy;
  if (!isAbsent(policy) && policy !== '') {
    findings.add('InvalidTrafficPolicy', `${field} ${show(policy)}: Cluster is used`);
  }
  return 'Cluster';
}

function readAffinity(spec: Json, findings: Findings): number | undefined {
  const { sessionAffinity } = spec;
  if (sessionAffinity === 'ClientIP') {
    const { timeoutSeconds } = objectOf(objectOf(spec.sessionAffinityConfig).clientIP);
    if (isAbsent(timeoutSeconds)) return defaultAffinityTimeout;
    if (isTimeout(timeoutSeconds)) return timeoutSeconds;
    const problem = `timeoutSeconds ${show(timeoutSeconds)}: ${defaultAffinityTimeout} is used`;
    findings.add('InvalidSessionAffinity', problem);
    return defaultAffinityTimeout;
  }
  if (!isAbsent(sessionAffinity) && sessionAffinity !== 'None' && sessionAffinity !== '') {
    findings.add('InvalidSessionAffinity', `sessionAffinity ${show(sessionAffinity)}: None is used`);
  }
  return undefined;
}

function isTimeout(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 86_400;
}

function readSourceRanges(list: unknown, served: readonly Family[], findings: Findings): string[] {
  return readList(list, 'loadBalancerSourceRanges', findings).flatMap((text) => {
    const range = parseSloppyRange(textOf(text));
    if (!range) findings.add('InvalidSourceRange', `${show(text)} is not a CIDR range`);
    return range && served.includes(range.family) ? [range.text] : [];
  });
}

function readPorts(list: unknown, findings: Findings): ServicePort[] {
  const ports: ServicePort[] = [];
  for (const entry of readList(list, 'ports', findings)) {
    const { name: portName, port: number, protocol: ofProtocol, nodePort: ofNode } = objectOf(entry);
    const name = isAbsent(portName) ? '' : portName;
    if (typeof name !== 'string' || (name !== '' && !isPossibleName(name))) {
      findings.add('InvalidName', `${show(name)} is not a name of a port`);
      continue;
    }
    const protocol = readProtocol(ofProtocol, `protocol of port "${name}"`, findings);
    const port = readPort(number, `port "${name}"`, findings);
    const nodePort = readOptionalPort(ofNode, `nodePort of port "${name}"`, findings);
    if (!protocol || !port) continue;
    if (ports.some((p) => p.name === name && p.protocol === protocol)) {
      findings.add('DuplicatePort', `port "${name}" for ${protocol} is there twice`);
      continue;
    }
    ports.push({ name, protocol, port, ...(nodePort && { nodePort }) });
  }
  return ports;
}
