import { EventEmitter } from 'node:events';
import { isIPv6 } from 'node:net';
import { setImmediate } from 'node:timers/promises';

import { ApplyError, LoadBalancerError } from '../errors';
import type { ServiceSpec } from '../spec';
import { type Clock, longestDelay, systemClock } from './clock';
import type { ClusterChange, ClusterState } from './cluster-state';
import { carryOut, codeOf, isOfService, type Operation } from './sync-batch';
import { type IPFamily, ipFamilies, SyncHealth } from './sync-health';
import { SyncRunner } from './sync-runner';
import type { ObjectWarning } from './warnings';

/** What a {@link ClusterSync} asks of a `ClusterState`. */
export type ClusterSource = Pick<ClusterState, 'synced' | 'prepare' | 'take' | 'services' | 'on'>;

/** What a {@link ClusterSync} asks of a `LoadBalancer`. */
export interface SyncTarget {
  /** Rejects with an `ApplyError` when it was done but for some of the services. */
  apply(desired: Iterable<ServiceSpec>): Promise<unknown>;
  upsertService(spec: ServiceSpec): Promise<unknown>;
  deleteService(name: string): Promise<unknown>;
}

/** For {@link ClusterSync}. Times are in milliseconds. */
export interface ClusterSyncOptions {
  /** The least time from the end of a sync to the start of the next one. Default 1000; 0: none. */
  minSyncPeriod?: number;
  /** After this time a sync that failed, or a service that did, is tried again. Default 30,000. */
  syncPeriod?: number;
  /** At least this often everything is compared, even if nothing has changed. Default an hour. */
  fullSyncPeriod?: number;
  /** Default the computer's. */
  clock?: Clock;
}

/** What a sync has done. */
export interface SyncReport {
  /** Everything was compared, not only what had changed. */
  full: boolean;
  /** Services that were to be made or changed; of a full sync, all. */
  upserted: number;
  deleted: number;
  /** Services that could not be brought to what they are to be, this time or before. */
  failed: number;
  /** Milliseconds. */
  duration: number;
  /** Events about Services, and about EndpointSlices, since the last report. */
  serviceChanges: number;
  endpointChanges: number;
  /**
   * For each changed EndpointSlice that tells when its cause happened, the milliseconds from then until now. Without what
   * happened before the start.
   */
  latencies: readonly number[];
}

/** Events of a {@link ClusterSync}. */
export interface ClusterSyncEvents {
  /** The kernel has everything but the services that failed. */
  synced: [report: SyncReport];
  /**
   * A service could not be brought to what it is to be: its earlier form serves on, if there was one. Without a service,
   * the sync failed. Told once, until the reason is another or the service has changed.
   */
  failed: [error: Error, service?: string];
  /** New about an object, or with another message than before. */
  warning: [warning: ObjectWarning];
}

/** Milliseconds of preparation after which others of the process get their turn. */
const timeSlice = 10;

/**
 * Brings a LoadBalancer to a ClusterState, and keeps it there. The LoadBalancer's services are all its own.
 *
 * Nothing is programmed or deleted until Services and EndpointSlices have been listed. The first sync is of everything,
 * then of what has changed, in one commit. A service that cannot be served hinders no other.
 */
export class ClusterSync extends EventEmitter<ClusterSyncEvents> {
  /** Whether changes reach the datapath. A change may wait for twice the `syncPeriod`. */
  readonly health: SyncHealth;
  readonly #cluster: ClusterSource;
  readonly #lb: SyncTarget;
  readonly #periods: Required<Omit<ClusterSyncOptions, 'clock'>>;
  readonly #clock: Clock;
  #failures: ReadonlyMap<string, Error> = new Map();
  #runner: SyncRunner | undefined;
  #unsubscribe: (() => void) | undefined;
  /** By the clock: when the next full sync is due. */
  #fullAt = -Infinity;
  /** By the calendar, as trigger times are. */
  #startedAt = Infinity;
  #unreported = { serviceChanges: 0, endpointChanges: 0, triggerTimes: [] as number[] };

  /** Throws `ERR_BPF_INVALID_OPTION`. */
  constructor(
    cluster: ClusterSource,
    lb: SyncTarget,
    {
      minSyncPeriod = 1000,
      syncPeriod = 30_000,
      fullSyncPeriod = 3_600_000,
      clock = systemClock,
    }: ClusterSyncOptions = {},
  ) {
    super();
    this.#cluster = cluster;
    this.#lb = lb;
    checkPeriod({ minSyncPeriod }, 0);
    checkPeriod({ syncPeriod }, 1);
    checkPeriod({ fullSyncPeriod }, 1);
    this.#periods = { minSyncPeriod, syncPeriod, fullSyncPeriod };
    this.#clock = clock;
    this.health = new SyncHealth(2 * syncPeriod, clock);
  }

  /** Services that are not what they are to be, by name, with the reason. */
  get failures(): ReadonlyMap<string, Error> {
    return this.#failures;
  }

