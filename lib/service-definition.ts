import { inspect } from 'node:util';

import { type Address, type Family, families, formatEndpoint, isLoopback, parseAddress } from './address';
import { type Cidr, parseCidr } from './cidr';
import { LoadBalancerError } from './errors';
import { frontendKey, wildcardAddress } from './frontend-key';
import { Place } from './place';
import { isPrime } from './prime';
import type { Ramp } from './slow-start';
import type {
  Algorithm,
  BackendSpec,
  BackendState,
  FrontendSpec,
  FrontendType,
  Protocol,
  ServiceSpec,
  SourceRangesPolicy,
  TrafficPolicy,
} from './spec';

/** By what an entry of a service table is found. */
export interface FrontendKey {
  readonly family: Family;
  /** Canonical; empty for a wildcard (NodePort, HostPort without hostIP). */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** Identifies the table entry: two frontends with the same key cannot both exist. */
  readonly key: string;
}

/** A frontend of one address family: what one entry of a service table stands for. */
export interface FrontendDefinition extends FrontendKey {
  readonly type: FrontendType;
}

export interface BackendDefinition {
  readonly family: Family;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly state: BackendState;
  readonly local: boolean;
  readonly clusterWide: boolean;
  /** Given no new connections, whatever its state. Not part of what is desired: it stays until the backend goes. */
  readonly draining?: boolean;
  /** In slow start. Not part of what is desired either. */
  readonly ramp?: Ramp | undefined;
}

/** A validated, canonical service. */
export interface ServiceDefinition {
  readonly name: string;
  readonly frontends: readonly FrontendDefinition[];
  readonly backends: readonly BackendDefinition[];
  readonly externalTrafficPolicy: TrafficPolicy;
  readonly internalTrafficPolicy: TrafficPolicy;
  /** Undefined: that of the LoadBalancer; so is the size. */
  readonly algorithm: Algorithm | undefined;
  readonly maglevTableSize: number | undefined;
  /** Seconds; 0: no session affinity. */
  readonly affinityTimeout: number;
  readonly sourceRanges: readonly Cidr[];
  readonly sourceRangesPolicy: SourceRangesPolicy;
  /** Seconds; 0: backends have their whole share at once. */
  readonly slowStart: number;
  readonly resetOnRemoval: boolean;
}

const defaultAffinityTimeout = 10_800;
const algorithms: readonly unknown[] = ['random', 'maglev', 'least-connections'];
const frontendTypes: readonly string[] = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalIPs', 'HostPort'];
const backendStates: readonly string[] = ['active', 'terminating', 'quarantined', 'maintenance'];
const policies: readonly string[] = ['Cluster', 'Local'];

function parsePort(port: unknown, place: Place, field: string): number {
  if (typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65535) return port;
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_PORT',
    `${place.of(field)}: ${inspect(port)} is not a port: use an integer from 1 to 65535.`,
  );
}

function parseProtocol(protocol: unknown, place: Place): Protocol {
  if (protocol === undefined) return 'TCP';
  if (protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP') return protocol;
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_PROTOCOL',
    `${place.of('protocol')}: ${inspect(protocol)} is not balanced: use 'TCP', 'UDP' or 'SCTP'.`,
  );
}

function parsePolicy(policy: unknown, place: Place, field: string): TrafficPolicy {
  if (policy === undefined) return 'Cluster';
  if (typeof policy === 'string' && policies.includes(policy)) return policy as TrafficPolicy;
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_OPTION',
    `${place.of(field)}: ${inspect(policy)} is not a traffic policy: use 'Cluster' or 'Local'.`,
  );
}

function invalidOption(place: Place, field: string, value: unknown, why: string): LoadBalancerError {
  return new LoadBalancerError('ERR_BPF_INVALID_OPTION', `${place.of(field)}: ${inspect(value)} ${why}.`);
}

