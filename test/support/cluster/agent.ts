import path from 'node:path';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

import {
  type Applied,
  ApplyAbortedError,
  ApplyError,
  formatExposures,
  type BackendReference,
  type CloseOptions,
  type DestroyedSockets,
  type DeviceChange,
  type DrainOptions,
  type HookState,
  LoadBalancer,
  type LostHook,
  type ObservedDecision,
  type OpenOptions,
  type Query,
  type ReachReport,
  type RebalanceOptions,
  type ReleaseOptions,
  type Service,
  type ServiceSpec,
  type Snapshot,
  type StatusData,
  type SocketExceptions,
} from '../../../lib';
import { swap, type Swaps } from '../../swaps/swap';
import { answerParent } from './process';
import { type Channel, remote, type Remote, serve } from './rpc';

/* A node: opens LoadBalancers in its network namespace and does with them what it is told. */

const open = new Map<number, LoadBalancer>();
const deviceChanges = new Map<number, DeviceChange[]>();
const hookEvents = new Map<number, HookEvents>();
const told = new Map<number, Told[]>();
const destroyed = new Map<number, DestroyedSockets[]>();
const decisions = new Map<number, ObservedDecision[]>();
const deviceFailures = new Map<number, string[]>();
let last = 0;

/** What a LoadBalancer told of its hooks, in order. */
export interface HookEvents {
  readonly lost: (readonly LostHook[])[];
  readonly repaired: (readonly HookState[])[];
  readonly failed: string[];
  readonly sockets: StatusData['socketLB'][];
  /** What was pinned: names that were lost; none: all is there again. */
  readonly pins: (readonly string[])[];
}

/** Events of other kinds, in order. */
export type Told =
  | { readonly event: 'exceptionsLost' | 'exceptionsRepaired'; readonly paths: readonly string[] }
  | { readonly event: 'unreached'; readonly report: ReachReport };

let worker: Remote<NodeFunctions> | undefined;

function at(id: number): LoadBalancer {
  const lb = open.get(id);
  if (!lb) throw new Error(`There is no LoadBalancer ${id}`);
  return lb;
}

function serviceAt(id: number, name: string): Service {
  const service = at(id).services.get(name);
  if (!service) throw new Error(`There is no service ${name}`);
  return service;
}

type Drain = Omit<DrainOptions, 'signal'> & { abort?: number };
type Rebalance = Omit<RebalanceOptions, 'signal'> & { abort?: number };

function describe({ name, frontends, backends }: Service) {
  return { name, frontends, backends: backends.map((backend) => ({ ...backend })) };
}

function devicesOf(lb: LoadBalancer) {
  return lb.devices.map(({ name, ifindex, role, addresses, programs, selected }) => ({
    name,
    ifindex,
    role,
    addresses,
    programs,
    selected,
  }));
}

