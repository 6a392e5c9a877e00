export { Backend, type Frontend, Service, type ServiceChanges } from './service';
export { Device } from './device';
export type { DeviceChange } from './device-layer';
export type { BackendConnections } from './connections';
export type { BackendReference, DrainOptions } from './drains';
export type { DeviceRole } from './device-selection';
export {
  type Applied,
  ApplyAbortedError,
  ApplyError,
  type ErrorCode,
  KernelError,
  LoadBalancerError,
  MapFullError,
  StateLockedError,
} from './errors';
export { type Exposure, formatExposures } from './exposure';
export type { LostHook } from './hook-cases';
export type { HookLoss, HookLossCause, HookState } from './hook-loss';
export type { OtherProgram } from './hooks';
export type { Endpoint } from './address';
export { type ApplyOptions, type CloseOptions, LoadBalancer, type LoadBalancerEvents } from './load-balancer';
export type { CounterName, Metrics } from './metrics';
export type { PortExhaustion } from './events';
export type {
  Capacity,
  FlowLifetimes,
  GrowingCapacity,
  OpenOptions,
  SocketExceptions,
  SocketOptions,
} from './options';
export type { AffectedConnections } from './affected-connections';
export type { BackendChange, Plan } from './plan';
export type { SizedTable, TableNeed } from './table-needs';
export type { Capability } from './capabilities';
export type { KernelFeature } from './kernel-features';
export { type Availability, type FeatureName, Probe, type ProbeData } from './probe';
export type { ReachReport, UnreachedReason, UnreachedWorkload } from './reach';
export type { RebalanceOptions, ResetConnections } from './rebalancing';
export type { CountedDecision, ObservedDecision, ShadowDecision } from './shadow';
export type { Release, ReleaseOptions } from './release';
export { ServiceList } from './service-list';
export type { PacketQuery, Query, SocketQuery } from './simulator/query';
export type { ExclusionReason, Reason, Verdict } from './simulator/verdict';
export type { Verification } from './socket-layer';
export type {
  Algorithm,
  BackendSpec,
  BackendState,
  FrontendSpec,
  FrontendType,
  Protocol,
  ServiceSpec,
  SessionAffinity,
  SourceRangesPolicy,
  TrafficPolicy,
} from './spec';
export { Status, type StatusData } from './status';
export type { Snapshot } from './snapshot';
export { StateView } from './state-view';
export type { DestroyedSockets } from './socket-reconciler';
export type { SocketList, TranslatedSocket } from './translated-sockets';
