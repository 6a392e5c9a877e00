/*
 * What is read of the API's objects, as the API server sends them in JSON. The types of `@kubernetes/client-node` can
 * be given as they are. They say what is looked for; what comes may be anything, and is read with care.
 */

/** A kind of object that a {@link ClusterState} learns from. */
export type Kind = 'Service' | 'EndpointSlice' | 'Node' | 'Pod';

/** The part of `metadata` that is read. */
export interface ObjectMeta {
  namespace?: string;
  name?: string;
  uid?: string;
  labels?: Readonly<Record<string, string>>;
  annotations?: Readonly<Record<string, string>>;
  deletionTimestamp?: string | Date;
}

/** Any object of the API. */
export interface KubernetesObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

/** A `v1` Service. */
export interface ServiceObject extends KubernetesObject {
  spec?: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: readonly string[];
    ipFamilies?: readonly string[];
    externalIPs?: readonly string[];
    ports?: readonly { name?: string; protocol?: string; port: number; nodePort?: number }[];
    internalTrafficPolicy?: string;
    externalTrafficPolicy?: string;
    healthCheckNodePort?: number;
    loadBalancerSourceRanges?: readonly string[];
    sessionAffinity?: string;
    sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
  };
  status?: { loadBalancer?: { ingress?: readonly { ip?: string; hostname?: string; ipMode?: string }[] } };
}

/** A `discovery.k8s.io/v1` EndpointSlice. */
export interface EndpointSliceObject extends KubernetesObject {
  addressType?: string;
  ports?: readonly { name?: string; protocol?: string; port?: number }[];
  endpoints?: readonly {
    addresses: readonly string[];
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
    nodeName?: string;
    hints?: { forZones?: readonly { name: string }[]; forNodes?: readonly { name: string }[] };
  }[];
}

/** A `v1` Node. */
export interface NodeObject extends KubernetesObject {
  spec?: { podCIDR?: string; podCIDRs?: readonly string[]; taints?: readonly { key: string }[] };
  status?: { addresses?: readonly { type: string; address: string }[] };
}

/** A container of a Pod. */
export interface ContainerObject {
  restartPolicy?: string;
  ports?: readonly { containerPort: number; hostPort?: number; hostIP?: string; protocol?: string }[];
}

/** A `v1` Pod. */
export interface PodObject extends KubernetesObject {
  spec?: {
    nodeName?: string;
    hostNetwork?: boolean;
    containers?: readonly ContainerObject[];
    initContainers?: readonly ContainerObject[];
  };
  status?: { phase?: string; podIP?: string; podIPs?: readonly { ip?: string }[] };
}
