import { inspect } from 'node:util';

import { type Cidr, parseCidr } from './cidr';
import { LoadBalancerError } from './errors';
import { type NodePortAddresses, parseNodePortAddresses } from './node-addresses';
import { Place } from './place';
import { parseAlgorithm, parseMaglevTableSize } from './service-definition';
import type { ServicePolicy } from './service-flags';
import type { Algorithm } from './spec';

/** What `LoadBalancer.open` takes. */
export interface OpenOptions {
  /**
   * Devices that NodePort, LoadBalancer, externalIPs and HostPort frontends are served on: names (`eth0`), prefixes
   * (`lxc+`), exclusions (`!eth9`) and `auto`. Select the devices that lead to clients and to other nodes. Names that
   * CNIs give to pods' devices (lxc, cali, veth, cni, docker) make a device a pod device. Default none: nothing is
   * served from outside.
   */
  devices?: readonly string[];
  /**
   * Keep to what `devices` selects while devices and addresses come and go: one that appears and matches is served, an
   * address that is added or removed answers at once or not any more. A device that is named has to exist when the
   * LoadBalancer is opened; later it is waited for. Default true; else `selectDevices()` looks again.
   */
  followDevices?: boolean;
  /**
   * Which addresses of selected external devices answer NodePorts; what any element names does: `'primary'` (the first
   * address of each family of each device), `'all'`, `'localhost'` (loopback addresses, to sockets of the host), and
   * CIDR ranges. Ranges of one family alone leave the other one open. Default `['primary']`.
   */
  nodePortAddresses?: readonly string[];
  /**
   * The external device, by its name or a prefix, through which other nodes are reached. Its first address is the source
   * of SNAT on devices that have none. Default: the only external device, else that of the default route.
   */
  directRoutingDevice?: string;
  /**
   * Add the NodePort range to `net.ipv4.ip_local_reserved_ports` while the LoadBalancer is open, if it overlaps with the
   * ephemeral ports (`net.ipv4.ip_local_port_range`) and is not reserved: else connections and sockets of this node that
   * are given such a port clash with NodePorts now and then. Default true; false makes that overlap an error.
   */
  protectNodePorts?: boolean;
  /**
   * Hand translated packets for a selected device that is a pair (veth, netkit) to its end in the other namespace, at
   * once (bpf_redirect_peer): they skip the queueing discipline and the programs at the egress of this end, those of
   * others too, so leave it off where these enforce policies. It spares a third of what a connection costs
   * more than with plain forwarding. Default false.
   */
  redirectPeer?: boolean;
  /** Serve ClusterIPs from outside, too. Default false. */
  externalClusterIP?: boolean;
  /**
   * Give packets from outside to ClusterIPs an address of this node, through which the answers then come back. False is
   * kube-proxy without a detector of local traffic: the network has to lead them back by itself. Default true.
   */
  masqueradeExternalClusterIP?: boolean;
  /** Give all packets to ClusterIPs an address of this node, those of pods, too, as kube-proxy calls it. Default false. */
  masqueradeAll?: boolean;
  /**
   * Give packets to frontends of policy Cluster an address of this node also where the backend runs on this node, as
   * kube-proxy does. Then devices of pods have to be selected. Default false: backends here see their clients.
   */
  masqueradeLocal?: boolean;
  /**
   * CIDR ranges of external IPs that this node and its pods follow although no device of the node has them. Whoever may
   * create a Service may claim any address (CVE-2020-8554), so name those that are yours to give. Default none.
   */
  externalIPRanges?: readonly string[];
  /** CIDR ranges that ClusterIPs are taken from. What is sent to one that no service has is dropped. Default none. */
  serviceCIDRs?: readonly string[];
  /** For services that do not say. Default `'random'`. */
  algorithm?: Algorithm;
  /** For services that do not say: a prime from 251 to 131071. Default: 100 for each backend, or a little more. */
  maglevTableSize?: number;
  /** What a service without usable backends answers to packets: a refusal or silence. Default `'reject'`. */
  noBackend?: 'reject' | 'drop';
  /** Refusals and ICMP errors that are sent per second, for each address family; bursts of 1000. Default 1000. */
  rejectsPerSecond?: number;
  /** Answer ICMP echo requests to addresses of frontends that no device has. Default true. */
  answerEcho?: boolean;
  /**
   * Translate sockets. Default true. `hostNamespaceOnly` leaves those of pods alone (for service meshes, Kata, gVisor,
   * KubeVirt): select the pods' devices, then their packets are translated. `except` names cgroups, with what is below
   * them, and network namespaces whose sockets are left alone: see {@link SocketOptions}.
   */
  socketLB?: boolean | SocketOptions;
  /** cgroup v2 directory whose processes are served. Default: the root of the hierarchy. */
  cgroup?: string;
  /** Directory on bpffs for what has to outlive the process; mounted when it is not one. Default: nothing does. */
  stateDir?: string;
  /**
   * Milliseconds from one look at the programs' hooks to the next: what others took off is put back, and told by
   * `hooksLost` and `hooksRepaired`. Every twelfth look sends a canary. Default 5000; 0: only `verify()` looks.
   */
  watchPeriod?: number;
  /**
   * Milliseconds from one look at all translated sockets, and at the UDP flows of packets, to the next: those whose backend has
   * gone are destroyed, in case that could not be done when it went. Default 60000; 0: only when backends go, and on open.
   */
  socketReconcilePeriod?: number;
  /**
   * Milliseconds from one search for workloads that socket translation does not reach to the next; the event `unreached` tells
   * when others are found than before. See `unreached()` for what it takes. Default 0: only `unreached()` searches.
   */
  reachPeriod?: number;
  /** Shown by `status()`; inclusive. Default `[30000, 32767]`. */
  nodePortRange?: readonly [min: number, max: number];
  /**
   * Source ports for flows to backends on other nodes; inclusive. No NodePort may lie in it; sockets of this node may:
   * flows keep clear of them. Default: from the end of `nodePortRange` to 65535.
   */
  snatPorts?: readonly [min: number, max: number];
  /**
   * What becomes of connections to frontends that the kernel has been translating (nf_conntrack), when packets of them
   * come: `'leave'` leaves them to it until they end, so that kube-proxy can be taken over from; datagram flows, which
   * nothing ends, only while their backend is one of the service's. TCP and UDP, through selected devices; sockets that are
   * connected already are never touched. Needs the kernel functions `bpf_skb_ct_lookup` and `bpf_ct_release`, with
   * CAP_SYS_ADMIN where nf_conntrack is a module. Default `'take'`.
   */
  existingConnections?: 'take' | 'leave';
  /**
   * Decide about new connections and do nothing: sockets and packets go on as if nobody were there, `shadowDecisions()`
   * and the event `decision` tell what would have become of them. Until `activate()`. Default false.
   */
  shadow?: boolean;
  /** Lifetimes of idle flows in seconds. */
  flowLifetimes?: Partial<FlowLifetimes>;
  /** Table sizes. Memory is taken when the LoadBalancer is opened. */
  capacity?: Partial<Capacity>;
  /**
   * Sizes up to which tables of services grow when they are full. Larger ones then take their place, with all that is in
   * them; connections and flows are not concerned. It takes as long as opening does, and memory for both meanwhile.
   * Default: they do not grow, and `ERR_BPF_MAP_FULL` says what they lack.
   */
  maxCapacity?: Partial<GrowingCapacity>;
}

