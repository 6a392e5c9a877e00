import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import { type Endpoint, formatEndpoint, parseEndpoint } from './address';
import { withDraining } from './carry-over';
import { monotonicSeconds } from './clock';
import type { BackendConnections, ConnectionCounter } from './connections';
import { asPublicError, attempt, LoadBalancerError } from './errors';
import { Place } from './place';
import type { ServiceDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';
import type { Transaction } from './transaction';

/** How long a backend is waited for. */
export interface DrainOptions {
  /** Milliseconds from now, 0 to Infinity. Default 30,000, as long as Kubernetes gives a pod to end. */
  deadline?: number;
  /** Ends the wait; the backend goes on draining. */
  signal?: AbortSignal;
}

/** `address:port`, or an object that has both. */
export type BackendReference = string | Endpoint;

/** What drains need of a LoadBalancer. */
export interface DrainContext {
  readonly counter: ConnectionCounter;
  /** Aborted when the LoadBalancer is closed: rejects whoever waits. */
  readonly closed: AbortSignal;
  /** Adds a call to the next commit. */
  commit<T>(stage: (tx: Transaction) => T): Promise<T>;
  /** Resolves when no program still sees what a commit has replaced. */
  gracePeriod(): Promise<void>;
  record(name: string): ServiceRecord | undefined;
}

const defaultDeadline = 30_000;

/** Milliseconds between two counts; more where a count takes longer than a tenth of that. */
const pause = { least: 100, most: 5000 };

/** Takes backends out of service by leaving them their connections. */
export class Drains {
  readonly #context: DrainContext;

  constructor(context: DrainContext) {
    this.#context = context;
  }

  /** See `Service.drain`. */
  async drain(
    name: string,
    backend: BackendReference,
    { deadline = defaultDeadline, signal }: DrainOptions = {},
  ): Promise<number> {
    if (typeof deadline !== 'number' || !(deadline >= 0)) {
      throw new LoadBalancerError(
        'ERR_BPF_INVALID_OPTION',
        `drain: deadline: ${inspect(deadline)} is not a number of milliseconds from 0 to Infinity.`,
      );
    }
    signal?.throwIfAborted();
    const end = performance.now() + deadline;
    const stop = signal ? AbortSignal.any([signal, this.#context.closed]) : this.#context.closed;
    const endpoint = await this.#set(name, backend, true);
    /* Until then programs may give it connections by what they read before. */
    await attempt('wait for an RCU grace period', () => this.#context.gracePeriod());
    const frontendIds = new Set<number>();
    for (;;) {
      const began = performance.now();
      /* Also those of a service that is deleted meanwhile, and of frontends that it loses. */
      for (const id of this.#context.record(name)?.ids ?? []) frontendIds.add(id);
      const open = totalOf((await this.#count(frontendIds)).get(endpoint));
      stop.throwIfAborted();
      const now = performance.now();
      if (open === 0 || now >= end) return open;
      const rest = Math.min(Math.max(10 * (now - began), pause.least), pause.most);
      await sleep(Math.min(rest, end - now), undefined, { signal: stop }).catch(() => stop.throwIfAborted());
    }
  }

  /** See `Service.undrain`. */
  async undrain(name: string, backend: BackendReference): Promise<void> {
    await this.#set(name, backend, false);
  }

  /** See `Service.connections`. */
  async connections(name: string): Promise<BackendConnections[]> {
    const { ids, definition } = existing(name, this.#context.record(name));
    const counts = await this.#count(new Set(ids));
    const listed = definition.backends.map(({ address, port }) => formatEndpoint(address, port));
    return [...new Set([...listed, ...counts.keys()])].map(
      (backend) => counts.get(backend) ?? { backend, sockets: 0, flows: 0 },
    );
  }

  async #count(frontendIds: ReadonlySet<number>): Promise<Map<string, BackendConnections>> {
    try {
      this.#context.closed.throwIfAborted();
      return await this.#context.counter.count(frontendIds);
    } catch (error) {
      this.#context.closed.throwIfAborted();
      throw asPublicError(error, 'count connections');
    }
  }

  async #set(name: string, reference: BackendReference, draining: boolean): Promise<string> {
    const backend =
      typeof reference === 'string' ? parseEndpoint(reference, new Place(`Service ${name}`)) : reference;
    await this.#context.commit((tx) => {
      checkListed(existing(name, tx.record(name)).definition, backend);
      tx.alter(name, (definition) => withDraining(definition, backend, draining, monotonicSeconds()));
    });
    return formatEndpoint(backend.address, backend.port);
  }
}

/** Of both kinds. */
export function totalOf(connections: BackendConnections | undefined): number {
  return connections ? connections.sockets + connections.flows : 0;
}

/** Throws where there is no such service. */
export function existing(name: string, record: ServiceRecord | undefined): ServiceRecord {
  if (record) return record;
  throw new LoadBalancerError('ERR_BPF_INVALID_NAME', `There is no service ${name} any more.`);
}

function checkListed({ name, backends }: ServiceDefinition, { address, port }: Endpoint): void {
  if (backends.some((backend) => backend.address === address && backend.port === port)) return;
  const has = backends.map((backend) => formatEndpoint(backend.address, backend.port)).join(', ');
  throw new LoadBalancerError(
    'ERR_BPF_INVALID_BACKEND',
    `Service ${name} has no backend ${formatEndpoint(address, port)}. It has: ${has || 'none'}.`,
  );
}