const functions = {
  /** Returns the number by which the other functions know it. */
  async open(options: OpenOptions): Promise<number> {
    const lb = await LoadBalancer.open(options);
    const changes: DeviceChange[] = [];
    const failures: string[] = [];
    const sockets: DestroyedSockets[] = [];
    const observed: ObservedDecision[] = [];
    lb.on('decision', (decision) => observed.push(decision));
    lb.on('socketsDestroyed', (some) => sockets.push(...some));
    lb.on('devices', (change) => changes.push(change));
    lb.on('devicesFailed', ({ message }) => failures.push(message));
    const hooks: HookEvents = { lost: [], repaired: [], failed: [], sockets: [], pins: [] };
    lb.on('hooksLost', (lost) => hooks.lost.push(lost));
    lb.on('hooksRepaired', (repaired) => hooks.repaired.push(repaired));
    lb.on('watchFailed', ({ message }) => hooks.failed.push(message));
    lb.on('stateLost', (pins) => hooks.pins.push(pins));
    lb.on('stateRepaired', () => hooks.pins.push([]));
    lb.on('socketLB', (state) => hooks.sockets.push(state));
    const others: Told[] = [];
    for (const event of ['exceptionsLost', 'exceptionsRepaired'] as const)
      lb.on(event, (paths) => others.push({ event, paths }));
    lb.on('unreached', (report) => others.push({ event: 'unreached', report }));
    open.set(++last, lb);
    hookEvents.set(last, hooks);
    told.set(last, others);
    deviceChanges.set(last, changes);
    deviceFailures.set(last, failures);
    destroyed.set(last, sockets);
    decisions.set(last, observed);
    return last;
  },
  probe: async (options?: Parameters<typeof LoadBalancer.probe>[0]) =>
    (await LoadBalancer.probe(options)).data,
  upsertService: async (id: number, spec: ServiceSpec) => describe(await at(id).upsertService(spec)),
  /** All calls are made in one tick. */
  upsertServices: (id: number, specs: readonly ServiceSpec[]) =>
    Promise.all(specs.map(async (spec) => describe(await at(id).upsertService(spec)))),
  swap: (id: number, swaps: Swaps) => swap(at(id), swaps),
  deleteService: (id: number, name: string) => at(id).deleteService(name),
  synced: (id: number) => at(id).synced(),
  snapshot: (id: number) => at(id).snapshot(),
  restore: (id: number, snapshot: Snapshot) => at(id).restore(snapshot),
  /** `abort`: milliseconds after which its signal is aborted. */
  drain: (id: number, service: string, backend: BackendReference, { abort, ...options }: Drain = {}) =>
    serviceAt(id, service).drain(backend, {
      ...options,
      ...(abort !== undefined && { signal: AbortSignal.timeout(abort) }),
    }),
  undrain: (id: number, service: string, backend: BackendReference) =>
    serviceAt(id, service).undrain(backend),
  rebalance: (id: number, service: string, { abort, ...options }: Rebalance) =>
    serviceAt(id, service).rebalance({
      ...options,
      ...(abort !== undefined && { signal: AbortSignal.timeout(abort) }),
    }),
  connections: (id: number, service: string) => serviceAt(id, service).connections(),
  apply: (id: number, specs: readonly ServiceSpec[]) => at(id).apply(specs),
  /** Aborts it when the first of its commits has been made, and returns what was applied by then. */
  async applyOneStep(id: number, specs: readonly ServiceSpec[]): Promise<Applied> {
    const abort = new AbortController();
    const lb = at(id);
    lb.once('progress', () => abort.abort(new Error('enough')));
    try {
      await lb.apply(specs, { signal: abort.signal });
    } catch (error) {
      if (error instanceof ApplyAbortedError && error.cause === abort.signal.reason) return error.applied;
      throw error;
    }
    throw new Error('apply has gone on to the end');
  },
  /** Of an apply() that brings not all services over: which, and why not. */
  async applyFailures(id: number, specs: readonly ServiceSpec[]): Promise<Record<string, object>> {
    try {
      await at(id).apply(specs);
    } catch (error) {
      if (!(error instanceof ApplyError)) throw error;
      return Object.fromEntries([...error.failures].map(([name, failure]) => [name, { ...failure }]));
    }
    return {};
  },
  planConnections: (id: number, specs: readonly ServiceSpec[]) => at(id).planConnections(specs),
  plan: (id: number, specs: readonly ServiceSpec[]) => at(id).plan(specs),
  async selectDevices(id: number, patterns?: readonly string[]) {
    await at(id).selectDevices(patterns);
    return devicesOf(at(id));
  },
  exceptSockets: (id: number, exceptions?: SocketExceptions) => at(id).exceptSockets(exceptions),
  devices: (id: number) => devicesOf(at(id)),
  /** Events since the LoadBalancer was opened. */
  deviceChanges: (id: number) => deviceChanges.get(id) ?? [],
  hookEvents: (id: number) => hookEvents.get(id) as HookEvents,
  told: (id: number) => told.get(id) ?? [],
  deviceFailures: (id: number) => deviceFailures.get(id) ?? [],
  exposure: (id: number) => at(id).exposure(),
  formatExposure: (id: number) => formatExposures(at(id).exposure()),
  explain: (id: number, query: Query) => at(id).explain(query),
  status: (id: number) => at(id).status().data,
  verify: async (id: number) => (await at(id).verify()).data,
  unreached: (id: number, options?: { timeout?: number }) => at(id).unreached(options),
  formatStatus: (id: number) => at(id).status().format(),
  formatServices: (id: number) => at(id).services.format(),
  destroyedSockets: (id: number) => destroyed.get(id) ?? [],
  sockets: (id: number) => at(id).sockets(),
  metrics: (id: number) => at(id).metrics(),
  /** `abortAfter`: milliseconds. */
  release: (id: number, options: ReleaseOptions = {}, abortAfter?: number) =>
    at(id).release({ ...options, ...(abortAfter && { signal: AbortSignal.timeout(abortAfter) }) }),
  activate: (id: number) => at(id).activate(),
  shadowDecisions: (id: number) => at(id).shadowDecisions(),
  decisions: (id: number) => decisions.get(id) ?? [],
  close: (id: number, options?: CloseOptions) => at(id).close(options),
  /** Calls a function in a worker thread of this process, which is started for the first one. */
  inWorker(name: string, ...args: unknown[]): Promise<unknown> {
    worker ??= startWorker();
    return (worker[name as 'devices'] as (...args: unknown[]) => Promise<unknown>)(...args);
  },
};

/** What a node's process can be asked for. */
export type NodeFunctions = Omit<typeof functions, 'inWorker'> & {
  inWorker: (name: Exclude<keyof typeof functions, 'inWorker'>, ...args: unknown[]) => Promise<unknown>;
};

function startWorker(): Remote<NodeFunctions> {
  const thread = new Worker(path.join(__dirname, 'agent.ts'), { execArgv: ['--require', 'tsx/cjs'] });
  const channel: Channel = {
    send: (message) => thread.postMessage(message),
    onMessage: (listener) => thread.on('message', listener),
    onClose: (listener) => thread.once('exit', listener),
  };
  return remote<NodeFunctions>(channel, 'worker thread');
}

if (isMainThread) {
  answerParent(functions);
} else {
  const port = parentPort;
  if (port) {
    serve(
      {
        send: (message) => port.postMessage(message),
        onMessage: (listener) => port.on('message', listener),
        onClose: (listener) => port.once('close', listener),
      },
      functions,
    );
  }
}