/** Which sockets are not translated. */
export interface SocketOptions {
  /** Only sockets of the network namespace that the LoadBalancer is opened in. Default false. */
  hostNamespaceOnly?: boolean;
  except?: SocketExceptions;
}

/** Absolute paths: of cgroup v2 directories, and of namespaces as `/run/netns/NAME` or `/proc/PID/ns/net`. */
export interface SocketExceptions {
  cgroups?: readonly string[];
  netns?: readonly string[];
}

/** Seconds without a packet after which a flow is forgotten. */
export interface FlowLifetimes {
  /** TCP before the handshake is complete. Default 60. */
  opening: number;
  /** TCP. Default 8000. */
  established: number;
  /** TCP after a FIN of one side. Default 3600. */
  halfClosed: number;
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
  /** Slots of all Maglev tables; services with the same backends share one. Default 1,048,576 (2 MB). */
  maglevSlots: number;
  /** Source ranges of all services, for each family; memory is taken as they come. Default 65,536. */
  sourceRanges: number;
  /** Clients of services with session affinity. Default 65,536 (8 MB). */
  affinities: number;
  /** Datagrams that come in fragments, at a time. Default 8,192. */
  fragments: number;
}

/** Entries of the tables that can grow. */
export type GrowingCapacity = Pick<Capacity, 'frontends' | 'backends' | 'maglevSlots' | 'sourceRanges'>;

