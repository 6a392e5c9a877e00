import { EventEmitter } from 'node:events';
import { isDeepStrictEqual } from 'node:util';

import { layouts } from './abi';
import { adoptServices } from './adoption';
import { type AffectedConnections, affectedConnections } from './affected-connections';
import { ApplyRun, carryOut } from './apply';
import { findCgroup } from './cgroup';
import { CommitQueue } from './commit-queue';
import { DatagramFlows, type DefinitionChange } from './datagram-flows';
import { defineDesired, DesiredServices } from './desired-services';
import { ConnectionCounter } from './connections';
import type { Device } from './device';
import { type DeviceChange, DeviceLayer } from './device-layer';
import { Drains } from './drains';
import { asPublicError, attempt, LoadBalancerError } from './errors';
import { decodeEvent, type PortExhaustion } from './events';
import { type Exposure, exposuresOf, type Outside } from './exposure';
import type { LostHook } from './hook-cases';
import type { HookState } from './hook-loss';
import { HookWatch } from './hook-watch';
import { TableGrowth } from './growth';
import { type Hook, Hooks } from './hooks';
import { liveDatapath, type LiveDatapath } from './live-datapath';
import { canaryEntries } from './load-options';
import { type Metrics, readMetrics } from './metrics';
import { loadNative } from './native';
import { NetworkFollower } from './network-follower';
import { load, type Loaded } from './opening';
import {
  type OpenOptions,
  type Options,
  parseOptions,
  parseSocketExceptions,
  type SocketExceptions,
} from './options';
import { PinWatch } from './pin-watch';
import { type Plan, planServices } from './plan';
import { PortReservation } from './port-range';
import { judge, Probe } from './probe';
import { readProbeFacts } from './probe-facts';
import { tables } from './programs';
import { type ReachReport, ReachSearch } from './reach';
import { ReachWatch } from './reach-watch';
import { Rebalancing } from './rebalancing';
import { type Release, type ReleaseOptions, untilReleased } from './release';
import { Service, type ServiceChanges, type ServiceOwner, specOf } from './service';
import { defineService, type ServiceDefinition } from './service-definition';
import { serviceCIDROperations } from './service-cidrs';
import { ServiceList } from './service-list';
import { isInternal } from './internal-service';
import { ServiceTable } from './service-table';
import { initialState, type SettingState, settingsOperation, stateOperation } from './settings';
import { type ResolvedExceptions, SocketExceptionTable } from './socket-exceptions';
import { DecisionModule } from './simulator/decision-module';
import { Explainer } from './simulator/explainer';
import { KernelTables } from './simulator/kernel-tables';
import { parseQuery, type Query } from './simulator/query';
import type { Verdict } from './simulator/verdict';
import { type CountedDecision, decodeCounted, decodeObserved, type ObservedDecision } from './shadow';
import { SlowStarts } from './slow-starts';
import { canaryService, drawCanaryPort, SocketLayer } from './socket-layer';
import { makeSnapshot, readSnapshot, type Snapshot } from './snapshot';
import { type DestroyedSockets, SocketReconciler } from './socket-reconciler';
import { SocketRemoval } from './socket-removal';
import type { ServiceSpec } from './spec';
import { StateDirectory } from './state-directory';
import { readStatus, type Status, type StatusData } from './status';
import type { Generation } from './state-generation';
import { TimeSlice } from './time-slice';
import { listTranslatedSockets, type SocketList } from './translated-sockets';
import type { Datapath, MapOperation, Native, Watch } from '../types/native';

/** Events of a {@link LoadBalancer}. */
export interface LoadBalancerEvents {
  /** During `apply`, after each of its commits: services brought over so far, and all that have to be. */
  progress: [progress: { done: number; total: number }];
  /** Devices, their addresses or their programs have changed, by themselves or through `selectDevices()`. */
  devices: [change: DeviceChange];
  /**
   * A change of the node's devices could not be followed; what was there serves on. It is tried again, less and less
   * often, and when the network changes next.
   */
  devicesFailed: [error: Error];
  /** Programs are not where they were attached: somebody took them off, or the cgroup was removed. */
  hooksLost: [hooks: readonly LostHook[]];
  /** Programs that were lost are on their hooks again. */
  hooksRepaired: [hooks: readonly HookState[]];
  /** Others have removed what is pinned in the `stateDir`, or its file system. Everything runs on, but would end with the process. */
  stateLost: [pins: readonly string[]];
  /** What was lost is pinned again. */
  stateRepaired: [];
  /**
   * Paths of `socketLB.except` or `exceptSockets()` lead to nothing any more. What they led to stays excepted. Those under
   * `/proc` mean the namespace that they led to at first, and are not looked at again.
   */
  exceptionsLost: [paths: readonly string[]];
  /** Paths lead to something again, or to something else, which is excepted from now on. */
  exceptionsRepaired: [paths: readonly string[]];
  /**
   * Looking at hooks, putting programs back, sending a canary, or a search of `reachPeriod` has failed; see `hooksLost` for
   * when it is tried again.
   */
  watchFailed: [error: Error];
  /** A canary has found something else than the one before. */
  socketLB: [state: StatusData['socketLB']];
  /** With `reachPeriod`: a search has found other workloads that are not reached than the one before; the first, some. */
  unreached: [report: ReachReport];
  /** Sockets were destroyed because their backend, their frontend or their service had gone. */
  socketsDestroyed: [destroyed: readonly DestroyedSockets[]];
  /** Sockets could not be looked for or not be destroyed; it is tried again every `socketReconcilePeriod`. */
  socketsFailed: [error: Error];
  /**
   * A packet was dropped because no source port was left towards its backend, among those that were tried. At most ten
   * times a second; `metrics()` counts all (`DROP_NO_PORT`).
   */
  portsExhausted: [exhaustion: PortExhaustion];
  /** In shadow mode, a decision about a new connection. At most 100 a second; `shadowDecisions()` has counts of all. */
  decision: [decision: ObservedDecision];
}