/** Also for the LoadBalancer's own default. */
export function parseAlgorithm(algorithm: unknown, place: Place): Algorithm | undefined {
  if (algorithm === undefined || algorithms.includes(algorithm)) return algorithm as Algorithm | undefined;
  throw invalidOption(
    place,
    'algorithm',
    algorithm,
    `is not an algorithm: use one of ${algorithms.join(', ')}`,
  );
}

/** Also for the LoadBalancer's own default. */
export function parseMaglevTableSize(size: unknown, place: Place): number | undefined {
  if (size === undefined) return undefined;
  if (typeof size === 'number' && size >= 251 && size <= 131_071 && isPrime(size)) return size;
  throw invalidOption(place, 'maglevTableSize', size, 'is not a prime from 251 to 131071');
}

function parseAffinityTimeout(
  { sessionAffinity, sessionAffinityTimeout }: ServiceSpec,
  place: Place,
): number {
  if (![undefined, 'None', 'ClientIP'].includes(sessionAffinity)) {
    throw invalidOption(place, 'sessionAffinity', sessionAffinity, "is neither 'None' nor 'ClientIP'");
  }
  const seconds = sessionAffinityTimeout ?? defaultAffinityTimeout;
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 86_400) {
    throw invalidOption(place, 'sessionAffinityTimeout', seconds, 'is not an integer from 1 to 86400');
  }
  return sessionAffinity === 'ClientIP' ? seconds : 0;
}

function parseSourceRanges(ranges: unknown, place: Place): readonly Cidr[] {
  if (ranges === undefined) return [];
  if (!Array.isArray(ranges))
    throw invalidOption(place, 'sourceRanges', ranges, 'is not an array of CIDR ranges');
  const parsed = ranges.map((range, i) => parseCidr(range, place.at('sourceRanges', i)));
  return [...new Map(parsed.map((range) => [range.text, range])).values()];
}

function parseSourceRangesPolicy(policy: unknown, place: Place): SourceRangesPolicy {
  if (policy === undefined) return 'allow';
  if (policy === 'allow' || policy === 'deny') return policy;
  throw invalidOption(place, 'sourceRangesPolicy', policy, "is neither 'allow' nor 'deny'");
}

function parseSlowStart(seconds: unknown, place: Place): number {
  if (seconds === undefined) return 0;
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= 86_400) return seconds;
  throw invalidOption(place, 'slowStart', seconds, 'is not a number of seconds from 0 to 86400');
}

function parseResetOnRemoval(reset: unknown, place: Place): boolean {
  if (reset === undefined) return false;
  if (typeof reset === 'boolean') return reset;
  throw invalidOption(place, 'resetOnRemoval', reset, 'is neither true nor false');
}

function parseBackend(spec: BackendSpec, place: Place): BackendDefinition {
  if (typeof spec !== 'object' || spec === null) {
    throw new LoadBalancerError('ERR_BPF_INVALID_BACKEND', `${place.of()} is not an object.`);
  }
  const { family, text } = parseAddress(spec.address, place);
  const port = parsePort(spec.port, place, 'port');
  const weight = spec.weight ?? 1;
  if (!Number.isInteger(weight) || weight < 0 || weight > 65535) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_BACKEND',
      `${place.of('weight')}: ${inspect(weight)} is not a weight: use an integer from 0 to 65535.`,
    );
  }
  const state = spec.state ?? 'active';
  if (!backendStates.includes(state)) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_BACKEND',
      `${place.of('state')}: ${inspect(state)} is not a state: use one of ${backendStates.join(', ')}.`,
    );
  }
  const { clusterWide = true } = spec;
  if (typeof clusterWide !== 'boolean') {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_BACKEND',
      `${place.of('clusterWide')}: ${inspect(clusterWide)} is neither true nor false.`,
    );
  }
  return { family, address: text, port, weight, state, local: spec.local === true, clusterWide };
}