/** Validated options with their defaults filled in. */
export interface Options {
  readonly devices: readonly string[];
  readonly followDevices: boolean;
  readonly nodePortAddresses: NodePortAddresses;
  readonly directRoutingDevice: string | undefined;
  readonly protectNodePorts: boolean;
  readonly redirectPeer: boolean;
  readonly policy: ServicePolicy;
  readonly masqueradeLocal: boolean;
  readonly serviceCIDRs: readonly Cidr[];
  readonly noBackend: 'reject' | 'drop';
  readonly rejectsPerSecond: number;
  readonly answerEcho: boolean;
  readonly socketLB: boolean;
  readonly hostNamespaceOnly: boolean;
  readonly socketExceptions: Required<SocketExceptions>;
  readonly cgroup: string | undefined;
  readonly stateDir: string | undefined;
  readonly watchPeriod: number;
  readonly socketReconcilePeriod: number;
  readonly reachPeriod: number;
  readonly nodePortRange: readonly [number, number];
  readonly snatPorts: readonly [number, number];
  readonly existingConnections: 'take' | 'leave';
  readonly shadow: boolean;
  readonly flowLifetimes: FlowLifetimes;
  readonly capacity: Capacity;
  readonly maxCapacity: GrowingCapacity;
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

function devicePattern(option: string, pattern: unknown): string | undefined {
  if (pattern === undefined || (typeof pattern === 'string' && /^[^/\s!+]{1,15}\+?$/.test(pattern)))
    return pattern;
  throw invalid(option, `${inspect(pattern)} is neither a device name nor a prefix with '+'`);
}

function deviceList(devices: unknown): readonly string[] {
  if (devices === undefined) return [];
  if (Array.isArray(devices) && devices.every((d) => typeof d === 'string')) return [...devices];
  throw invalid('devices', 'use an array of names and patterns');
}

function flag(option: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? fallback;
  throw invalid(option, `${inspect(value)} is neither true nor false`);
}

function rangeList(option: string, ranges: unknown): readonly Cidr[] {
  if (ranges === undefined) return [];
  if (Array.isArray(ranges)) return ranges.map((range, i) => parseCidr(range, new Place(`${option}[${i}]`)));
  throw invalid(option, 'use an array of CIDR ranges');
}

function paths(option: string, list: unknown): readonly string[] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw invalid(option, 'use an array of absolute paths');
  return list.map((path, i) => optionalText(`${option}[${i}]`, path) ?? '');
}

/** Validates the exceptions of `socketLB`, which may change at run time. */
export function parseSocketExceptions(
  option: string,
  exceptions: SocketExceptions | undefined,
): Required<SocketExceptions> {
  const { cgroups, netns } = optionalGroup<SocketExceptions>(option, exceptions);
  return { cgroups: paths(`${option}.cgroups`, cgroups), netns: paths(`${option}.netns`, netns) };
}

function socketOptions(socketLB: unknown) {
  if (socketLB === undefined || typeof socketLB === 'boolean') {
    return {
      socketLB: socketLB ?? true,
      hostNamespaceOnly: false,
      socketExceptions: { cgroups: [], netns: [] },
    };
  }
  if (typeof socketLB !== 'object') throw invalid('socketLB', 'use true, false or an object');
  const { hostNamespaceOnly, except } = optionalGroup<SocketOptions>('socketLB', socketLB ?? undefined);
  return {
    socketLB: true,
    hostNamespaceOnly: flag('socketLB.hostNamespaceOnly', hostNamespaceOnly, false),
    socketExceptions: parseSocketExceptions('socketLB.except', except),
  };
}

