import type { HealthServer, HealthServerEvents } from './health-server';
import type { Prometheus } from './prometheus';

/** Counts what a health server answers. Returns how to stop that. */
export function countAnswers({ prom, registers }: Prometheus, server: HealthServer): () => void {
  const counter = (path: string) =>
    new prom.Counter({
      name: `kubeproxy_proxy_${path}_total`,
      help: `Answers of /${path}, by status.`,
      labelNames: ['code'],
      registers,
    });
  const counters = { '/healthz': counter('healthz'), '/livez': counter('livez') };
  const onAnswered = (...[path, code]: HealthServerEvents['answered']) => counters[path].inc({ code });
  server.on('answered', onAnswered);
  return () => void server.off('answered', onAnswered);
}
