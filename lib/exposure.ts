import { type Family, formatEndpoint, isLoopback } from './address';
import type { FrontendDefinition, ServiceDefinition } from './service-definition';
import type { FrontendType, Protocol } from './spec';
import { formatTable } from './table-format';

/** An address and port that clients outside this node reach through one device. Plain data. */
export interface Exposure {
  readonly service: string;
  readonly type: FrontendType;
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** The device that the packets arrive on. */
  readonly device: string;
  /** CIDR ranges of clients that may come; undefined: all that are not denied. */
  readonly allowed?: readonly string[];
  /** CIDR ranges of clients that may not come. */
  readonly denied?: readonly string[];
}

/** What is selected and allowed, as far as it decides what is reachable. */
export interface Outside {
  /** Names of the external devices. */
  readonly externalDevices: readonly string[];
  readonly externalClusterIP: boolean;
  /** Addresses that answer a frontend without an address of its own. */
  readonly wildcardAddresses: (type: 'NodePort' | 'HostPort', family: Family) => readonly string[];
}

/**
 * What the services expose, whether they have backends or not: they may get some at any time. An address answers on
 * every external device, not only on that which has it.
 */
export function exposuresOf(services: Iterable<ServiceDefinition>, outside: Outside): Exposure[] {
  const { externalDevices } = outside;
  const exposures: Exposure[] = [];
  if (externalDevices.length === 0) return exposures;
  for (const service of services) {
    for (const frontend of service.frontends) {
      const { type, port, protocol } = frontend;
      const sources = sourcesOf(service, frontend);
      for (const address of addressesOf(frontend, outside)) {
        for (const device of externalDevices) {
          const exposure = { service: service.name, type, address, port, protocol, device };
          exposures.push(sources ? { ...exposure, ...sources } : exposure);
        }
      }
    }
  }
  return exposures;
}

function addressesOf({ type, family, address }: FrontendDefinition, outside: Outside): readonly string[] {
  if (type === 'ClusterIP' && !outside.externalClusterIP) return [];
  if (address) return isLoopback(address) ? [] : [address];
  return outside.wildcardAddresses(type === 'HostPort' ? type : 'NodePort', family);
}

/** Ranges hold for LoadBalancer frontends, and those of one family say nothing about the other. */
function sourcesOf(
  service: ServiceDefinition,
  { type, family }: FrontendDefinition,
): Pick<Exposure, 'allowed' | 'denied'> | undefined {
  if (type !== 'LoadBalancer') return undefined;
  const ranges = service.sourceRanges.filter((range) => range.family === family).map(({ text }) => text);
  if (ranges.length === 0) return undefined;
  return service.sourceRangesPolicy === 'allow' ? { allowed: ranges } : { denied: ranges };
}

/** What a change exposes, and what it withdraws. */
export interface ExposureChange {
  readonly exposed: readonly Exposure[];
  readonly withdrawn: readonly Exposure[];
}

/**
 * Compares two states of services, as devices and addresses are now. It is worked out when it is asked for first, because
 * large changes are often made without a look at it.
 */
export function exposureChange(
  before: readonly ServiceDefinition[],
  after: readonly ServiceDefinition[],
  outside: Outside,
): () => ExposureChange {
  const now = snapshot(outside);
  let change: ExposureChange | undefined;
  return () => (change ??= compare(exposuresOf(before, now), exposuresOf(after, now)));
}

function snapshot({ externalDevices, externalClusterIP, wildcardAddresses }: Outside): Outside {
  const addresses = (type: 'NodePort' | 'HostPort') => ({
    4: wildcardAddresses(type, 4),
    6: wildcardAddresses(type, 6),
  });
  const answering = { NodePort: addresses('NodePort'), HostPort: addresses('HostPort') };
  return {
    externalDevices,
    externalClusterIP,
    wildcardAddresses: (type, family) => answering[type][family],
  };
}

function compare(before: readonly Exposure[], after: readonly Exposure[]): ExposureChange {
  return { exposed: onlyIn(after, before), withdrawn: onlyIn(before, after) };
}

function onlyIn(exposures: readonly Exposure[], others: readonly Exposure[]): readonly Exposure[] {
  if (others.length === 0) return exposures;
  const known = new Set(others.map(identify));
  return exposures.filter((exposure) => !known.has(identify(exposure)));
}

/** All that an exposure says. A name may contain anything, and comes last. */
function identify({ service, type, address, port, protocol, device, allowed, denied }: Exposure): string {
  return `${address} ${port} ${protocol} ${device} ${type} +${allowed?.join()} -${denied?.join()} ${service}`;
}

/** A table with a row for each: address, device, clients, type and service. */
export function formatExposures(exposures: readonly Exposure[]): string {
  return formatTable([
    ['Frontend', 'Device', 'Clients', 'Service Type', 'Service'],
    ...exposures.map(({ address, port, protocol, device, type, service, allowed, denied }) => [
      `${formatEndpoint(address, port)}/${protocol}`,
      device,
      allowed?.join(', ') ?? (denied ? `all but ${denied.join(', ')}` : 'all'),
      type,
      service,
    ]),
  ]);
}
