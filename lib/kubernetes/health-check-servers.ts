import { EventEmitter } from 'node:events';

import type { ClusterState } from './cluster-state';
import type { HealthCheck } from './health-checks';
import { type Answer, HttpListener, jsonAnswer } from './http-listener';
import { keyOf } from './identity';
import type { ClusterSync } from './sync';
import type { ObjectReference } from './warnings';

/** For {@link HealthCheckServers}. */
export interface HealthCheckServersOptions {
  /** Whether changes reach the datapath: `sync.health`. */
  health: { readonly healthy: boolean };
  /**
   * Addresses of this node to listen on, asked for at every sync. Default: every address, of both families where the
   * node has both.
   */
  addresses?: () => readonly string[];
}

/** A health check that nobody answers. */
export interface HealthCheckFailure {
  /** The Service. */
  object: ObjectReference;
  reason: 'FailedToStartServiceHealthcheck';
  /** One line for people. */
  message: string;
  /** Node's error: `EADDRINUSE`, `EADDRNOTAVAIL` or `EACCES`, for instance. */
  error: Error;
}

/** Events of {@link HealthCheckServers}. */
export interface HealthCheckServersEvents {
  /** It is tried again at every sync, and told again when the error is another. */
  failed: [failure: HealthCheckFailure];
}

type Identity = Pick<HealthCheck, 'namespace' | 'name'>;

/** Where one health check is answered. */
interface Place {
  readonly service: string;
  readonly port: number;
  readonly host: string | undefined;
}

/**
 * Answers on the healthCheckNodePort of each Service of type LoadBalancer with externalTrafficPolicy Local: 200 while
 * the Service has ready endpoints on this node and changes reach the datapath, else 503.
 */
export class HealthCheckServers extends EventEmitter<HealthCheckServersEvents> {
  readonly #options: HealthCheckServersOptions;
  #checks = new Map<string, Pick<HealthCheck, 'namespace' | 'name' | 'port'>>();
  readonly #counts = new Map<string, number>();
  readonly #listeners = new Map<string, HttpListener>();
  /** Codes of the errors that have been told. */
  readonly #told = new Map<string, string | undefined>();
  #work: Promise<void> = Promise.resolve();
  #closed = false;
  #unfollow: (() => void) | undefined;

  constructor(options: HealthCheckServersOptions) {
    super();
    this.#options = options;
  }

  /** Answers what `cluster` has from each sync on, until it is closed. */
  static follow(
    sync: ClusterSync,
    cluster: Pick<ClusterState, 'healthChecks'>,
    options: Omit<HealthCheckServersOptions, 'health'> = {},
  ): HealthCheckServers {
    const servers = new HealthCheckServers({ ...options, health: sync.health });
    const update = () => {
      const { healthChecks } = cluster;
      void servers.syncServices(healthChecks);
      servers.syncEndpoints(healthChecks);
    };
    sync.on('synced', update);
    servers.#unfollow = () => sync.off('synced', update);
    return servers;
  }

  /** Where health checks are answered, as `address:port`. */
  get addresses(): string[] {
    return Array.from(this.#listeners.values()).flatMap(({ address }) => address ?? []);
  }

  /**
   * The Services with a health check, all of them. One that is new, or whose port is another, has no endpoints until
   * they are told. Resolves when those listen that can; an event tells of the others.
   */
  async syncServices(checks: Iterable<Pick<HealthCheck, 'namespace' | 'name' | 'port'>>): Promise<void> {
    const before = this.#checks;
    this.#checks = new Map(Array.from(checks, (check) => [keyOf(check), check]));
    for (const [key, { port }] of before) if (this.#checks.get(key)?.port !== port) this.#counts.delete(key);
    await this.#reconcile();
  }

  /** The ready endpoints on this node of all Services. One that is not among them has none; unknown ones do not count. */
  syncEndpoints(counts: Iterable<Identity & Pick<HealthCheck, 'localEndpoints'>>): void {
    this.#counts.clear();
    for (const check of counts)
      if (this.#checks.has(keyOf(check))) this.#counts.set(keyOf(check), check.localEndpoints);
  }

  /** Answers nothing any more. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unfollow?.();
    await this.#reconcile();
  }

  /** `await using servers = …` closes at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** One at a time: a port may pass from one Service to another. */
  async #reconcile(): Promise<void> {
    this.#work = this.#work.then(async () => {
      const places = this.#places();
      for (const [key, listener] of this.#listeners) {
        if (places.has(key)) continue;
        this.#listeners.delete(key);
        await listener.close();
      }
      for (const key of this.#told.keys()) if (!places.has(key)) this.#told.delete(key);
      for (const [key, place] of places) if (!this.#listeners.has(key)) await this.#listen(key, place);
    });
    await this.#work;
  }

  #places(): Map<string, Place> {
    const places = new Map<string, Place>();
    if (this.#closed) return places;
    const hosts = this.#options.addresses?.() ?? [undefined];
    for (const [service, { port }] of this.#checks)
      for (const host of hosts) places.set(`${service} ${port} ${host}`, { service, port, host });
    return places;
  }

  async #listen(key: string, { service, port, host }: Place): Promise<void> {
    const address = host === undefined ? { port } : { host, port };
    try {
      this.#listeners.set(key, await HttpListener.listen(() => this.#answer(service), address));
      this.#told.delete(key);
    } catch (error) {
      this.#tell(key, service, error as NodeJS.ErrnoException);
    }
  }

  #answer(service: string): Answer {
    /* The listener of a Service that is going may be asked until it is closed. */
    const { namespace, name } = this.#checks.get(service) ?? identityOf(service);
    const localEndpoints = this.#counts.get(service) ?? 0;
    const serviceProxyHealthy = this.#options.health.healthy;
    const status = localEndpoints > 0 && serviceProxyHealthy ? 200 : 503;
    const answer = jsonAnswer(
      status,
      { service: { namespace, name }, localEndpoints, serviceProxyHealthy },
      '\t',
    );
    return {
      ...answer,
      headers: { ...answer.headers, 'X-Load-Balancing-Endpoint-Weight': `${localEndpoints}` },
    };
  }

  #tell(key: string, service: string, error: NodeJS.ErrnoException): void {
    if (this.#told.has(key) && this.#told.get(key) === error.code) return;
    this.#told.set(key, error.code);
    const failure: HealthCheckFailure = {
      object: { kind: 'Service', ...identityOf(service) },
      reason: 'FailedToStartServiceHealthcheck',
      message: `The health check of ${service} cannot be answered: ${error.message}`,
      error,
    };
    process.nextTick(() => this.emit('failed', failure));
  }
}

function identityOf(key: string): Identity {
  const [namespace = '', name = ''] = key.split('/');
  return { namespace, name };
}
