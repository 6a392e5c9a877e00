import type * as PromClient from 'prom-client';

import type { Metrics } from '../metrics';
import type { ClusterState } from './cluster-state';
import { countAnswers } from './health-metrics';
import type { HealthServer } from './health-server';
import { exposeLoadBalancer } from './load-balancer-metrics';
import type { ClusterSync } from './sync';
import { countSyncs, exposeSyncState } from './sync-metrics';

/** What {@link ProxyMetrics} are about. What is not given has no metrics. */
export interface ProxyMetricsSources {
  sync: ClusterSync;
  cluster?: Pick<ClusterState, 'noLocalEndpoints'>;
  lb?: { metrics(): Metrics };
  healthServer?: HealthServer;
}

/**
 * Metrics for Prometheus, by kube-proxy's names where the meaning is the same. The LoadBalancer's own numbers, as
 * `bpf_lb_…`, are read when they are asked for.
 */
export class ProxyMetrics {
  /** Of prom-client; `Registry.merge` puts it together with others. */
  readonly registry: PromClient.Registry;
  readonly #stops: readonly (() => void)[];

  private constructor(registry: PromClient.Registry, stops: readonly (() => void)[]) {
    this.registry = registry;
    this.#stops = stops;
  }

  /** Loads prom-client, and counts from now on. */
  static async open({ sync, cluster, lb, healthServer }: ProxyMetricsSources): Promise<ProxyMetrics> {
    /* Here, because who only translates objects need not have it loaded. */
    const prom = await import('prom-client');
    const registry = new prom.Registry();
    const prometheus = { prom, registers: [registry] };
    exposeSyncState(prometheus, sync, cluster);
    if (lb) exposeLoadBalancer(prometheus, lb);
    const stops = [countSyncs(prometheus, sync)];
    if (healthServer) stops.push(countAnswers(prometheus, healthServer));
    return new ProxyMetrics(registry, stops);
  }

  /** Counts no more. Idempotent. */
  close(): void {
    for (const stop of this.#stops) stop();
  }

  /** `using metrics = …` closes at the end of the block. */
  [Symbol.dispose](): void {
    this.close();
  }
}