/** Milliseconds that a search for workloads may take. */
const searchTimeout = 10_000;

/** For {@link LoadBalancer.apply}. */
export interface ApplyOptions {
  /** Aborts between services: each is what it was or what it is to be. */
  signal?: AbortSignal | undefined;
}

/** How a {@link LoadBalancer} is closed. */
export interface CloseOptions {
  /** Leave the datapath running. Needs `stateDir`. Default false. */
  keep?: boolean;
}

/**
 * Service load balancing on this node: opened, it translates sockets and packets until it is closed.
 *
 * Needs Linux 6.1 on x64 or arm64, and root or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and for some features more
 * ("Privileges" in docs/operations.md).
 * Works for the network namespace of the thread that opens it. May be used in worker threads; several may be open.
 */
export class LoadBalancer extends EventEmitter<LoadBalancerEvents> {
  /** The services, live. */
  readonly services: ServiceList;
  readonly #native: Native;
  readonly #datapath: LiveDatapath;
  readonly #options: Options;
  readonly #state: StateDirectory | undefined;
  readonly #pins: PinWatch | undefined;
  readonly #table: ServiceTable;
  readonly #queue: CommitQueue;
  readonly #datagramFlows: DatagramFlows;
  readonly #slowStarts: SlowStarts;
  readonly #ending = new AbortController();
  readonly #socketRemoval: SocketRemoval;
  readonly #deviceLayer: DeviceLayer;
  readonly #hooks: Hooks;
  readonly #owner: ServiceOwner;
  readonly #outside: Outside;
  #socketLayer: SocketLayer | undefined;
  #socketReconciler: SocketReconciler | undefined;
  #reservation: PortReservation | undefined;
  #follower: NetworkFollower | undefined;
  #events: Watch | undefined;
  #hookWatch: HookWatch | undefined;
  #reachWatch: ReachWatch | undefined;
  readonly #exceptions: SocketExceptionTable;
  #setting: SettingState;
  #patterns: readonly string[] = [];
  #opened = false;
  #closed: Promise<void> | undefined;
  #decisions: DecisionModule | undefined;

