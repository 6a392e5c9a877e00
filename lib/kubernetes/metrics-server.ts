import { type Answer, HttpListener, notFound, parseListenAddress, textAnswer } from './http-listener';
import type { ProxyMetrics } from './metrics';

/** For {@link MetricsServer}. */
export interface MetricsServerOptions {
  metrics: Pick<ProxyMetrics, 'registry'>;
  /** `host:port`, `[IPv6]:port`, or `:port` for every address. Default `127.0.0.1:10249`. */
  address?: string;
  /** What `/proxyMode` says. Default `ebpf`. */
  proxyMode?: string;
}

/** Serves `/metrics` for Prometheus, `/proxyMode`, and `/healthz`, which says `ok` as long as it listens. */
export class MetricsServer {
  readonly #listener: HttpListener;

  private constructor(listener: HttpListener) {
    this.#listener = listener;
  }

  /** Rejects with `ERR_BPF_INVALID_OPTION`, or with Node's error when the address cannot be listened on. */
  static async start({
    metrics: { registry },
    address = '127.0.0.1:10249',
    proxyMode = 'ebpf',
  }: MetricsServerOptions): Promise<MetricsServer> {
    const respond = async (path: string): Promise<Answer> => {
      switch (path) {
        case '/metrics': {
          const { headers, ...answer } = textAnswer(200, await registry.metrics());
          return { ...answer, headers: { ...headers, 'Content-Type': registry.contentType } };
        }
        case '/proxyMode':
          return textAnswer(200, proxyMode);
        case '/healthz':
          return textAnswer(200, 'ok');
        default:
          return notFound;
      }
    };
    return new MetricsServer(await HttpListener.listen(respond, parseListenAddress(address, 'address')));
  }

  /** Where it listens, as `host:port`. Undefined when it is closed. */
  get address(): string | undefined {
    return this.#listener.address;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#listener.close();
  }

  /** `await using server = …` closes at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
