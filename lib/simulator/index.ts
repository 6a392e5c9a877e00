export { type ErrorCode, ApplyError, LoadBalancerError, MapFullError } from '../errors';
export type { BackendChange, Plan } from '../plan';
export type { SizedTable, TableNeed } from '../table-needs';
export type { SimulatedDevice, SimulatedNode, SimulatorOptions } from './options';
export type { PacketQuery, Query, SocketQuery } from './query';
export { type SimulatedQuery, Simulator } from './simulator';
export type { ExclusionReason, Reason, Verdict } from './verdict';
