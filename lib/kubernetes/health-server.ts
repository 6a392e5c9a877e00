import { EventEmitter } from 'node:events';

import type { ClusterState } from './cluster-state';
import { type Answer, HttpListener, jsonAnswer, notFound, parseListenAddress } from './http-listener';
import type { SyncHealth } from './sync-health';

/** For {@link HealthServer}. */
export interface HealthServerOptions {
  /** `sync.health`. */
  health: SyncHealth;
  /** What knows this Node, if anything does: a node that is going is not healthy. */
  cluster?: Pick<ClusterState, 'node'>;
  /** `host:port`, `[IPv6]:port`, or `:port` for every address. Default `0.0.0.0:10256`. */
  address?: string;
}

/** Events of a {@link HealthServer}. */
export interface HealthServerEvents {
  /** Somebody has asked. */
  answered: [path: '/healthz' | '/livez', status: number];
}

/**
 * Tells on `/healthz` and `/livez` whether changes reach the datapath: 200 or 503. `/healthz`, which load balancers ask,
 * is also 503 when this Node is being deleted, by hand or by the cluster autoscaler.
 */
export class HealthServer extends EventEmitter<HealthServerEvents> {
  readonly #options: HealthServerOptions;
  #listener: HttpListener | undefined;

  private constructor(options: HealthServerOptions) {
    super();
    this.#options = options;
  }

  /** Rejects with `ERR_BPF_INVALID_OPTION`, or with Node's error when the address cannot be listened on. */
  static async start(options: HealthServerOptions): Promise<HealthServer> {
    const server = new HealthServer(options);
    const address = parseListenAddress(options.address ?? '0.0.0.0:10256', 'address');
    server.#listener = await HttpListener.listen((path) => server.#answer(path), address);
    return server;
  }

  /** Where it listens, as `host:port`. Undefined when it is closed. */
  get address(): string | undefined {
    return this.#listener?.address;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#listener?.close();
  }

  /** `await using server = …` closes at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #answer(path: string): Answer {
    if (path !== '/healthz' && path !== '/livez') return notFound;
    const { health, cluster } = this.#options;
    const nodeEligible = path === '/livez' ? undefined : (cluster?.node?.eligible ?? true);
    const { healthy, lastUpdated = null, families: status } = health;
    const code = healthy && nodeEligible !== false ? 200 : 503;
    process.nextTick(() => this.emit('answered', path, code));
    /* JSON leaves out what is undefined; times that are not there are null. */
    return jsonAnswer(code, {
      lastUpdated,
      currentTime: new Date(),
      nodeEligible,
      healthy,
      status: {
        IPv4: { lastUpdated: status.IPv4.lastUpdated ?? null, healthy: status.IPv4.healthy },
        IPv6: { lastUpdated: status.IPv6.lastUpdated ?? null, healthy: status.IPv6.healthy },
      },
    });
  }
}
