/* A kube-proxy: serves the cluster's Services on this node. See README.md. */
import { once } from 'node:events';

import { KubeConfig } from '@kubernetes/client-node';
import { LoadBalancer } from 'bpf-lb';
import * as kubernetes from 'bpf-lb/kubernetes';

import { inform, type Source } from './informer';
import { readSettings } from './settings';

function log(level: 'info' | 'warn' | 'error', event: string, details: object = {}): void {
  const plain = (_: string, value: unknown) =>
    value instanceof Error ? { ...value, message: value.message, cause: value.cause } : value;
  const line = { time: new Date().toISOString(), level, event, ...details };
  process.stdout.write(`${JSON.stringify(line, plain)}\n`);
}

async function main(): Promise<void> {
  const settings = readSettings();
  log('info', 'settings', settings);
  const { open, cluster: clusterOptions, hostPorts, idleLimit } = settings;
  const stop = new AbortController();
  const stopped = once(stop.signal, 'abort');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());

  const cluster = new kubernetes.ClusterState(clusterOptions);
  const synced = new Promise<void>((resolve) => cluster.on(resolve));
  const config = new KubeConfig();
  config.loadFromDefault();
  const labelSelector = kubernetes.serviceLabelSelector(clusterOptions.serviceProxyName);
  const { nodeName } = clusterOptions;
  const sources: Source[] = [
    { kind: 'Node', path: '/api/v1/nodes', fieldSelector: `metadata.name=${nodeName}` },
    { kind: 'Pod', path: '/api/v1/pods', fieldSelector: `spec.nodeName=${nodeName}` },
    { kind: 'Service', path: '/api/v1/services', labelSelector },
    { kind: 'EndpointSlice', path: '/apis/discovery.k8s.io/v1/endpointslices', labelSelector },
  ];
  const wanted = sources.filter(({ kind }) => kind !== 'Pod' || hostPorts);
  const onError = (kind: string, error: unknown) => log('error', 'watchFailed', { kind, error });
  const client = { config, idleLimit, signal: stop.signal, onError };
  await Promise.all(wanted.map((source) => inform(cluster, source, client)));
  /* What an earlier process left serves on until there is something to take its place. */
  await Promise.race([synced, stopped]);
  if (stop.signal.aborted) return;

  const lb = await LoadBalancer.open(open);
  lb.on('devices', (change) => log('info', 'devices', change));
  lb.on('devicesFailed', (error) => log('error', 'devicesFailed', { error }));
  lb.on('portsExhausted', (exhaustion) => log('warn', 'portsExhausted', exhaustion));
  const sync = new kubernetes.ClusterSync(cluster, lb, settings.sync);
  sync.on('synced', (report) => log('info', 'synced', report));
  sync.on('failed', (error, service) => log('error', 'syncFailed', { service, error }));
  sync.on('warning', (warning) => log('warn', 'warning', warning));
  if (settings.healthCheckNodePorts ?? true) {
    const checks = kubernetes.HealthCheckServers.follow(sync, cluster);
    checks.on('failed', (failure) => log('warn', 'warning', failure));
  }
  const servers: { healthServer?: kubernetes.HealthServer } = {};
  if (settings.healthz) {
    const health = { health: sync.health, cluster, address: settings.healthz };
    servers.healthServer = await kubernetes.HealthServer.start(health);
  }
  if (settings.metrics) {
    const metrics = await kubernetes.ProxyMetrics.open({ sync, cluster, lb, ...servers });
    await kubernetes.MetricsServer.start({ metrics, address: settings.metrics });
  }
  sync.start();
  /* Ended before, it would leave nothing that serves. */
  await once(sync, 'synced');
  if (!stop.signal.aborted) await stopped;
  await sync.stop();
  await lb.close({ keep: open.stateDir !== undefined });
}

main().then(
  () => {
    log('info', 'stopped');
    process.exit(0);
  },
  (error: unknown) => {
    log('error', 'failed', { error });
    process.exit(1);
  },
);
