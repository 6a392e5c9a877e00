/** How a frontend is reached, in Kubernetes' words. */
export type FrontendType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalIPs' | 'HostPort';

/** Transport protocols that are balanced. SCTP is translated per packet only, never at sockets. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/**
 * How a backend is chosen for a new connection. All honour weights.
 *
 * - `random`: each backend in exact proportion to its weight.
 * - `maglev`: by a hash of the client in a table that every node makes alike, so that nodes agree, and few clients go
 *   elsewhere when backends come and go (Eisenbud et al., NSDI 2016).
 * - `least-connections`: of two that are drawn at random, the one with fewer live connections through this node.
 */
export type Algorithm = 'random' | 'maglev' | 'least-connections';

/** `ClientIP`: a client stays with its backend; `None`: each connection is a choice of its own. */
export type SessionAffinity = 'None' | 'ClientIP';

/** What the source ranges of a service mean: who may come (`allow`), or who may not (`deny`). */
export type SourceRangesPolicy = 'allow' | 'deny';

/**
 * Whether a backend is given new connections.
 *
 * - `active`: yes.
 * - `terminating`: only when the service has no active backend (KEP-1669).
 * - `quarantined`, `maintenance`: no. Connections that it has go on.
 */
export type BackendState = 'active' | 'terminating' | 'quarantined' | 'maintenance';

/** `Local`: only backends of this node. `Cluster`: all. */
export type TrafficPolicy = 'Cluster' | 'Local';

/** An address and port that clients use. */
export interface FrontendSpec {
  type: FrontendType;
  /**
   * Required for ClusterIP, LoadBalancer and ExternalIPs. For HostPort the `hostIP`, by default every address of
   * the node. Not allowed for NodePort, which every address of the selected devices answers.
   */
  address?: string;
  /** 1 to 65535. */
  port: number;
  /** Default `'TCP'`. */
  protocol?: Protocol;
}

/** An address and port that serves. */
export interface BackendSpec {
  address: string;
  /** 1 to 65535. */
  port: number;
  /** 0 to 65535, default 1. The share of new connections, in proportion; 0 gets none. */
  weight?: number;
  /** Default `'active'`. */
  state?: BackendState;
  /**
   * Runs on this node. Decides what traffic policy `Local` offers, and spares source NAT. Default false; a backend
   * that is reached through a device that is not selected is not source-NATed either way.
   */
  local?: boolean;
  /**
   * Offered where the traffic policy is `Cluster`. False for a backend that topology hints leave to other nodes: it
   * serves under policy `Local` alone, and counts as one that exists, so that connections which find no other are
   * dropped rather than refused. Terminating backends are a last resort whatever this says. Default true.
   */
  clusterWide?: boolean;
}

/** What a service has to be. Plain data: later changes to the object have no effect. */
export interface ServiceSpec {
  /** Any text that is unique among the services; Kubernetes users take `namespace/name:port`. */
  name: string;
  /** At least one. */
  frontends: readonly FrontendSpec[];
  /** May be empty: then connections are refused. */
  backends: readonly BackendSpec[];
  /** For NodePort, LoadBalancer, ExternalIPs and HostPort frontends, from outside. Default `'Cluster'`. */
  externalTrafficPolicy?: TrafficPolicy;
  /** For ClusterIP frontends. Default `'Cluster'`. */
  internalTrafficPolicy?: TrafficPolicy;
  /** Default: that of the LoadBalancer. */
  algorithm?: Algorithm;
  /** Slots of the Maglev table, a prime from 251 to 131071. Default: that of the LoadBalancer. */
  maglevTableSize?: number;
  /** Default `'None'`. All frontends of the service share the choice. */
  sessionAffinity?: SessionAffinity;
  /** Seconds without a new connection after which a client is forgotten; 1 to 86400, default 10800. */
  sessionAffinityTimeout?: number;
  /**
   * CIDR ranges of clients, for LoadBalancer frontends only, from outside, from pods and from this node alike. Default
   * none: everyone may come. Ranges of one family leave the other one open.
   */
  sourceRanges?: readonly string[];
  /** Default `'allow'`. */
  sourceRangesPolicy?: SourceRangesPolicy;
  /**
   * Seconds in which the share of a backend that joins a service which is there already grows from a tenth to all of what
   * its weight gives, in ten even steps; 0 to 86400. So it is with one that becomes active again. Backends that a service
   * begins with have their share at once. Default 0: so has every other.
   */
  slowStart?: number;
  /**
   * TCP connections of sockets are reset when their backend is removed from the service, or the service or their frontend
   * goes. Default false: they go on for as long as the backend answers. Connected UDP sockets are always told, by
   * ECONNABORTED.
   */
  resetOnRemoval?: boolean;
}
