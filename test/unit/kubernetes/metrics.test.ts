import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:os';

import { expectTypeOf } from 'expect-type';

import type { LoadBalancer } from '../../../lib';
import { Counter, layouts } from '../../../lib/abi';
import { LoadBalancerError } from '../../../lib/errors';
import {
  ClusterState,
  ClusterSync,
  HealthServer,
  MetricsServer,
  ProxyMetrics,
  type ProxyMetricsSources,
} from '../../../lib/kubernetes';
import { type Metrics, readMetrics } from '../../../lib/metrics';
import { ServiceTable } from '../../../lib/service-table';
import type { Datapath } from '../../../types/native';
import { endpoint, local, service, slice, thisNode } from './fixtures';
import { ask, occupy } from './http';
import { ManualClock, turns } from './manual-clock';
import { MemoryLoadBalancer } from './memory-load-balancer';

/** Samples of the text format, by name and labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  );
}

async function setUp(others: Omit<ProxyMetricsSources, 'sync' | 'cluster'> = {}) {
  const cluster = new ClusterState({ nodeName: thisNode });
  const lb = new MemoryLoadBalancer();
  const clock = new ManualClock();
  const sync = new ClusterSync(cluster, lb, { clock });
  const metrics = await ProxyMetrics.open({ sync, cluster, ...others });
  return {
    cluster,
    lb,
    clock,
    sync,
    metrics,
    samples: async () => samplesOf(await metrics.registry.metrics()),
    list: (...slices: ReturnType<typeof slice>[]) => {
      cluster.replace('Service', [service()]);
      cluster.replace('EndpointSlice', slices);
    },
  };
}

/** What the library reads of counters of two CPUs, in each of which the n-th is n + 1. */
function readNumbers(): Metrics {
  const { size } = layouts.lb_counters;
  const bytes = new Uint8Array(2 * size);
  const view = new DataView(bytes.buffer);
  for (let cpu = 0; cpu < 2; cpu++)
    for (let n = 0; n < Counter.COUNTERS; n++) view.setBigUint64(cpu * size + n * 8, BigInt(n + 1), true);
  const datapath = { lookup: (): Uint8Array => bytes } as Partial<Datapath> as Datapath;
  return readMetrics(datapath, new ServiceTable({ frontends: 10, backends: 20 }, new Set()));
}

const range = (first: number, last: number, step: number) =>
  Array.from({ length: (last - first) / step + 1 }, (_, i) => first + i * step);