/** What follows the NodePorts, or where that is not enough, what precedes them. */
function defaultSnatPorts([min, max]: readonly [number, number]): readonly [number, number] {
  const enough = 1024;
  return 65535 - max >= enough || min <= enough * 2 ? [Math.min(max + 1, 65535), 65535] : [1024, min - 1];
}

/** Validates; throws `ERR_BPF_INVALID_OPTION` that names the option. */
export function parseOptions(options: OpenOptions): Options {
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
  const sizes: Capacity = {
    frontends: size('frontends', 65_535),
    backends: size('backends', 262_144),
    flows: size('flows', 131_072),
    sockets,
    maglevSlots: size('maglevSlots', 2 ** 20),
    sourceRanges: size('sourceRanges', 65_536),
    affinities: size('affinities', 65_536),
    fragments: size('fragments', 8192),
  };
  const growth = optionalGroup('maxCapacity', options.maxCapacity);
  const most = (name: keyof GrowingCapacity) =>
    integer(`maxCapacity.${name}`, growth[name] ?? sizes[name], sizes[name], maxEntries);
  const place = new Place('open');
  const nodePortRange = portRange('nodePortRange', options.nodePortRange ?? [30000, 32767]);
  const { noBackend = 'reject' } = options;
  if (noBackend !== 'reject' && noBackend !== 'drop') throw invalid('noBackend', "use 'reject' or 'drop'");
  const { existingConnections = 'take' } = options;
  if (existingConnections !== 'take' && existingConnections !== 'leave')
    throw invalid('existingConnections', "use 'take' or 'leave'");
  return {
    devices: deviceList(options.devices),
    followDevices: flag('followDevices', options.followDevices, true),
    nodePortAddresses: parseNodePortAddresses(options.nodePortAddresses, new Place('open')),
    directRoutingDevice: devicePattern('directRoutingDevice', options.directRoutingDevice),
    protectNodePorts: flag('protectNodePorts', options.protectNodePorts, true),
    redirectPeer: flag('redirectPeer', options.redirectPeer, false),
    policy: {
      algorithm: parseAlgorithm(options.algorithm, place) ?? 'random',
      maglevTableSize: parseMaglevTableSize(options.maglevTableSize, place),
      externalClusterIP: flag('externalClusterIP', options.externalClusterIP, false),
      masqueradeExternalClusterIP: flag(
        'masqueradeExternalClusterIP',
        options.masqueradeExternalClusterIP,
        true,
      ),
      masqueradeAll: flag('masqueradeAll', options.masqueradeAll, false),
      externalIPRanges: rangeList('externalIPRanges', options.externalIPRanges),
    },
    masqueradeLocal: flag('masqueradeLocal', options.masqueradeLocal, false),
    serviceCIDRs: rangeList('serviceCIDRs', options.serviceCIDRs),
    noBackend,
    rejectsPerSecond: integer('rejectsPerSecond', options.rejectsPerSecond ?? 1000, 0, 1_000_000),
    answerEcho: flag('answerEcho', options.answerEcho, true),
    ...socketOptions(options.socketLB),
    cgroup: optionalText('cgroup', options.cgroup),
    stateDir: optionalText('stateDir', options.stateDir),
    socketReconcilePeriod: integer(
      'socketReconcilePeriod',
      options.socketReconcilePeriod ?? 60_000,
      0,
      86_400_000,
    ),
    reachPeriod: integer('reachPeriod', options.reachPeriod ?? 0, 0, 86_400_000),
    watchPeriod: integer('watchPeriod', options.watchPeriod ?? 5000, 0, 86_400_000),
    nodePortRange,
    snatPorts: portRange('snatPorts', options.snatPorts ?? defaultSnatPorts(nodePortRange)),
    existingConnections,
    shadow: flag('shadow', options.shadow, false),
    flowLifetimes: {
      opening: lifetime('opening', 60),
      established: lifetime('established', 8000),
      halfClosed: lifetime('halfClosed', 3600),
      closing: lifetime('closing', 10),
      datagram: lifetime('datagram', 60),
    },
    capacity: sizes,
    maxCapacity: {
      frontends: most('frontends'),
      backends: most('backends'),
      maglevSlots: most('maglevSlots'),
      sourceRanges: most('sourceRanges'),
    },
  };
}
