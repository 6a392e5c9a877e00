export { Backend, type Frontend, Service, type ServiceChanges } from './service';
export { Device } from './device';
export type { DeviceRole } from './device-selection';
export { type ErrorCode, KernelError, LoadBalancerError, MapFullError } from './errors';
export { type CloseOptions, LoadBalancer, type LoadBalancerEvents } from './load-balancer';
export type { CounterName, Metrics } from './metrics';
export type { Capacity, FlowLifetimes, OpenOptions } from './options';
export type { Plan } from './plan';
export { ServiceList } from './service-list';
export type { Verification } from './socket-layer';
export type {
  BackendSpec,
  BackendState,
  FrontendSpec,
  FrontendType,
  Protocol,
  ServiceSpec,
  TrafficPolicy,
} from './spec';
export { Status, type StatusData } from './status';