function parseBackends(specs: readonly BackendSpec[], place: Place): BackendDefinition[] {
  const backends: BackendDefinition[] = [];
  for (let i = 0; i < specs.length; i++)
    backends.push(parseBackend(specs[i] as BackendSpec, place.at('backends', i)));
  const twice = findDuplicate(backends);
  if (!twice) return backends;
  const endpoint = formatEndpoint(twice.address, twice.port);
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_BACKEND',
    `${place.root}: backend ${endpoint} is there twice.`,
  );
}

/** Most lists are short, and comparing all pairs is then cheaper than any set. */
const shortList = 16;

function findDuplicate(backends: readonly BackendDefinition[]): BackendDefinition | undefined {
  if (backends.length <= shortList) {
    for (let i = 1; i < backends.length; i++) {
      const { address, port } = backends[i] as BackendDefinition;
      for (let j = 0; j < i; j++) {
        const other = backends[j] as BackendDefinition;
        if (other.port === port && other.address === address) return other;
      }
    }
    return undefined;
  }
  const seen = new Set<string>();
  return backends.find((b) => seen.size === seen.add(formatEndpoint(b.address, b.port)).size);
}

interface ParsedFrontend {
  type: FrontendType;
  address: Address | undefined;
  port: number;
  protocol: Protocol;
}

function parseFrontend(spec: FrontendSpec, place: Place): ParsedFrontend {
  if (typeof spec !== 'object' || spec === null || !frontendTypes.includes(spec.type)) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_FRONTEND',
      `${place.of()} needs a type: one of ${frontendTypes.join(', ')}.`,
    );
  }
  const { type } = spec;
  const port = parsePort(spec.port, place, 'port');
  const protocol = parseProtocol(spec.protocol, place);
  if (type === 'NodePort' && spec.address !== undefined) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_FRONTEND',
      `${place.of()}: a NodePort has no address of its own: leave it out, or use HostPort.`,
    );
  }
  const wildcard = type === 'NodePort' || (type === 'HostPort' && spec.address === undefined);
  const address = wildcard ? undefined : parseAddress(spec.address, place);
  if (address && type !== 'HostPort' && isLoopback(address.text)) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_ADDRESS',
      `${place.of('address')}: ${address.text} is a loopback address; only a HostPort may have one.`,
    );
  }
  return { type, address, port, protocol };
}

/**
 * The families in which a wildcard frontend exists: those that the service has addresses in, or else those of its
 * backends, or else both.
 */
function wildcardFamilies(
  frontends: readonly ParsedFrontend[],
  backends: readonly BackendDefinition[],
): readonly Family[] {
  const addressed = new Set(frontends.flatMap((f) => (f.address ? [f.address.family] : [])));
  if (addressed.size === 0) for (const backend of backends) addressed.add(backend.family);
  return addressed.size === 0 ? families : families.filter((f) => addressed.has(f));
}

function checkFamilies(
  name: string,
  frontends: readonly FrontendDefinition[],
  backends: readonly BackendDefinition[],
) {
  const served4 = frontends.some((f) => f.family === 4);
  const served6 = frontends.some((f) => f.family === 6);
  if (served4 && served6) return;
  const stray = backends.find((b) => !(b.family === 4 ? served4 : served6));
  if (!stray) return;
  throw new LoadBalancerError(
    'ERR_BPF_MIXED_FAMILIES',
    `Service ${name}: backend ${formatEndpoint(stray.address, stray.port)} is IPv${stray.family}, but no frontend is; ` +
      `a connection is not translated from one family to the other.`,
  );
}

