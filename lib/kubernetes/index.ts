export { type CiliumConfiguration, parseCiliumConfig } from './cilium-config';
export { ConfigurationError, type ConfigurationProblem } from './configuration-error';
export { type KubeProxyConfiguration, parseKubeProxyConfig } from './kube-proxy-config';
export { type ClusterChange, type ClusterOptions, ClusterState, type EventType } from './cluster-state';
export type { HealthCheck } from './health-checks';
export { serviceLabelSelector } from './labels';
export type { NodeFacts } from './node';
export type {
  ContainerObject,
  EndpointSliceObject,
  Kind,
  KubernetesObject,
  NodeObject,
  ObjectMeta,
  PodObject,
  ServiceObject,
} from './objects';
export { toServiceSpecs, type TranslateOptions } from './translate';
export type { ObjectReference, ObjectWarning, WarningReason } from './warnings';
export {
  type HealthCheckFailure,
  HealthCheckServers,
  type HealthCheckServersEvents,
  type HealthCheckServersOptions,
} from './health-check-servers';
export { HealthServer, type HealthServerEvents, type HealthServerOptions } from './health-server';
export { ProxyMetrics, type ProxyMetricsSources } from './metrics';
export { MetricsServer, type MetricsServerOptions } from './metrics-server';
export {
  type ClusterSource,
  ClusterSync,
  type ClusterSyncEvents,
  type ClusterSyncOptions,
  type SyncReport,
  type SyncTarget,
} from './sync';
export type { Clock } from './clock';
export type { FamilyHealth, IPFamily, SyncHealth } from './sync-health';
