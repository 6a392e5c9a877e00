import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';

import { LoadBalancerError } from './errors';

/** What `LoadBalancer.open` takes. */
export interface OpenOptions {
  /**
   * Devices that NodePort, LoadBalancer, externalIPs and HostPort frontends are served on: names (`eth0`), prefixes
   * (`lxc+`), exclusions (`!eth9`) and `auto`. Select the devices that lead to clients and to other nodes. Names that
   * CNIs give to pods' devices (lxc, cali, veth, cni, docker) make a device a pod device. Default none: nothing is
   * served from outside.
   */
  devices?: readonly string[];
  /** Translate sockets. Default true. */
  socketLB?: boolean;
  /** cgroup v2 directory whose processes are served. Default: the root of the hierarchy. */
  cgroup?: string;
  /** Directory on bpffs for what has to outlive the process; mounted when it is not one. Default: nothing does. */
  stateDir?: string;
  /** Shown by `status()`; inclusive. Default `[30000, 32767]`. */
  nodePortRange?: readonly [min: number, max: number];
  /**
   * Source ports for flows to backends on other nodes; inclusive. No NodePort may lie in it, nor should sockets of the
   * host. Default: what is above the kernel's ephemeral ports (`net.ipv4.ip_local_port_range`).
   */
  snatPorts?: readonly [min: number, max: number];
  /** Lifetimes of idle flows in seconds. */
  flowLifetimes?: Partial<FlowLifetimes>;
  /** Table sizes. Memory is taken when the LoadBalancer is opened. */
  capacity?: Partial<Capacity>;
}

/** Seconds without a packet after which a flow is forgotten. */
export interface FlowLifetimes {
  /** TCP before the handshake is complete. Default 60. */
  opening: number;
  /** TCP. Default 8000. */
  established: number;
  /** TCP after FINs of both sides, or a reset. Default 10. */
  closing: number;
  /** UDP. Default 60. */
  datagram: number;
}

/** Entries of the kernel's tables. */
export interface Capacity {
  /**
   * Frontends of each address family. Default 65,535 (7 MB for IPv4, 8 MB for IPv6). A power of two less one is best: for
   * one more the kernel makes twice as many hash buckets, and lookups find fewer of them in the cache.
   */
  frontends: number;
  /** Backends, counted once for each service that has them. Default 262,144 (8 MB). */
  backends: number;
  /** Directions of flows of each family: a connection takes two. Default 131,072 (16 MB for IPv4, 22 MB for IPv6). */
  flows: number;
  /** Translated sockets that are open at a time at full speed; more work, slower. A power of two. Default 131,072 (6 MB). */
  sockets: number;
}

/** Validated options with their defaults filled in. */
export interface Options {
  readonly devices: readonly string[];
  readonly socketLB: boolean;
  readonly cgroup: string | undefined;
  readonly stateDir: string | undefined;
  readonly nodePortRange: readonly [number, number];
  readonly snatPorts: readonly [number, number];
  readonly flowLifetimes: FlowLifetimes;
  readonly capacity: Capacity;
}

const maxEntries = 2 ** 24;

function invalid(option: string, why: string): LoadBalancerError {
  return new LoadBalancerError('ERR_BPF_INVALID_OPTION', `${option}: ${why}.`);
}

function integer(option: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(option, `${inspect(value)} is not an integer from ${min} to ${max}`);
}

function portRange(option: string, range: unknown): readonly [number, number] {
  if (!Array.isArray(range) || range.length !== 2) throw invalid(option, 'use [min, max]');
  const min = integer(`${option}[0]`, range[0], 1, 65535);
  return [min, integer(`${option}[1]`, range[1], min, 65535)];
}

function optionalText(option: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.startsWith('/') && !value.includes('\0')) return value;
  throw invalid(option, `${inspect(value)} is not an absolute path`);
}

function optionalGroup<T extends object>(option: string, group: T | undefined): Partial<T> {
  if (group === undefined) return {};
  if (typeof group === 'object' && group !== null) return group;
  throw invalid(option, `${inspect(group)} is not an object`);
}

function deviceList(devices: unknown): readonly string[] {
  if (devices === undefined) return [];
  if (Array.isArray(devices) && devices.every((d) => typeof d === 'string')) return [...devices];
  throw invalid('devices', 'use an array of names and patterns');
}

/** The ports above the ephemeral range, or the upper half where there are too few. */
async function defaultSnatPorts(): Promise<readonly [number, number]> {
  const [, last] = (await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'))
    .trim()
    .split(/\s+/)
    .map(Number);
  return last !== undefined && last < 65535 - 1024 ? [last + 1, 65535] : [49152, 65535];
}

/** Validates; throws `ERR_BPF_INVALID_OPTION` that names the option. */
export async function parseOptions(options: OpenOptions): Promise<Options> {
  if (typeof options !== 'object' || options === null) throw invalid('options', 'not an object');
  const capacity = optionalGroup('capacity', options.capacity);
  const flowLifetimes = optionalGroup('flowLifetimes', options.flowLifetimes);
  const size = (name: keyof Capacity, value: number) =>
    integer(`capacity.${name}`, capacity[name] ?? value, 1, maxEntries);
  const lifetime = (name: keyof FlowLifetimes, value: number) =>
    integer(`flowLifetimes.${name}`, flowLifetimes[name] ?? value, 1, 86400 * 30);
  const sockets = size('sockets', 131_072);
  if (!Number.isInteger(Math.log2(sockets)))
    throw invalid('capacity.sockets', `${sockets} is not a power of two`);
  if (options.socketLB !== undefined && typeof options.socketLB !== 'boolean') {
    throw invalid('socketLB', 'use true or false');
  }
  return {
    devices: deviceList(options.devices),
    socketLB: options.socketLB ?? true,
    cgroup: optionalText('cgroup', options.cgroup),
    stateDir: optionalText('stateDir', options.stateDir),
    nodePortRange: portRange('nodePortRange', options.nodePortRange ?? [30000, 32767]),
    snatPorts: portRange('snatPorts', options.snatPorts ?? (await defaultSnatPorts())),
    flowLifetimes: {
      opening: lifetime('opening', 60),
      established: lifetime('established', 8000),
      closing: lifetime('closing', 10),
      datagram: lifetime('datagram', 60),
    },
    capacity: {
      frontends: size('frontends', 65_535),
      backends: size('backends', 262_144),
      flows: size('flows', 131_072),
      sockets,
    },
  };
}
