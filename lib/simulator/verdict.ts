/** Why a verdict is what it is. The words are stable. */
export type Reason =
  /** A backend was chosen. */
  | 'chosen'
  /** No frontend is asked for, or none for this protocol at this layer. */
  | 'no-service'
  /** An external IP, or a HostPort's hostIP, that those inside do not follow: see `externalIPRanges`. */
  | 'not-served-inside'
  /** A ClusterIP, from outside. */
  | 'not-served-outside'
  /** No backend of the service is usable, here or elsewhere. */
  | 'no-backend'
  /** There are usable backends, but the traffic policy forbids them, or topology leaves them to other nodes. */
  | 'no-local-backend'
  | 'denied-by-source-ranges'
  /** Another port of a ClusterIP. */
  | 'unknown-port'
  /** Another port of a LoadBalancer or external IP, from outside. Goes on if its route leads elsewhere. */
  | 'unserved-port'
  /** In `serviceCIDRs`, and no service's. */
  | 'unallocated-cluster-ip'
  /** It would be one of the last three or `not-served-outside`, if the node itself had not the address. */
  | 'own-address'
  /** SCTP at a socket: its packets are translated. */
  | 'protocol-not-translated'
  /** Sockets of pods keep their loopback addresses. */
  | 'loopback-of-pod'
  /** `hostNamespaceOnly`. */
  | 'pod-socket'
  /** `socketLB: false`. */
  | 'sockets-not-translated'
  /** No programs are on the device. */
  | 'device-not-selected'
  /** Only of a running LoadBalancer: a service that changed each time it was looked at. */
  | 'service-changing';

/** Why a backend of the service is not among the candidates. */
export type ExclusionReason =
  | 'terminating'
  | 'quarantined'
  | 'maintenance'
  | 'weight-zero'
  /** Only of a running LoadBalancer: see {@link Service.drain}. */
  | 'draining'
  /** Policy Local, and it runs on another node. */
  | 'not-local'
  /** Topology hints leave it to other nodes: `clusterWide: false`. */
  | 'left-to-other-nodes'
  /** The frontend is of the other address family. */
  | 'other-family'
  /** Only of a running LoadBalancer: not yet, or not any more, in the table. */
  | 'changing';

/** What becomes of a packet or of a call to connect(), and why. */
export interface Verdict {
  /**
   * - `forward`: it goes to the backend.
   * - `reject`: a packet is answered with a TCP RST or an ICMP error, a socket gets ECONNREFUSED.
   * - `drop`: a packet vanishes, a socket gets ETIMEDOUT.
   * - `untouched`: it goes on as if bpf-lb were not there.
   */
  readonly verdict: 'forward' | 'reject' | 'drop' | 'untouched';
  readonly reason: Reason;
  /** Name of the service that is asked for, also when it does not serve. */
  readonly service: string | undefined;
  /** Its frontend, `ADDRESS:PORT/PROTOCOL`; `0.0.0.0` and `[::]` stand for every address of the node. */
  readonly frontend: string | undefined;
  /** The chosen one, `ADDRESS:PORT`. */
  readonly backend: string | undefined;
  /** Those that the choice is made from, in the order of the table. Empty unless the verdict depends on them. */
  readonly candidates: readonly string[];
  /** The service's other backends. */
  readonly excluded: readonly { readonly backend: string; readonly reason: ExclusionReason }[];
  /**
   * The packets get an address of this node as their source, if they leave through a selected device. Never for
   * sockets: they have no packets yet.
   */
  readonly snat: boolean;
  /** With session affinity: whether the client had a backend that is still on offer. */
  readonly affinity: 'none' | 'hit' | 'new';
}