/** Validates a spec and makes it canonical. Throws a {@link LoadBalancerError} that names the place. */
export function defineService(spec: ServiceSpec): ServiceDefinition {
  if (typeof spec !== 'object' || spec === null) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      'A service is an object with name, frontends and backends.',
    );
  }
  const { name } = spec;
  if (typeof name !== 'string' || name.trim() === '') {
    throw new LoadBalancerError('ERR_BPF_INVALID_NAME', 'A service needs a name that is not empty.');
  }
  if (!Array.isArray(spec.frontends) || spec.frontends.length === 0) {
    throw new LoadBalancerError('ERR_BPF_INVALID_FRONTEND', `Service ${name} needs at least one frontend.`);
  }
  if (!Array.isArray(spec.backends)) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_BACKEND',
      `Service ${name} needs an array of backends; it may be empty.`,
    );
  }
  const place = new Place(`Service ${name}`);
  const externalTrafficPolicy = parsePolicy(spec.externalTrafficPolicy, place, 'externalTrafficPolicy');
  const internalTrafficPolicy = parsePolicy(spec.internalTrafficPolicy, place, 'internalTrafficPolicy');
  const algorithm = parseAlgorithm(spec.algorithm, place);
  const maglevTableSize = parseMaglevTableSize(spec.maglevTableSize, place);
  const affinityTimeout = parseAffinityTimeout(spec, place);
  const sourceRangesPolicy = parseSourceRangesPolicy(spec.sourceRangesPolicy, place);
  const sourceRanges = parseSourceRanges(spec.sourceRanges, new Place(place.root));
  const slowStart = parseSlowStart(spec.slowStart, place);
  const resetOnRemoval = parseResetOnRemoval(spec.resetOnRemoval, place);
  const backends = parseBackends(spec.backends as readonly BackendSpec[], place);
  const parsed = Array.from(spec.frontends as readonly FrontendSpec[], (f, i) =>
    parseFrontend(f, place.at('frontends', i)),
  );
  const frontends: FrontendDefinition[] = [];
  for (const { type, address, port, protocol } of parsed) {
    for (const family of address ? [address.family] : wildcardFamilies(parsed, backends)) {
      const text = address?.text ?? '';
      const key = frontendKey(text || wildcardAddress[family], port, protocol);
      if (frontends.some((f) => f.key === key)) {
        throw new LoadBalancerError(
          'ERR_BPF_DUPLICATE_FRONTEND',
          `Service ${name} has the frontend ${key} twice.`,
        );
      }
      frontends.push({ type, family, address: text, port, protocol, key });
    }
  }
  checkFamilies(name, frontends, backends);
  return {
    name,
    frontends,
    backends,
    externalTrafficPolicy,
    internalTrafficPolicy,
    algorithm,
    maglevTableSize,
    affinityTimeout,
    sourceRanges,
    sourceRangesPolicy,
    slowStart,
    resetOnRemoval,
  };
}

function sameFrontend(a: FrontendDefinition, b: FrontendDefinition): boolean {
  return a.key === b.key && a.type === b.type;
}

function sameBackend(a: BackendDefinition, b: BackendDefinition): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.weight === b.weight &&
    a.state === b.state &&
    a.local === b.local &&
    a.clusterWide === b.clusterWide
  );
}

/** Whether both let the same clients in. */
export function sameRanges(a: ServiceDefinition, b: ServiceDefinition): boolean {
  return (
    a.sourceRangesPolicy === b.sourceRangesPolicy &&
    a.sourceRanges.length === b.sourceRanges.length &&
    a.sourceRanges.every((range, i) => range.text === b.sourceRanges[i]?.text)
  );
}

/**
 * Whether both desire the same: nothing would have to be written. Drains and slow starts are not desires, but what has come
 * of them.
 */
export function sameService(a: ServiceDefinition, b: ServiceDefinition): boolean {
  return (
    a.externalTrafficPolicy === b.externalTrafficPolicy &&
    a.internalTrafficPolicy === b.internalTrafficPolicy &&
    a.algorithm === b.algorithm &&
    a.maglevTableSize === b.maglevTableSize &&
    a.affinityTimeout === b.affinityTimeout &&
    a.slowStart === b.slowStart &&
    a.resetOnRemoval === b.resetOnRemoval &&
    sameRanges(a, b) &&
    a.frontends.length === b.frontends.length &&
    a.backends.length === b.backends.length &&
    a.frontends.every((f, i) => sameFrontend(f, b.frontends[i] as FrontendDefinition)) &&
    a.backends.every((f, i) => sameBackend(f, b.backends[i] as BackendDefinition))
  );
}