  /** Begins, once the state has been listed. Does nothing when it has begun already. */
  start(): void {
    if (this.#runner) return;
    this.#startedAt = Date.now();
    this.#fullAt = -Infinity;
    const runner = new SyncRunner(() => this.#run(), this.#periods.minSyncPeriod, this.#clock);
    const poke = () => {
      this.health.queued();
      runner.poke();
    };
    this.#runner = runner;
    this.#unsubscribe = this.#cluster.on(poke);
    if (this.#cluster.synced) poke();
  }

  /** Finishes the sync that is on its way, and begins no other. The datapath stays as it is. Idempotent. */
  async stop(): Promise<void> {
    const runner = this.#runner;
    this.#unsubscribe?.();
    await runner?.stop();
    if (this.#runner === runner) this.#runner = undefined;
  }

  /** `await using sync = …` stops at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Returns the milliseconds after which to come again. */
  async #run(): Promise<number> {
    this.health.began();
    let late: ReadonlySet<IPFamily> = new Set(ipFamilies);
    try {
      while (!this.#cluster.prepare(timeSlice)) await setImmediate();
      const change = this.#cluster.take();
      late = change ? await this.#sync(change) : new Set();
    } catch (error) {
      this.#emitLater('failed', error as Error);
    }
    this.health.ended(late);
    /* What could not be told is not known, so all is compared. */
    if (late.size > 0) this.#fullAt = -Infinity;
    const again = late.size > 0 || this.#failures.size > 0 ? this.#periods.syncPeriod : Infinity;
    return late.size > 0 ? again : Math.min(again, Math.max(0, this.#fullAt - this.#clock.now()));
  }

  /** Returns the families of services that the datapath did not take. */
  async #sync(change: ClusterChange): Promise<ReadonlySet<IPFamily>> {
    const began = this.#clock.now();
    const full = change.full || began >= this.#fullAt;
    this.#note(change);
    const failures = full ? await this.#syncAll() : await this.#syncChanges(change);
    this.#tellFailures(failures, change);
    const late = new Set<IPFamily>();
    for (const [name, error] of failures)
      if (!isOfService(error)) familiesOf(this.#cluster.services.get(name)).forEach((f) => late.add(f));
    if (late.size > 0) return late;
    const end = this.#clock.now();
    if (full) this.#fullAt = end + this.#periods.fullSyncPeriod;
    const { serviceChanges, endpointChanges, triggerTimes } = this.#unreported;
    this.#unreported = { serviceChanges: 0, endpointChanges: 0, triggerTimes: [] };
    this.#emitLater('synced', {
      full,
      upserted: full ? this.#cluster.services.size : change.upserted.length,
      deleted: change.deleted.length,
      failed: failures.size,
      duration: end - began,
      serviceChanges,
      endpointChanges,
      latencies: triggerTimes.map((time) => Math.max(0, Date.now() - time)),
    });
    return late;
  }

  #note({ warnings, serviceChanges, endpointChanges, triggerTimes }: ClusterChange): void {
    const before = this.#unreported;
    this.#unreported = {
      serviceChanges: before.serviceChanges + serviceChanges,
      endpointChanges: before.endpointChanges + endpointChanges,
      triggerTimes: before.triggerTimes.concat(triggerTimes.filter((time) => time >= this.#startedAt)),
    };
    for (const warning of warnings) this.#emitLater('warning', warning);
  }

  async #syncAll(): Promise<ReadonlyMap<string, Error>> {
    try {
      await this.#lb.apply(this.#cluster.services.values());
      return new Map();
    } catch (error) {
      if (error instanceof ApplyError) return error.failures;
      throw error;
    }
  }

  async #syncChanges({ deleted, upserted }: ClusterChange): Promise<Map<string, Error>> {
    const operations = [
      ...deleted.map((name) => this.#deletion(name)),
      ...upserted.map((spec) => this.#upsert(spec)),
    ];
    const failures = await carryOut(operations);
    const changed = new Set(operations.map(({ service }) => service));
    const earlier = [...this.#failures.keys()].filter((name) => !changed.has(name));
    return this.#retry(new Set([...failures.keys(), ...earlier]));
  }

  /**
   * Tries again, in a commit of their own: the room that others left is there only now. As long as one succeeds, others
   * may. Returns those that fail still.
   */
  async #retry(names: ReadonlySet<string>): Promise<Map<string, Error>> {
    let failures: Map<string, Error>;
    let tried: number;
    do {
      tried = names.size;
      failures = await carryOut(Array.from(names, (name) => this.#desired(name)));
      names = new Set(failures.keys());
    } while (failures.size > 0 && failures.size < tried);
    return failures;
  }

  #desired(name: string): Operation {
    const spec = this.#cluster.services.get(name);
    return spec ? this.#upsert(spec) : this.#deletion(name);
  }

  #upsert(spec: ServiceSpec): Operation {
    return { service: spec.name, run: () => this.#lb.upsertService(spec) };
  }

  #deletion(service: string): Operation {
    return { service, run: () => this.#lb.deleteService(service) };
  }

  #tellFailures(failures: ReadonlyMap<string, Error>, { upserted, deleted }: ClusterChange): void {
    const changed = new Set([...upserted.map(({ name }) => name), ...deleted]);
    const before = this.#failures;
    this.#failures = failures;
    for (const [name, error] of failures) {
      const known = before.get(name);
      if (changed.has(name) || !known || codeOf(known) !== codeOf(error))
        this.#emitLater('failed', error, name);
    }
  }

  /** A listener that throws is the process' concern, and no failure of the sync. */
  #emitLater<Name extends keyof ClusterSyncEvents>(name: Name, ...args: ClusterSyncEvents[Name]): void {
    process.nextTick(() => (this as EventEmitter).emit(name, ...args));
  }
}

/** One that is gone, or that answers at addresses of the node, may be of both. */
function familiesOf(spec: ServiceSpec | undefined): readonly IPFamily[] {
  if (!spec || spec.frontends.some(({ address }) => address === undefined)) return ipFamilies;
  return spec.frontends.map(({ address = '' }) => (isIPv6(address) ? 'IPv6' : 'IPv4'));
}

function checkPeriod(option: Record<string, number>, least: number): void {
  for (const [name, value] of Object.entries(option)) {
    if (Number.isFinite(value) && value >= least && value <= longestDelay) continue;
    const range = `from ${least} to ${longestDelay}`;
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      `${name}: use milliseconds ${range}, not ${value}.`,
    );
  }
}