  private constructor(native: Native, loaded: Datapath, options: Options, state: StateDirectory | undefined) {
    super();
    const datapath = liveDatapath(loaded);
    this.#native = native;
    this.#datapath = datapath;
    this.#options = options;
    this.#setting = initialState(options);
    this.#state = state;
    this.#pins = state && this.#watchPins(state);
    this.#hooks = new Hooks(native, datapath, state);
    this.#deviceLayer = new DeviceLayer(native, datapath, this.#hooks, options, (change) => {
      if (this.#opened) this.#emitLater('devices', change);
    });
    this.#table = new ServiceTable(
      options.capacity,
      new Set(),
      options.socketLB ? canaryEntries.backends : 0,
      options.policy,
      options.stateDir !== undefined,
    );
    this.#exceptions = new SocketExceptionTable(native);
    this.#datagramFlows = new DatagramFlows({
      datapath,
      table: this.#table,
      settled: (work) => this.#queue.hold(work),
    });
    this.#slowStarts = new SlowStarts(
      (stage) => this.#queue.add(stage),
      (name) => this.#table.records.get(name)?.definition,
    );
    const growth = new TableGrowth(native, datapath, this.#table, options, {
      hooks: () => this.#attached(),
      onGrown: () => this.#renew(),
    });
    const committed = (changes: readonly DefinitionChange[]) => {
      if (this.#deviceLayer.devices.length > 0) this.#datagramFlows.note(changes);
      this.#socketReconciler?.note(changes);
      for (const { before, after } of changes) this.#slowStarts.follow((before ?? after)!.name, after);
    };
    this.#queue = new CommitQueue(native, this.#table, datapath, committed, (full) => growth.makeRoom(full));
    const record = (name: string) => this.#table.records.get(name);
    this.#socketRemoval = new SocketRemoval(native, datapath);
    const drains = new Drains({
      closed: this.#ending.signal,
      counter: new ConnectionCounter(datapath, async () => (await this.sockets()).sockets),
      commit: (stage) => {
        this.#checkOpen();
        return this.#queue.add(stage);
      },
      gracePeriod: () => native.gracePeriod(),
      record,
    });
    const rebalancing = new Rebalancing({
      socketLB: options.socketLB,
      removal: this.#socketRemoval,
      closed: this.#ending.signal,
      list: () => listTranslatedSockets(datapath),
      settled: (work) => this.#queue.hold(work),
      record,
    });
    this.#owner = {
      record,
      drains,
      rebalancing,
      updateService: (name: string, changes: ServiceChanges) => this.#update(name, changes),
      deleteService: (name: string) => this.deleteService(name),
    };
    const layer = this.#deviceLayer;
    this.#outside = {
      externalClusterIP: options.policy.externalClusterIP,
      get externalDevices() {
        return layer.externalDevices;
      },
      wildcardAddresses: (type, family) => layer.wildcardAddresses(type, family),
    };
    this.services = new ServiceList(this.#table, this.#owner, this.#outside.wildcardAddresses);
  }

  /**
   * Loads the programs, attaches them, and sends a canary through the socket hooks: `status()` says what it found. On
   * failure nothing is left behind.
   *
   * Throws `ERR_BPF_INVALID_OPTION`, `ERR_BPF_NO_CGROUP2`, `ERR_BPF_NO_DEVICE`, `ERR_BPF_PERMISSION`,
   * `ERR_BPF_UNSUPPORTED` and `ERR_BPF_SYSCALL`.
   */
  static async open(options: OpenOptions = {}): Promise<LoadBalancer> {
    const parsed = parseOptions(options);
    const native = loadNative();
    const cgroup = parsed.socketLB ? await findCgroup(native, parsed.cgroup) : undefined;
    const { stateDir } = parsed;
    const state = stateDir === undefined ? undefined : await StateDirectory.open(native, stateDir);
    let loaded: Loaded;
    try {
      loaded = await load(native, parsed, state);
    } catch (error) {
      await state?.abandon();
      throw error;
    }
    const lb = new LoadBalancer(native, loaded.datapath, loaded.options, state);
    try {
      await lb.#start(cgroup, loaded.earlier);
      await state?.complete();
      lb.#hooks.settle();
      lb.#opened = true;
      lb.#hookWatch = lb.#watchHooks();
      if (lb.#socketLayer && lb.#options.reachPeriod > 0) lb.#reachWatch = lb.#watchReach(lb.#socketLayer);
      return lb;
    } catch (error) {
      await (lb.#closed ??= lb.#abandon());
      throw error;
    } finally {
      if (loaded.earlier !== loaded.datapath) loaded.earlier?.close();
    }
  }

  /**
   * What could be done here, by this process on this kernel, and for what cannot, why not and what would help. Changes
   * nothing: nothing is attached or pinned, and the maps and programs that are made for asking are gone at once.
   * Needs no privileges; without them the kernel gives no answers, and that is what is told then.
   *
   * Throws `ERR_BPF_INVALID_OPTION` and `ERR_BPF_UNSUPPORTED`.
   */
  static async probe({ cgroup, stateDir }: Pick<OpenOptions, 'cgroup' | 'stateDir'> = {}): Promise<Probe> {
    const options = parseOptions({ ...(cgroup && { cgroup }), ...(stateDir && { stateDir }) });
    return new Probe(judge(await readProbeFacts(loadNative(), options)));
  }

  /** The selected devices. */
  get devices(): readonly Device[] {
    return this.#deviceLayer.devices;
  }

  /**
   * Makes a service what the spec says, whether it exists or not. Calls of one tick are committed as one batch;
   * resolves when the kernel has it. A changed set of backends is seen by the datapath as the old or the new one.
   *
   * Rejects with an `ERR_BPF_INVALID_…` code, `ERR_BPF_MIXED_FAMILIES`, `ERR_BPF_DUPLICATE_FRONTEND`,
   * `ERR_BPF_MAP_FULL` or `ERR_BPF_SYSCALL`; then nothing has changed.
   */
  async upsertService(spec: ServiceSpec): Promise<Service> {
    this.#checkOpen();
    const definition = this.#define(spec);
    await this.#queue.add((tx) => tx.put(definition));
    return new Service(definition.name, this.#owner);
  }

  /** Resolves with false when there is no such service. Established connections go on. */
  async deleteService(name: string): Promise<boolean> {
    this.#checkOpen();
    if (typeof name !== 'string' || isInternal(name)) return false;
    return this.#queue.add((tx) => tx.remove(name));
  }

  /**
   * Makes the services exactly the desired ones: adds, changes, and removes all others. Resolves with what was done.
   * Emits `progress` while it works; other work of the process goes on in between.
   *
   * Each service goes over as a whole, those that exchange frontends together. One that cannot, because it is malformed,
   * wants a frontend that another one keeps, or does not fit, stays what it is, and hinders no other: then rejects in the end with
   * `ERR_BPF_APPLY` ({@link ApplyError}), which says which failed and why. When the signal is aborted, rejects with an
   * `AbortError` ({@link ApplyAbortedError}), which says what was done until then. Rejects with a kernel error when the
   * datapath cannot be written at all.
   */
  async apply(desired: Iterable<ServiceSpec>, { signal }: ApplyOptions = {}): Promise<Plan> {
    this.#checkOpen();
    const specs = [...desired];
    return this.#queue.hold(async (transact) => {
      const slice = new TimeSlice();
      const wanted = new DesiredServices(this.#options.snatPorts);
      for (const spec of specs) {
        wanted.add(spec);
        if (slice.isOver) await slice.next();
      }
      wanted.settle(this.#table);
      const plan = planServices(wanted, this.#table, this.#outside);
      const run = new ApplyRun(wanted, this.#table);
      await carryOut(run, transact, signal, async () => {
        this.emit('progress', run.progress);
        if (slice.isOver) await slice.next();
      });
      return plan;
    });
  }

  /** All services, as plain data that {@link restore} takes, also of another LoadBalancer or on another day. */
  snapshot(): Snapshot {
    this.#checkOpen();
    return makeSnapshot(this.#table.listed());
  }

  /**
   * Makes the services those of a snapshot: what {@link apply} does. Ids are given anew to those that are not there.
   *
   * Rejects with `ERR_BPF_SNAPSHOT` for what is no snapshot, and as `apply` does.
   */
  async restore(snapshot: Snapshot): ReturnType<LoadBalancer['apply']> {
    return this.apply(readSnapshot(snapshot));
  }

  /**
   * Says that every service that is to be has been asked for since the LoadBalancer was opened: those that an earlier
   * process left in the `stateDir`, and that nobody has asked for, are removed. Until then, and without this call, they
   * serve on. `apply()` says as much. Resolves with their names; there are none without a `stateDir`.
   *
   * Rejects with a kernel error; then nothing has changed.
   */
  async synced(): Promise<readonly string[]> {
    this.#checkOpen();
    return this.#queue.add((tx) => {
      const names = [...this.#table.unclaimed];
      for (const name of names) tx.remove(name);
      return names;
    }, true);
  }

  /** What {@link apply} would do now. Changes nothing. {@link planConnections} tells what connections would suffer. */
  plan(desired: Iterable<ServiceSpec>): Plan {
    this.#checkOpen();
    return planServices(this.#settle(desired), this.#table, this.#outside);
  }

  /**
   * Which connections {@link apply} would take from their backends if it were called now; all others go on. Changes
   * nothing. Looks at all translated sockets (see {@link sockets} for what that needs) and reads the flow tables as a whole.
   *
   * Rejects with a kernel error.
   */
  async planConnections(desired: Iterable<ServiceSpec>): Promise<readonly AffectedConnections[]> {
    this.#checkOpen();
    const wanted = this.#settle(desired);
    const { sockets } = await this.sockets();
    const changes = [...wanted.changes(this.#table)].map(([name, after]) => ({
      before: this.#table.records.get(name)?.definition,
      after,
    }));
    return attempt('read the flows', () =>
      affectedConnections(this.#datapath, sockets, this.#table, changes),
    );
  }

  #settle(desired: Iterable<ServiceSpec>): DesiredServices {
    const wanted = new DesiredServices(this.#options.snatPorts);
    for (const spec of desired) wanted.add(spec);
    wanted.settle(this.#table);
    return wanted;
  }

  /**
   * Selects other devices, or, without an argument, looks again at the devices and addresses of the node, which is only
   * needed without `followDevices`. A device that is no longer selected serves nothing from outside any more.
   *
   * Rejects with `ERR_BPF_NO_DEVICE`, `ERR_BPF_INVALID_OPTION` or a kernel error; then the selection is as before.
   */
  async selectDevices(patterns?: readonly string[]): Promise<readonly Device[]> {
    this.#checkOpen();
    await this.#select(patterns);
    return this.devices;
  }

  /** Every address and port that is reachable from outside now, by the devices that it is reached through. */
  exposure(): Exposure[] {
    this.#checkOpen();
    return exposuresOf([...this.#table.listed()], this.#outside);
  }

  /**
   * Leaves the sockets of other cgroups and network namespaces alone from now on, instead of those before; without an
   * argument, of none. Connections that were translated stay so. Where it concerns pods whose devices are selected,
   * their packets are translated.
   *
   * Rejects with `ERR_BPF_INVALID_OPTION` or a kernel error for a path that is not one; then nothing has changed.
   */
  async exceptSockets(exceptions: SocketExceptions = {}): Promise<void> {
    this.#checkOpen();
    await this.#setExceptions(parseSocketExceptions('exceptSockets', exceptions));
  }

  /** What is in effect at this moment: hooks and devices are looked at, the canary's last finding is reported. */
  status(): Status {
    this.#checkOpen();
    return this.#readStatus();
  }

  /**
   * What becomes of the first packet of a flow, or of a socket's connect(), with the tables as the kernel has them now:
   * the programs' own code, compiled to WebAssembly, looks them up. Changes nothing. The backend is one that may be
   * chosen; with session affinity, or with Maglev and a `fromPort`, it is the one that will be. Routes, flows that
   * exist and `socketLB.except` are not looked at.
   *
   * Throws `ERR_BPF_INVALID_ADDRESS`, `ERR_BPF_INVALID_PORT`, `ERR_BPF_INVALID_PROTOCOL`, `ERR_BPF_INVALID_OPTION` for a
   * malformed query, and a kernel error.
   */
  explain(query: Query): Verdict {
    this.#checkOpen();
    const module = (this.#decisions ??= new DecisionModule());
    const tables = new KernelTables(module.memory, this.#datapath);
    const ifindexOf = (name: string) => this.devices.find((device) => device.name === name)?.ifindex ?? 0;
    const parsed = parseQuery(query, ifindexOf);
    try {
      return new Explainer(module, tables, this.#table, this.#options.socketLB).explain(parsed);
    } catch (error) {
      throw asPublicError(error, 'read the tables');
    }
  }

  /**
   * Every socket that is translated now, of the host and of all pods: of every network namespace that a visible process is
   * in, or that is mounted where this process sees it. Datagram sockets only while they are connected: another one asks
   * anew with every datagram. None without `socketLB`. Needs CAP_SYS_ADMIN for other namespaces than the own, and
   * CAP_SYS_PTRACE for those of other users' processes that are not mounted.
   *
   * Rejects with a kernel error.
   */
  async sockets(): Promise<SocketList> {
    this.#checkOpen();
    if (!this.#options.socketLB) return { sockets: [], namespaces: 0, refused: 0 };
    const { sockets, namespaces, refused } = await listTranslatedSockets(this.#datapath);
    return { sockets, namespaces, refused };
  }

  /**
   * Looks at every hook, puts back what others took off, also what had been given up, and sends a canary through the
   * socket hooks again, for {@link status}. Rejects with a kernel error for what could not be tried or put back.
   */
  async verify(): Promise<Status> {
    this.#checkOpen();
    await this.#hookWatch?.check();
    return this.status();
  }

  /**
   * Workloads whose sockets are not translated, as far as this process can see: processes that are not below `cgroup`,
   * those that were excepted, those among which a canary finds out that it does not work, and virtual machines. Goes
   * through /proc, and into network namespaces with processes below `cgroup`; needs CAP_SYS_ADMIN and CAP_SYS_PTRACE and
   * the host's PID namespace. Ends after `timeout` milliseconds (default 10,000) and the canary under way: `missing` says
   * what could not be looked at.
   *
   * Rejects with `ERR_BPF_INVALID_OPTION` when the LoadBalancer was opened with `socketLB: false`, and kernel errors.
   */
  async unreached({ timeout = searchTimeout }: { timeout?: number } = {}): Promise<ReachReport> {
    this.#checkOpen();
    if (!this.#socketLayer) {
      throw new LoadBalancerError(
        'ERR_BPF_INVALID_OPTION',
        'unreached: open with socketLB to reach sockets.',
      );
    }
    if (typeof timeout !== 'number' || !(timeout > 0)) {
      throw new LoadBalancerError('ERR_BPF_INVALID_OPTION', `unreached: timeout: ${timeout} is no time.`);
    }
    return this.#searchUnreached(this.#socketLayer, timeout);
  }

  /** What the programs counted, and how full the tables are. */
  metrics(): Metrics {
    this.#checkOpen();
    return readMetrics(this.#datapath, this.#table);
  }

  /**
   * Waits for calls that are on their way, then detaches and frees everything; with `keep` the datapath goes on as it
   * is. Later calls are rejected with `ERR_BPF_CLOSED`. Idempotent.
   */
  async close({ keep = false }: CloseOptions = {}): Promise<void> {
    if (keep && !this.#state) {
      throw new LoadBalancerError(
        'ERR_BPF_INVALID_OPTION',
        'close: to keep the datapath, open with a stateDir.',
      );
    }
    return (this.#closed ??= this.#shutDown(keep));
  }

  /**
   * Gives the services back to who else serves them, kube-proxy say, whose rules have to be there already: new
   * connections, of sockets and of packets, are left alone from now on, those that exist go on. When the last flow through
   * devices and the last translated socket have ended, or at the deadline, it closes, and resolves with how many were open.
   *
   * Rejects with the reason of the `signal`, and then new connections are served again; with `ERR_BPF_INVALID_OPTION`,
   * `ERR_BPF_CLOSED` or a kernel error.
   */
  async release(options: ReleaseOptions = {}): Promise<Release> {
    this.#checkOpen();
    const { deadline = Infinity } = options;
    if (typeof deadline !== 'number' || !(deadline >= 0)) {
      throw new LoadBalancerError(
        'ERR_BPF_INVALID_OPTION',
        'release: use milliseconds from 0 on as the deadline.',
      );
    }
    options.signal?.throwIfAborted();
    await this.#setReleasing(true);
    try {
      const countSockets = async () => (await this.sockets()).sockets.length;
      const left = await untilReleased(this.#datapath, countSockets, options);
      await this.close();
      return left;
    } catch (error) {
      if (!this.#closed) await this.#setReleasing(false);
      throw error;
    }
  }

  /**
   * Ends shadow mode: new connections are served from now on, by what has been decided about so far. Does nothing when the
   * LoadBalancer is not in shadow mode.
   *
   * Rejects with `ERR_BPF_INVALID_OPTION` when the NodePorts could not be protected, and kernel errors; then it stays in
   * shadow mode.
   */
  async activate(): Promise<void> {
    this.#checkOpen();
    await this.#queue.add(async () => {
      if (!this.#setting.shadow) return;
      if (!this.#reservation) await this.#reservePorts();
      await attempt('write the settings', () => this.#changeSetting({ shadow: false }));
    }, true);
  }

  /**
   * What would have been done in shadow mode since the LoadBalancer was opened, and how often; most frequent first. Each
   * of up to 16,384 different decisions is counted. Datagrams of sockets that are not connected count one by one, and so do those
   * through devices, unless `existingConnections` is `'leave'` and the kernel tracks them.
   *
   * Rejects with a kernel error.
   */
  async shadowDecisions(): Promise<CountedDecision[]> {
    this.#checkOpen();
    const dump = await attempt('read the decisions', () => this.#datapath.dump('decisions'));
    return decodeCounted(dump, this.#table.owners);
  }

  /** `await using lb = …` closes at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(cgroup: string | undefined, earlier: Datapath | undefined): Promise<void> {
    const { followDevices, serviceCIDRs } = this.#options;
    const state = this.#state;
    if (earlier) await this.#adoptNode();
    await attempt('write the settings', () =>
      this.#datapath.commit([
        settingsOperation(this.#options, this.#native.netns().cookie),
        ...serviceCIDROperations(serviceCIDRs, this.#table.networkHints),
      ]),
    );
    if (earlier) await this.#adoptServices(earlier);
    await this.#setExceptions(this.#options.socketExceptions);
    this.#watchEvents();
    await attempt('pin the tables', () => state && this.#pinTables(state.own));
    if (!this.#setting.shadow) await this.#reservePorts();
    if (followDevices) this.#follow();
    await this.#select(this.#options.devices);
    this.#datagramFlows.start(this.#options.socketReconcilePeriod);
    if (earlier) this.#datagramFlows.reconcile();
    if (cgroup === undefined) return;
    const canaryPort = drawCanaryPort();
    await this.#queue.add((tx) => tx.put(defineService(canaryService(canaryPort))));
    this.#socketLayer = await SocketLayer.attach(this.#hooks, cgroup, canaryPort);
    await this.#socketLayer.verify(this.#native);
    this.#reconcileSockets(earlier !== undefined);
  }

  async #reservePorts(): Promise<void> {
    const { nodePortRange, protectNodePorts } = this.#options;
    this.#reservation = await PortReservation.make(nodePortRange, protectNodePorts);
  }

  /** Watches over the backends of sockets; those of an earlier process may have lost theirs. */
  #reconcileSockets(adopted: boolean): void {
    this.#socketReconciler = new SocketReconciler({
      table: this.#table,
      removal: this.#socketRemoval,
      list: () => listTranslatedSockets(this.#datapath),
      settled: (work) => this.#queue.hold(work),
      onDestroyed: (destroyed) => this.#emitLater('socketsDestroyed', destroyed),
      onFailure: (error) => this.#emitLater('socketsFailed', error as Error),
    });
    this.#socketReconciler.start(this.#options.socketReconcilePeriod);
    if (adopted) this.#socketReconciler.reconcile();
  }

  /** What an earlier process knew of the node, and of where frontends and flows may be. */
  async #adoptNode(): Promise<void> {
    await attempt('read the tables of an earlier process', async () => {
      this.#table.nodeAddresses = await this.#deviceLayer.adopt();
      this.#exceptions.adopt(await this.#datapath.dump('exceptions'));
      this.#table.portHints.adopt(this.#datapath.read('ports', 0, layouts.lb_ports.size));
      this.#table.networkHints.adopt(this.#datapath.read('networks', 0, layouts.lb_networks.size));
    });
  }

  /** Also finishes the change that an earlier process was at. */
  async #adoptServices(earlier: Datapath): Promise<void> {
    const inPlace = earlier === this.#datapath.current;
    const { torn, retired, leftovers } = await attempt('read the services of an earlier process', () =>
      adoptServices(earlier, this.#table, this.#options.serviceCIDRs, inPlace),
    );
    for (const range of retired) this.#table.retire(range);
    await this.#queue.add((tx) => torn.forEach((definition) => tx.rewrite(definition)), true);
    await attempt('clean the tables of an earlier process', () => this.#datapath.commit(leftovers));
    for (const [name, { definition }] of this.#table.records) this.#slowStarts.follow(name, definition);
  }

  async #setExceptions(exceptions: Required<SocketExceptions>): Promise<void> {
    await this.#queue.add(async () => {
      const resolved = await this.#exceptions.resolve(exceptions);
      await this.#writeExceptions(resolved);
      this.#exceptions.accept(resolved);
    }, true);
  }

  /** What was made again under the same path is left alone, too. */
  async #followExceptions(): Promise<void> {
    const { exceptions, missing, lost, found } = await this.#exceptions.follow();
    if (lost.length === 0 && found.length === 0) return;
    await this.#writeExceptions(exceptions);
    this.#exceptions.accept(exceptions, missing);
    if (lost.length > 0) this.#emitLater('exceptionsLost', lost);
    if (found.length > 0) this.#emitLater('exceptionsRepaired', found);
  }

  async #writeExceptions(exceptions: ResolvedExceptions): Promise<void> {
    const change = this.#exceptions.change(exceptions);
    await attempt('write the exceptions of socketLB', () =>
      this.#changeSetting({ socketExceptions: exceptions.size > 0 }, change),
    );
  }

  async #setReleasing(releasing: boolean): Promise<void> {
    await this.#queue.add(
      () => attempt('write the settings', () => this.#changeSetting({ releasing })),
      true,
    );
  }

  /** In one commit with what comes `first`. */
  async #changeSetting(change: Partial<SettingState>, first: readonly MapOperation[] = []): Promise<void> {
    const setting = { ...this.#setting, ...change };
    await this.#datapath.commit([...first, stateOperation(this.#options, setting)]);
    this.#setting = setting;
  }

  #follow(): void {
    const refresh = async () => {
      if (!this.#closed) await this.#select(undefined, true);
    };
    const onFailure = (error: unknown) => this.#emitLater('devicesFailed', error as Error);
    this.#follower = new NetworkFollower(this.#native, refresh, onFailure);
  }

  #watchHooks(): HookWatch {
    const sockets = this.#socketLayer;
    const devices = {
      look: () => this.#deviceLayer.look(),
      repair: () => this.#queue.add(() => this.#deviceLayer.repair(), true),
    };
    return new HookWatch({
      layers: [
        ...(sockets
          ? [{ look: () => sockets.look(), repair: () => this.#queue.add(() => sockets.repair(), true) }]
          : []),
        devices,
      ],
      others: [
        async () => this.#pins && this.#queue.add(() => this.#pins?.look(), true),
        async () => this.#exceptions.isEmpty || this.#queue.add(() => this.#followExceptions(), true),
      ],
      period: this.#options.watchPeriod,
      canary: () => this.#sendCanary(),
      onLost: (hooks) => this.#emitLater('hooksLost', hooks),
      onRepaired: (hooks) => this.#emitLater('hooksRepaired', hooks),
      onFailure: (error) => this.#emitLater('watchFailed', error as Error),
    });
  }

  #watchPins(state: StateDirectory): PinWatch {
    return new PinWatch({
      state,
      names: () => [...tables, ...[...this.#attached()].map(({ pin }) => pin)],
      repair: async () => {
        await state.regain();
        await this.#pinAnew();
      },
      onLost: (names) => this.#emitLater('stateLost', names),
      onRepaired: () => this.#emitLater('stateRepaired'),
    });
  }

  #watchReach(layer: SocketLayer): ReachWatch {
    return new ReachWatch({
      period: this.#options.reachPeriod,
      search: () => this.#searchUnreached(layer, searchTimeout),
      onChange: (report) => this.#emitLater('unreached', report),
      onFailure: (error) => this.#emitLater('watchFailed', error as Error),
    });
  }

  #searchUnreached({ cgroup, canaryPort }: SocketLayer, timeout: number): Promise<ReachReport> {
    const context = {
      native: this.#native,
      hooks: this.#hooks,
      cgroup,
      canaryPort,
      hostNamespaceOnly: this.#options.hostNamespaceOnly,
      closed: this.#ending.signal,
      excepts: (cgroups: readonly bigint[], netns: bigint) => this.#exceptions.excepts(cgroups, netns),
    };
    return attempt('look for workloads', () => new ReachSearch(context, timeout).run());
  }

  async #sendCanary(): Promise<void> {
    const layer = this.#socketLayer;
    if (!layer) return;
    const found = () => [layer.verified, layer.failure, layer.others];
    const before = found();
    await this.#queue.add(() => layer.verify(this.#native), true);
    if (!isDeepStrictEqual(found(), before)) this.#emitLater('socketLB', this.#readStatus().data.socketLB);
  }

  async #select(patterns: readonly string[] | undefined, wait = false): Promise<void> {
    const before = this.#patterns;
    try {
      await this.#queue.add(async (tx) => {
        await this.#deviceLayer.select(patterns ?? this.#patterns, wait);
        this.#patterns = patterns ?? this.#patterns;
        const { nodeAddresses } = this.#deviceLayer;
        if (!isDeepStrictEqual(nodeAddresses, this.#table.nodeAddresses)) tx.useNodeAddresses(nodeAddresses);
      }, true);
    } catch (error) {
      if (patterns && this.#opened) {
        /* The devices may have gone over before the kernel refused the services. */
        this.#patterns = before;
        await this.#queue.add(() => this.#deviceLayer.select(before, true), true).catch(() => undefined);
      }
      throw error;
    }
  }

  /** A listener that throws is the process' concern, and no failure of what is told. */
  #emitLater<Name extends Exclude<keyof LoadBalancerEvents, 'progress'>>(
    name: Name,
    ...args: LoadBalancerEvents[Name]
  ): void {
    process.nextTick(() => (this as EventEmitter).emit(name, ...args));
  }

  /** Read, merge and write in one stage: changes of one tick add up. */
  async #update(name: string, changes: ServiceChanges): Promise<void> {
    this.#checkOpen();
    await this.#queue.add((tx) => {
      const current = tx.record(name);
      if (!current) {
        throw new LoadBalancerError(
          'ERR_BPF_INVALID_NAME',
          `Service ${name} was deleted; use upsertService.`,
        );
      }
      return tx.put(this.#define({ ...specOf(current.definition), ...changes, name }));
    });
  }

  #watchEvents(): void {
    this.#events?.close();
    this.#events = this.#datapath.watchRing('events', (record) => {
      const exhaustion = decodeEvent(record);
      if (exhaustion) this.#emitLater('portsExhausted', exhaustion);
      const decision = decodeObserved(record, this.#table.owners);
      if (decision) this.#emitLater('decision', decision);
    });
  }

  #pinTables(generation: Generation): void {
    for (const table of tables) this.#datapath.pinMap(table, generation.pathOf(table));
  }

  *#attached(): Iterable<Hook> {
    yield* this.#socketLayer?.hooks ?? [];
    for (const { hooks } of this.devices) yield* hooks;
  }

  /** The datapath is another one. */
  async #renew(): Promise<void> {
    if (this.#events) this.#watchEvents();
    /* Until it is open, nothing of this generation counts. */
    if (this.#opened) await this.#pinAnew();
  }

  async #pinAnew(): Promise<void> {
    await this.#state?.renew((generation) => {
      this.#pinTables(generation);
      for (const { link, pin } of this.#attached()) link.pin(generation.pathOf(pin));
    });
  }

  async #shutDown(keep: boolean): Promise<void> {
    await this.#finish();
    try {
      if (keep) return;
      this.#deviceLayer.detach();
      this.#socketLayer?.detach();
      await this.#state?.own.remove();
      await this.#reservation?.release();
    } finally {
      this.#datapath.close();
      this.#state?.release();
    }
  }

  /** After a failure to open: what an earlier process left serves on. */
  async #abandon(): Promise<void> {
    if (!this.#state?.earlier) return this.#shutDown(false);
    await this.#finish();
    try {
      await this.#state.abandon();
      await this.#reservation?.release();
    } finally {
      this.#datapath.close();
    }
  }

  async #finish(): Promise<void> {
    this.#follower?.close();
    this.#slowStarts.close();
    this.#ending.abort(new LoadBalancerError('ERR_BPF_CLOSED', 'The LoadBalancer was closed.'));
    this.#events?.close();
    await this.#hookWatch?.close();
    await this.#reachWatch?.close();
    await this.#queue.idle();
    await this.#datagramFlows.stop();
    await this.#socketReconciler?.stop();
  }

  #readStatus(): Status {
    return readStatus(this.#socketLayer, this.devices, this.#options, this.#setting, {
      persistent: this.#pins !== undefined && !this.#pins.lost,
      exceptionsLost: this.#exceptions.missing,
    });
  }

  #checkOpen(): void {
    if (this.#closed) throw new LoadBalancerError('ERR_BPF_CLOSED', 'The LoadBalancer is closed.');
  }

  #define(spec: ServiceSpec): ServiceDefinition {
    return defineDesired(spec, this.#options.snatPorts);
  }
}
