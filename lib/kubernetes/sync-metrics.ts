import type { ClusterState } from './cluster-state';
import type { Prometheus } from './prometheus';
import type { ClusterSync, SyncReport } from './sync';
import { codeOf } from './sync-batch';

/* In seconds; as kube-proxy's, so that dashboards and alerts go on. */
const durationBuckets = Array.from({ length: 15 }, (_, n) => 0.001 * 2 ** n);
const latencyBuckets = [0.25, 0.5, ...range(1, 59, 1), ...range(60, 115, 5), ...range(120, 300, 30)];

/** Counts what syncs report. Returns how to stop that. */
export function countSyncs({ prom, registers }: Prometheus, sync: ClusterSync): () => void {
  const histogram = (name: string, help: string, buckets: number[]) =>
    new prom.Histogram({ name: `kubeproxy_${name}`, help, buckets, registers });
  const counter = (name: string, help: string) =>
    new prom.Counter({ name: `kubeproxy_sync_proxy_rules_${name}`, help, registers });
  const durations = {
    all: histogram('sync_proxy_rules_duration_seconds', 'How long syncs took.', durationBuckets),
    full: histogram(
      'sync_full_proxy_rules_duration_seconds',
      'How long syncs of everything took.',
      durationBuckets,
    ),
    partial: histogram(
      'sync_partial_proxy_rules_duration_seconds',
      'How long syncs of what had changed took.',
      durationBuckets,
    ),
  };
  const latency = histogram(
    'network_programming_duration_seconds',
    'From the change of a Service or a Pod until the kernel had what came of it.',
    latencyBuckets,
  );
  const serviceChanges = counter('service_changes_total', 'Changes of Services that have been synced.');
  const endpointChanges = counter(
    'endpoint_changes_total',
    'Changes of EndpointSlices that have been synced.',
  );
  const last = new prom.Gauge({
    name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
    help: 'When a sync last succeeded.',
    registers,
  });
  const failures = new prom.Counter({
    name: 'bpf_lb_sync_failures_total',
    help: 'Failures of syncs, and of single services.',
    labelNames: ['code'],
    registers,
  });

  const onSynced = (report: SyncReport) => {
    const seconds = report.duration / 1000;
    durations.all.observe(seconds);
    durations[report.full ? 'full' : 'partial'].observe(seconds);
    for (const milliseconds of report.latencies) latency.observe(milliseconds / 1000);
    serviceChanges.inc(report.serviceChanges);
    endpointChanges.inc(report.endpointChanges);
    last.setToCurrentTime();
  };
  const onFailed = (error: Error) => failures.inc({ code: codeOf(error) });
  sync.on('synced', onSynced).on('failed', onFailed);
  return () => void sync.off('synced', onSynced).off('failed', onFailed);
}

/** Lets be seen how things are when somebody asks. */
export function exposeSyncState(
  { prom, registers }: Prometheus,
  sync: ClusterSync,
  cluster: Pick<ClusterState, 'noLocalEndpoints'> | undefined,
): void {
  new prom.Gauge({
    name: 'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds',
    help: 'When a sync was last asked for.',
    registers,
    collect() {
      this.set((sync.health.lastQueued?.getTime() ?? 0) / 1000);
    },
  });
  new prom.Gauge({
    name: 'bpf_lb_services_failed',
    help: 'Services that could not be brought to what they are to be.',
    registers,
    collect() {
      this.set(sync.failures.size);
    },
  });
  if (!cluster) return;
  new prom.Gauge({
    name: 'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
    help: 'Services with traffic policy Local that have endpoints, but none on this node.',
    labelNames: ['traffic_policy'],
    registers,
    collect() {
      const { internal, external } = cluster.noLocalEndpoints;
      this.set({ traffic_policy: 'internal' }, internal);
      this.set({ traffic_policy: 'external' }, external);
    },
  });
}

function range(first: number, last: number, step: number): number[] {
  return Array.from({ length: (last - first) / step + 1 }, (_, n) => first + n * step);
}
