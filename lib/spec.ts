/** How a frontend is reached, in Kubernetes' words. */
export type FrontendType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalIPs' | 'HostPort';

/** Transport protocols that are balanced. */
export type Protocol = 'TCP' | 'UDP';

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
  /** 0 to 65535, default 1. Validated and stored; selection does not honour it yet. */
  weight?: number;
  /** Default `'active'`. */
  state?: BackendState;
  /**
   * Runs on this node. Decides what traffic policy `Local` offers, and spares source NAT. Default false; a backend
   * that is reached through a device that is not selected, or through a pod device, is not source-NATed either way.
   */
  local?: boolean;
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
}
