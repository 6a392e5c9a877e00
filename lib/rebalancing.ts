import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import { formatEndpoint } from './address';
import { existing } from './drains';
import { LoadBalancerError } from './errors';
import { excessOf, paceOf, poolsOf, takeExcess } from './rebalance';
import { recordAt, type SocketRemoval } from './socket-removal';
import type { ServiceRecord } from './table-image';
import type { RecordedSocketList, TranslatedSocket } from './translated-sockets';

/** How a service is rebalanced. */
export interface RebalanceOptions {
  /** Connections that are reset within any second, at most; more than 0. Below 1: one in so many seconds. */
  maxPerSecond: number;
  /** What a backend may have above its share, as a part of that. Default 0.1; from 0 on. */
  tolerance?: number;
  /** Ends it; what was reset stays so. */
  signal?: AbortSignal;
}

/** What a rebalancing has taken from a backend. */
export interface ResetConnections {
  /** `address:port`. */
  readonly backend: string;
  readonly reset: number;
}

/** What rebalancing needs of a LoadBalancer. */
export interface RebalancingContext {
  /** Whether sockets are translated at all. */
  readonly socketLB: boolean;
  readonly removal: Pick<SocketRemoval, 'destroy'>;
  /** Aborted when the LoadBalancer is closed. */
  readonly closed: AbortSignal;
  list(): Promise<RecordedSocketList>;
  /** Does some work while no change is on its way: then the kernel has just what the table says. */
  settled<T>(work: () => Promise<T>): Promise<T>;
  record(name: string): ServiceRecord | undefined;
}

/** TCP_ESTABLISHED of the kernel. */
const established = 1;

/** Milliseconds that clients are given to come back before their absence is taken for an answer. */
const patience = 3000;

/** Spreads connections anew that have lasted since there were other backends, by resetting some of them. */
export class Rebalancing {
  readonly #context: RebalancingContext;

  constructor(context: RebalancingContext) {
    this.#context = context;
  }

  /** See `Service.rebalance`. */
  async rebalance(name: string, options: RebalanceOptions): Promise<ResetConnections[]> {
    const { maxPerSecond, tolerance, signal } = parse(options);
    const context = this.#context;
    const { closed } = context;
    checkSpreads(existing(name, context.record(name)));
    if (!context.socketLB) {
      throw invalid('there are no connections of sockets without socketLB');
    }
    const stop = signal ? AbortSignal.any([signal, closed]) : closed;
    stop.throwIfAborted();
    const { batch, pause } = paceOf(maxPerSecond);
    const run = new Run(tolerance, batch);
    for (let last = -Infinity; ;) {
      const began = performance.now();
      const { sockets, records } = await context.list();
      const took = performance.now() - began;
      stop.throwIfAborted();
      const { chosen, missing } = run.choose(sockets, context.record(name));
      if (chosen.length > 0) {
        await context.settled(async () => {
          stop.throwIfAborted();
          /* The service may have been changed since. */
          const { chosen } = run.choose(sockets, context.record(name));
          run.note(
            chosen.map((i) => sockets[i] as TranslatedSocket),
            await context.removal.destroy(chosen.map((i) => recordAt(records, i))),
          );
        });
        last = performance.now();
      } else if (missing === 0 || performance.now() > last + patience) {
        return run.result;
      }
      await sleep(Math.max(pause, 10 * took), undefined, { signal: stop }).catch(() => stop.throwIfAborted());
    }
  }
}

/**
 * Takes those connections only that were there at the first look: so no client is reset twice, and there is an end, wherever
 * clients come back to.
 */
class Run {
  readonly #tolerance: number;
  readonly #batch: number;
  #candidates: Set<bigint> | undefined;
  /** Connections of each pool at the first look. Until as many are open again, the clients of the others are awaited. */
  readonly #expected = new Map<string, number>();
  readonly #reset = new Map<string, number>();

