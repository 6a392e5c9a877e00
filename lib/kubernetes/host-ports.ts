import type { Address } from '../address';
import type { Protocol, ServiceSpec } from '../spec';
import { isAbsent, type Json, listOf, objectOf, show, textOf } from './json';
import { serviceName } from './names';
import { readOptionalPort, readPort, readProtocol } from './fields';
import { parseSloppyAddress } from './sloppy-address';
import type { Findings } from './warnings';

/** What is used of a Pod. */
export interface PodFacts {
  readonly services: readonly ServiceSpec[];
  /** It leaves its host ports to others that claim them. */
  readonly terminating: boolean;
}

interface HostPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: Protocol;
  /** Empty: every address of the node; or of one family, when it says so. */
  readonly hostIP: string;
}

/**
 * Reads the host ports of a Pod: a service for each. Undefined for a Pod that has none, is of another node, does not
 * run, or uses the node's network itself.
 */
export function readPod(
  object: unknown,
  { namespace, name }: { namespace: string; name: string },
  nodeName: string,
  findings: Findings,
): PodFacts | undefined {
  const { metadata, spec: ofSpec, status: ofStatus } = objectOf(object);
  const [spec, status] = [objectOf(ofSpec), objectOf(ofStatus)];
  if (spec.nodeName !== nodeName || spec.hostNetwork === true) return undefined;
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return undefined;
  const ports = distinct(
    containersOf(spec).flatMap((container) => readHostPorts(container, findings)),
    findings,
  );
  const addresses = ports.length > 0 ? readPodIPs(status, findings) : [];
  const services = ports.flatMap((port) => serviceOf(`${namespace}/${name}`, port, ports, addresses));
  if (services.length === 0) return undefined;
  const terminating = !isAbsent(objectOf(metadata).deletionTimestamp);
  return { services, terminating };
}

function distinct(ports: readonly HostPort[], findings: Findings): HostPort[] {
  return ports.filter((port, i) => {
    const isSame = (other: HostPort) =>
      other.hostPort === port.hostPort && other.protocol === port.protocol && other.hostIP === port.hostIP;
    const isFirst = ports.findIndex(isSame) === i;
    if (!isFirst)
      findings.add('DuplicatePort', `hostPort ${port.hostPort} for ${port.protocol} is there twice`);
    return isFirst;
  });
}

/** Containers that run for as long as the Pod does: sidecars are among those that init. */
function containersOf({ containers, initContainers }: Json): Json[] {
  const sidecars = listOf(initContainers).map(objectOf);
  return [
    ...listOf(containers).map(objectOf),
    ...sidecars.filter(({ restartPolicy }) => restartPolicy === 'Always'),
  ];
}

function readHostPorts({ ports }: Json, findings: Findings): HostPort[] {
  return listOf(ports)
    .map(objectOf)
    .flatMap(({ hostPort: ofHost, containerPort: ofContainer, protocol: ofProtocol, hostIP: ofIP }) => {
      const hostPort = readOptionalPort(ofHost, 'hostPort', findings);
      if (!hostPort) return [];
      const containerPort = readPort(ofContainer, `containerPort of hostPort ${hostPort}`, findings);
      const protocol = readProtocol(ofProtocol, `protocol of hostPort ${hostPort}`, findings);
      const hostIP = readHostIP(ofIP, hostPort, findings);
      return containerPort && protocol && hostIP !== undefined
        ? [{ hostPort, containerPort, protocol, hostIP }]
        : [];
    });
}

const everyAddress = ['0.0.0.0', '::'];

function readHostIP(value: unknown, hostPort: number, findings: Findings): string | undefined {
  if (isAbsent(value) || value === '') return '';
  const text = textOf(value);
  if (everyAddress.includes(text)) return text;
  const address = parseSloppyAddress(text);
  if (!address)
    findings.add('InvalidAddress', `hostIP ${show(value)} of hostPort ${hostPort} is not an address`);
  return address?.text;
}

function readPodIPs(status: Json, findings: Findings): Address[] {
  const listed = listOf(status.podIPs).map((entry) => textOf(objectOf(entry).ip));
  const texts = listed.length > 0 ? listed : [textOf(status.podIP)];
  const addresses = texts
    .filter((text) => text !== '')
    .flatMap((text) => {
      const address = parseSloppyAddress(text);
      if (!address) findings.add('InvalidAddress', `podIP ${show(text)} is not an address`);
      return address ?? [];
    });
  return addresses.filter((a, i) => addresses.findIndex((b) => b.family === a.family) === i);
}

function serviceOf(
  pod: string,
  { hostPort, containerPort, protocol, hostIP }: HostPort,
  all: readonly HostPort[],
  podIPs: readonly Address[],
): ServiceSpec[] {
  const isReached = ({ family }: Address) => hostIP === '' || hostIP.includes(':') === (family === 6);
  const backends = podIPs
    .filter(isReached)
    .map(({ text }) => ({ address: text, port: containerPort, local: true }));
  if (backends.length === 0) return [];
  const alike = all.filter((other) => other.hostPort === hostPort && other.hostIP === hostIP);
  const port = `host-port:${hostPort}${hostIP && `:${hostIP}`}`;
  const address = hostIP === '' || everyAddress.includes(hostIP) ? undefined : hostIP;
  return [
    {
      name: serviceName(pod, port, protocol, alike),
      frontends: [{ type: 'HostPort', ...(address && { address }), port: hostPort, protocol }],
      backends,
    },
  ];
}