describe('metrics', () => {
  it('take a LoadBalancer', () => {
    expectTypeOf<LoadBalancer>().toExtend<NonNullable<ProxyMetricsSources['lb']>>();
  });

  it('have kube-proxy’s names and types', async () => {
    const healthServer = await HealthServer.start({
      health: new ClusterSync(new ClusterState({ nodeName: thisNode }), new MemoryLoadBalancer()).health,
      address: '127.0.0.1:0',
    });
    await healthServer.close();
    const { metrics } = await setUp({ healthServer, lb: { metrics: readNumbers } });
    const types = [...(await metrics.registry.metrics()).matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    assert.deepEqual(types.map(([, name, type]) => `${name} ${type}`).sort(), [
      'bpf_lb_events_total counter',
      'bpf_lb_services_failed gauge',
      'bpf_lb_sync_failures_total counter',
      'bpf_lb_table_capacity gauge',
      'bpf_lb_table_entries gauge',
      'kubeproxy_network_programming_duration_seconds histogram',
      'kubeproxy_proxy_healthz_total counter',
      'kubeproxy_proxy_livez_total counter',
      'kubeproxy_sync_full_proxy_rules_duration_seconds histogram',
      'kubeproxy_sync_partial_proxy_rules_duration_seconds histogram',
      'kubeproxy_sync_proxy_rules_duration_seconds histogram',
      'kubeproxy_sync_proxy_rules_endpoint_changes_total counter',
      'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds gauge',
      'kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge',
      'kubeproxy_sync_proxy_rules_no_local_endpoints_total gauge',
      'kubeproxy_sync_proxy_rules_service_changes_total counter',
    ]);
  });

  it('have kube-proxy’s buckets', async () => {
    const { samples } = await setUp();
    const bounds = async (name: string) =>
      [...(await samples()).keys()].flatMap(
        (key) => new RegExp(`^${name}_bucket{le="(.*)"}$`).exec(key)?.[1] ?? [],
      );
    const durations = [...Array(15).keys()].map((n) => `${0.001 * 2 ** n}`);
    for (const kind of ['sync', 'sync_full', 'sync_partial'])
      assert.deepEqual(await bounds(`kubeproxy_${kind}_proxy_rules_duration_seconds`), [
        ...durations,
        '+Inf',
      ]);
    const latencies = [0.25, 0.5, ...range(1, 59, 1), ...range(60, 115, 5), ...range(120, 300, 30)];
    assert.deepEqual(await bounds('kubeproxy_network_programming_duration_seconds'), [
      ...latencies.map(String),
      '+Inf',
    ]);
  });

  it('count syncs, by whether they are full, and the changes that they are of', async () => {
    const { cluster, lb, clock, sync, samples, list } = await setUp();
    let open = () => {};
    lb.gate = new Promise((resolve) => (open = resolve));
    const before = Date.now() / 1000;
    sync.start();
    list();
    await clock.advance(300);
    const prefix = 'kubeproxy_sync_proxy_rules';
    const waiting = await samples();
    assert.equal(waiting.get(`${prefix}_last_timestamp_seconds`), 0);
    assert.ok((waiting.get(`${prefix}_last_queued_timestamp_seconds`) as number) >= before);
    open();
    await turns();
    cluster.apply('ADDED', slice([endpoint('10.244.0.1')]));
    cluster.apply('MODIFIED', slice([endpoint('10.244.0.2')]));
    await clock.advance(1000);
    const now = await samples();
    assert.equal(now.get('kubeproxy_sync_proxy_rules_duration_seconds_count'), 2);
    assert.equal(now.get('kubeproxy_sync_proxy_rules_duration_seconds_sum'), 0.3);
    assert.equal(now.get('kubeproxy_sync_full_proxy_rules_duration_seconds_count'), 1);
    assert.equal(now.get('kubeproxy_sync_full_proxy_rules_duration_seconds_sum'), 0.3);
    assert.equal(now.get('kubeproxy_sync_full_proxy_rules_duration_seconds_bucket{le="0.256"}'), 0);
    assert.equal(now.get('kubeproxy_sync_full_proxy_rules_duration_seconds_bucket{le="0.512"}'), 1);
    assert.equal(now.get('kubeproxy_sync_partial_proxy_rules_duration_seconds_count'), 1);
    assert.equal(now.get(`${prefix}_service_changes_total`), 1);
    assert.equal(now.get(`${prefix}_endpoint_changes_total`), 2);
    const last = now.get(`${prefix}_last_timestamp_seconds`) as number;
    assert.ok(last >= before && last <= Date.now() / 1000);
  });

  it('tell the latency from the cause of a change, in seconds', async () => {
    const { cluster, clock, sync, samples, list } = await setUp();
    list();
    sync.start();
    await clock.advance(0);
    const object = slice([endpoint('10.244.0.1')]);
    const annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': new Date().toISOString() };
    object.metadata = { ...object.metadata, annotations };
    const cause = Date.now();
    cluster.apply('ADDED', object);
    await clock.advance(1000);
    const now = await samples();
    assert.equal(now.get('kubeproxy_network_programming_duration_seconds_count'), 1);
    const seconds = now.get('kubeproxy_network_programming_duration_seconds_sum') as number;
    assert.ok(seconds >= 0 && seconds <= (Date.now() - cause + 1) / 1000);
  });

  it('count failures by their code, and the services that are not what they are to be', async () => {
    const { lb, clock, sync, samples, list } = await setUp();
    lb.refused.set('10.96.0.10', constants.errno.ENOSPC);
    list();
    sync.start();
    await clock.advance(0);
    assert.equal((await samples()).get('bpf_lb_sync_failures_total{code="ERR_BPF_SYSCALL"}'), 1);
    assert.equal((await samples()).get('bpf_lb_services_failed'), 1);
    lb.refused.clear();
    await clock.advance(30_000);
    assert.equal((await samples()).get('bpf_lb_sync_failures_total{code="ERR_BPF_SYSCALL"}'), 1);
    assert.equal((await samples()).get('bpf_lb_services_failed'), 0);
  });

  for (const { internal, external, endpoints, expected } of [
    { internal: 'Local', external: 'Local', endpoints: [local('10.244.0.1')], expected: [0, 0] },
    { internal: 'Local', external: 'Local', endpoints: [endpoint('10.244.0.1')], expected: [1, 1] },
    { internal: 'Local', external: 'Cluster', endpoints: [endpoint('10.244.0.1')], expected: [1, 0] },
    { internal: 'Cluster', external: 'Local', endpoints: [endpoint('10.244.0.1')], expected: [0, 1] },
    { internal: 'Cluster', external: 'Cluster', endpoints: [endpoint('10.244.0.1')], expected: [0, 0] },
    { internal: 'Local', external: 'Local', endpoints: [], expected: [0, 0] },
  ]) {
    const where = endpoints.map(({ nodeName }) => (nodeName ? 'here' : 'elsewhere')).join() || 'nowhere';
    it(`count Services without local endpoints: ${internal}, ${external}, endpoints ${where}`, async () => {
      const { cluster, samples } = await setUp();
      const object = service({
        type: 'NodePort',
        internalTrafficPolicy: internal,
        externalTrafficPolicy: external,
        ports: [{ name: 'http', port: 80, nodePort: 30080 }],
      });
      cluster.replace('Service', [object]);
      cluster.replace('EndpointSlice', [slice(endpoints)]);
      const now = await samples();
      const name = 'kubeproxy_sync_proxy_rules_no_local_endpoints_total';
      assert.deepEqual(
        ['internal', 'external'].map((policy) => now.get(`${name}{traffic_policy="${policy}"}`)),
        expected,
      );
    });
  }

  it('count what the health server answers, by path and status', async () => {
    const cluster = new ClusterState({ nodeName: thisNode });
    const { health } = new ClusterSync(cluster, new MemoryLoadBalancer());
    await using healthServer = await HealthServer.start({ health, cluster, address: '127.0.0.1:0' });
    const { metrics, samples } = await setUp({ healthServer });
    await ask(healthServer.address, '/healthz');
    await ask(healthServer.address, '/livez');
    cluster.replace('Node', [
      { kind: 'Node', metadata: { name: thisNode, deletionTimestamp: '2026-01-01T00:00:00Z' } },
    ]);
    await ask(healthServer.address, '/healthz');
    await ask(healthServer.address, '/healthz');
    await ask(healthServer.address, '/livez');
    await ask(healthServer.address, '/other');
    const counted = async () => [...(await samples())].filter(([key]) => key.startsWith('kubeproxy_proxy_'));
    const expected = [
      ['kubeproxy_proxy_healthz_total{code="200"}', 1],
      ['kubeproxy_proxy_healthz_total{code="503"}', 2],
      ['kubeproxy_proxy_livez_total{code="200"}', 2],
    ];
    assert.deepEqual(await counted(), expected);
    metrics.close();
    await ask(healthServer.address, '/healthz');
    assert.deepEqual(await counted(), expected);
  });

  it('have the LoadBalancer’s own numbers, read at each scrape', async () => {
    let closed = false;
    const { samples } = await setUp({
      lb: {
        metrics: () => {
          if (closed) throw new LoadBalancerError('ERR_BPF_CLOSED', 'The LoadBalancer is closed.');
          return readNumbers();
        },
      },
    });
    await samples();
    const now = await samples();
    assert.equal(now.get('bpf_lb_events_total{event="socket_translated"}'), 2);
    assert.equal(
      now.get('bpf_lb_events_total{event="drop_no_local_backend"}'),
      2 * (Counter.DROP_NO_LOCAL_BACKEND + 1),
    );
    assert.equal(
      [...now.keys()].filter((key) => key.startsWith('bpf_lb_events_total')).length,
      Counter.COUNTERS,
    );
    assert.equal(now.get('bpf_lb_table_entries{table="services4"}'), 0);
    assert.equal(now.get('bpf_lb_table_capacity{table="services6"}'), 10);
    assert.equal(now.get('bpf_lb_table_capacity{table="backends"}'), 20);
    closed = true;
    const names = [...(await samples()).keys()];
    assert.ok(
      !names.some((name) => name.startsWith('bpf_lb_events_total') || name.startsWith('bpf_lb_table')),
    );
    assert.ok(names.includes('kubeproxy_sync_proxy_rules_last_timestamp_seconds'));
  });

  it('of two proxies do not meet', async () => {
    const [one, other] = [await setUp(), await setUp()];
    one.list();
    one.sync.start();
    await one.clock.advance(0);
    assert.equal((await one.samples()).get('kubeproxy_sync_proxy_rules_duration_seconds_count'), 1);
    assert.equal((await other.samples()).get('kubeproxy_sync_proxy_rules_duration_seconds_count'), 0);
  });
});

describe('metrics server', () => {
  it('serves metrics, the mode, and that it is there', async () => {
    const { metrics } = await setUp();
    await using server = await MetricsServer.start({ metrics, address: '127.0.0.1:0' });
    const scrape = await ask(server.address, '/metrics');
    assert.equal(scrape.status, 200);
    assert.equal(scrape.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(samplesOf(scrape.body).get('kubeproxy_sync_proxy_rules_service_changes_total'), 0);
    const mode = await ask(server.address, '/proxyMode');
    assert.deepEqual([mode.status, mode.body], [200, 'ebpf']);
    assert.match(String(mode.headers['content-type']), /^text\/plain/);
    assert.equal(mode.headers['x-content-type-options'], 'nosniff');
    const health = await ask(server.address, '/healthz');
    assert.deepEqual([health.status, health.body], [200, 'ok']);
    assert.equal((await ask(server.address, '/')).status, 404);
  });

  it('says another mode, on another address', async () => {
    const { metrics } = await setUp();
    await using server = await MetricsServer.start({ metrics, address: '[::1]:0', proxyMode: 'nftables' });
    assert.match(server.address ?? '', /^\[::1\]:\d+$/);
    assert.equal((await ask(server.address, '/proxyMode')).body, 'nftables');
  });

  it('says what went wrong with a scrape, and goes on', async () => {
    let fails = true;
    const { metrics } = await setUp({
      lb: {
        metrics: () => {
          if (fails) throw new LoadBalancerError('ERR_BPF_SYSCALL', 'Cannot read the counters.');
          return readNumbers();
        },
      },
    });
    await using server = await MetricsServer.start({ metrics, address: '127.0.0.1:0' });
    const failed = await ask(server.address, '/metrics');
    assert.deepEqual([failed.status, failed.body], [500, 'Cannot read the counters.\n']);
    fails = false;
    assert.equal((await ask(server.address, '/metrics')).status, 200);
  });

  it('rejects addresses that it cannot listen on, and closes more than once', async () => {
    const { metrics } = await setUp();
    const { port, release } = await occupy('127.0.0.1');
    await assert.rejects(MetricsServer.start({ metrics, address: `127.0.0.1:${port}` }), {
      code: 'EADDRINUSE',
    });
    await release();
    await assert.rejects(MetricsServer.start({ metrics, address: '127.0.0.1' }), {
      code: 'ERR_BPF_INVALID_OPTION',
    });
    const server = await MetricsServer.start({ metrics, address: '127.0.0.1:0' });
    const { address } = server;
    await server.close();
    await server.close();
    await assert.rejects(ask(address, '/metrics'), { code: 'ECONNREFUSED' });
  });

  it('with everything together, on real time', async () => {
    const cluster = new ClusterState({ nodeName: thisNode });
    await using sync = new ClusterSync(cluster, new MemoryLoadBalancer(), { minSyncPeriod: 0 });
    await using health = await HealthServer.start({ health: sync.health, cluster, address: '127.0.0.1:0' });
    using metrics = await ProxyMetrics.open({ sync, cluster, healthServer: health });
    await using server = await MetricsServer.start({ metrics, address: '127.0.0.1:0' });
    const synced = once(sync, 'synced');
    sync.start();
    cluster.replace('Service', [service()]);
    cluster.replace('EndpointSlice', [slice([endpoint('10.244.0.1')])]);
    await synced;
    await ask(health.address, '/healthz');
    const now = samplesOf((await ask(server.address, '/metrics')).body);
    assert.equal(now.get('kubeproxy_sync_full_proxy_rules_duration_seconds_count'), 1);
    assert.equal(now.get('kubeproxy_proxy_healthz_total{code="200"}'), 1);
  });
});
