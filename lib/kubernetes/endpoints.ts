import { type Family, formatEndpoint } from '../address';
import type { Protocol } from '../spec';
import { isPossibleName } from './identity';
import { isAbsent, listOf, objectOf, show, textMapOf, textOf } from './json';
import { familyOf, readList, readPort, readProtocol } from './fields';
import { compareTexts } from './order';
import { parseSloppyAddress } from './sloppy-address';
import type { Findings } from './warnings';

/** What is used of an endpoint of a slice. */
export interface SliceEndpoint {
  readonly address: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Runs on this node. */
  readonly local: boolean;
  /** Zones that hints name; absent: none. */
  readonly zones?: readonly string[];
  /** Whether hints name this node; absent: they name none. */
  readonly thisNode?: boolean;
}

/** What is used of an EndpointSlice. */
export interface SliceFacts {
  /** Its Service, in the same namespace. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly { readonly name: string; readonly protocol: Protocol; readonly port: number }[];
  readonly endpoints: readonly SliceEndpoint[];
}

/** An endpoint of one port of a Service. */
export interface Endpoint {
  /** `address:port`. */
  readonly key: string;
  readonly port: number;
  readonly record: SliceEndpoint;
}

const serviceLabel = 'kubernetes.io/service-name';

/** The Service that a slice belongs to; empty: none. */
export function serviceOfSlice(object: unknown): string {
  return textMapOf(objectOf(objectOf(object).metadata).labels).get(serviceLabel) ?? '';
}

/** Reads an EndpointSlice. Undefined for one that belongs to no Service, or has no addresses of IP. */
export function readSlice(object: unknown, nodeName: string, findings: Findings): SliceFacts | undefined {
  const slice = objectOf(object);
  const service = serviceOfSlice(slice);
  const family = familyOf(slice.addressType);
  if (service !== '' && !isPossibleName(service)) {
    findings.add('InvalidName', `${show(service)} is not a name of a Service`);
    return undefined;
  }
  if (service === '' || !family) return undefined;
  return {
    service,
    family,
    ports: readPorts(slice.ports, findings),
    endpoints: readList(slice.endpoints, 'endpoints', findings).flatMap((entry) =>
      readEndpoint(entry, family, nodeName, findings),
    ),
  };
}

/** Only ports that have both a name, which may be empty, and a number. */
function readPorts(list: unknown, findings: Findings): SliceFacts['ports'] {
  return readList(list, 'ports', findings).flatMap((entry) => {
    const { name, port: number, protocol: ofProtocol } = objectOf(entry);
    if (typeof name !== 'string' || isAbsent(number) || number === 0) return [];
    const protocol = readProtocol(ofProtocol, `protocol of port "${name}"`, findings);
    const port = readPort(number, `port "${name}"`, findings);
    return protocol && port ? [{ name, protocol, port }] : [];
  });
}

function readEndpoint(entry: unknown, family: Family, nodeName: string, findings: Findings): SliceEndpoint[] {
  const { addresses, conditions, nodeName: itsNode, hints } = objectOf(entry);
  const [first] = listOf(addresses);
  if (first === undefined) return [];
  const address = parseSloppyAddress(textOf(first));
  if (address?.family !== family) {
    findings.add('InvalidAddress', `endpoint ${show(first)} is not an IPv${family} address`);
    return [];
  }
  const { ready, serving, terminating } = objectOf(conditions);
  const { forZones, forNodes } = objectOf(hints);
  const [zones, nodes] = [namesOf(forZones), namesOf(forNodes)];
  return [
    {
      address: address.text,
      ready: ready !== false,
      serving: serving !== false,
      terminating: terminating === true,
      local: textOf(itsNode) !== '' && itsNode === nodeName,
      ...(zones.length > 0 && { zones }),
      ...(nodes.length > 0 && { thisNode: nodes.includes(nodeName) }),
    },
  ];
}

function namesOf(list: unknown): string[] {
  return listOf(list)
    .map((entry) => textOf(objectOf(entry).name))
    .filter((name) => name !== '');
}

/**
 * The endpoints of a port of a Service in one family, in the order of their texts: those of all slices, each of which
 * has numbers of its own for the port. `slices` has to be in an order that does not change.
 */
export function endpointsOf(
  slices: readonly SliceFacts[],
  family: Family,
  { name, protocol }: { readonly name: string; readonly protocol: Protocol },
): Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const its of slice.ports) {
      if (its.name !== name || its.protocol !== protocol) continue;
      for (const record of slice.endpoints) {
        const key = formatEndpoint(record.address, its.port);
        const other = endpoints.get(key);
        if (!other || isBetter(record, other.record)) endpoints.set(key, { key, port: its.port, record });
      }
    }
  }
  return [...endpoints.values()].sort((a, b) => compareTexts(a.key, b.key));
}

/** Of two records of one endpoint, as there are while it moves from slice to slice. */
function isBetter(a: SliceEndpoint, b: SliceEndpoint): boolean {
  if (a.terminating !== b.terminating) return !a.terminating;
  if (a.ready !== b.ready) return a.ready;
  return a.local && !b.local;
}