  constructor(tolerance: number, batch: number) {
    this.#tolerance = tolerance;
    this.#batch = batch;
  }

  get result(): ResetConnections[] {
    return [...this.#reset].map(([backend, reset]) => ({ backend, reset }));
  }

  /** Which ones of a list to reset next, the oldest of each backend first, and how many clients are awaited. */
  choose(
    sockets: readonly TranslatedSocket[],
    record: ServiceRecord | undefined,
  ): { chosen: number[]; missing: number } {
    const open = sockets.flatMap((socket, index) =>
      socket.protocol === 'TCP' && socket.state === established ? [{ ...socket, index }] : [],
    );
    const candidates = (this.#candidates ??= new Set(open.map(({ cookie }) => cookie)));
    const excess = new Map<readonly { readonly index: number }[], number>();
    let missing = 0;
    if (record) checkSpreads(record);
    for (const { key, frontendIds, weights } of record ? poolsOf(record) : []) {
      const by = byBackend(open.filter(({ frontendId }) => frontendIds.has(frontendId)));
      const loads = [...weights].map(([backend, weight]) => ({
        backend,
        weight,
        open: by.get(backend)?.length ?? 0,
      }));
      const total = loads.reduce((sum, { open }) => sum + open, 0);
      const expected = this.#expected.get(key) ?? total;
      this.#expected.set(key, expected);
      missing += Math.max(0, expected - total);
      for (const [backend, more] of excessOf(loads, this.#tolerance, expected)) {
        const old = (by.get(backend) ?? []).filter(({ cookie }) => candidates.has(cookie));
        if (old.length > 0) excess.set(old.sort(byAge), Math.min(more, old.length));
      }
    }
    const chosen = [...takeExcess(excess, this.#batch)].flatMap(([old, count]) =>
      old.slice(0, count).map(({ index }) => index),
    );
    return { chosen, missing };
  }

  /** It was tried with these, and has come to pass with those. */
  note(tried: readonly TranslatedSocket[], destroyed: readonly TranslatedSocket[]): void {
    for (const { cookie } of tried) this.#candidates?.delete(cookie);
    for (const { backend } of destroyed) {
      const name = formatEndpoint(backend.address, backend.port);
      this.#reset.set(name, (this.#reset.get(name) ?? 0) + 1);
    }
  }
}

function byBackend<T extends Pick<TranslatedSocket, 'backend'>>(sockets: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const socket of sockets) {
    const backend = formatEndpoint(socket.backend.address, socket.backend.port);
    const group = groups.get(backend);
    if (group) group.push(socket);
    else groups.set(backend, [socket]);
  }
  return groups;
}

/** Cookies are given in sequence, nearly. */
function byAge(a: TranslatedSocket, b: TranslatedSocket): number {
  return a.cookie < b.cookie ? -1 : a.cookie > b.cookie ? 1 : 0;
}

function checkSpreads({ definition }: ServiceRecord): void {
  if (definition.affinityTimeout === 0) return;
  throw invalid(`session affinity brings clients of ${definition.name} back to the backend that they had`);
}

function parse(options: RebalanceOptions): Required<Omit<RebalanceOptions, 'signal'>> & RebalanceOptions {
  const { maxPerSecond, tolerance = 0.1, signal } = (options ?? {}) as Partial<RebalanceOptions>;
  if (typeof maxPerSecond !== 'number' || !(maxPerSecond > 0) || maxPerSecond === Infinity) {
    throw invalid(`maxPerSecond: ${inspect(maxPerSecond)} is not a finite number above 0`);
  }
  if (typeof tolerance !== 'number' || !(tolerance >= 0)) {
    throw invalid(`tolerance: ${inspect(tolerance)} is not a number from 0 on`);
  }
  return { maxPerSecond, tolerance, ...(signal && { signal }) };
}

function invalid(why: string): LoadBalancerError {
  return new LoadBalancerError('ERR_BPF_INVALID_OPTION', `rebalance: ${why}.`);
}
