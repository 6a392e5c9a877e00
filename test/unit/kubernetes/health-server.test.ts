import assert from 'node:assert/strict';
import { constants } from 'node:os';

import { ClusterState, ClusterSync, HealthServer, type NodeObject } from '../../../lib/kubernetes';
import { node, service, thisNode } from './fixtures';
import { ask, occupy } from './http';
import { ManualClock, turns } from './manual-clock';
import { MemoryLoadBalancer } from './memory-load-balancer';

const syncPeriod = 30_000;
const limit = 2 * syncPeriod;

interface Body {
  lastUpdated: string | null;
  currentTime: string;
  nodeEligible?: boolean;
  healthy: boolean;
  status: Record<'IPv4' | 'IPv6', { lastUpdated: string | null; healthy: boolean }>;
}

async function setUp() {
  const cluster = new ClusterState({ nodeName: thisNode });
  const lb = new MemoryLoadBalancer();
  const clock = new ManualClock();
  const sync = new ClusterSync(cluster, lb, { clock, syncPeriod });
  const server = await HealthServer.start({ health: sync.health, cluster, address: '127.0.0.1:0' });
  const get = async (path: string) => {
    const { status, headers, body } = await ask(server.address, path);
    return { status, headers, body: JSON.parse(body) as Body };
  };
  return {
    cluster,
    lb,
    clock,
    sync,
    server,
    get,
    codes: async () => [(await get('/healthz')).status, (await get('/livez')).status],
    list: () => {
      cluster.replace('Service', [service()]);
      cluster.replace('EndpointSlice', []);
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await sync.stop();
    },
  };
}

function taintedNode(key: string): NodeObject {
  return node(undefined, { spec: { taints: [{ key }] } });
}

const ipv6Service = service({ clusterIP: 'fd00::10', clusterIPs: ['fd00::10'], ipFamilies: ['IPv6'] }, [], {
  name: 'six',
});

describe('health server', () => {
  it('is healthy when nothing has come yet', async () => {
    await using test = await setUp();
    test.sync.start();
    await test.clock.advance(10 * limit);
    assert.deepEqual(await test.codes(), [200, 200]);
  });

  it('has the body and the headers of kube-proxy', async () => {
    await using test = await setUp();
    const before = Date.now();
    const { headers, body } = await test.get('/healthz');
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.deepEqual(Object.keys(body), ['lastUpdated', 'currentTime', 'nodeEligible', 'healthy', 'status']);
    assert.equal(body.nodeEligible, true);
    assert.equal(body.healthy, true);
    assert.deepEqual(Object.keys(body.status), ['IPv4', 'IPv6']);
    /* Healthy: last updated now. */
    for (const time of [body.lastUpdated, body.currentTime, body.status.IPv4.lastUpdated]) {
      assert.match(time ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
      assert.ok(Date.parse(time ?? '') >= before && Date.parse(time ?? '') <= Date.now());
    }
    const live = await test.get('/livez?verbose');
    assert.equal(live.headers['content-type'], 'application/json');
    assert.deepEqual(Object.keys(live.body), ['lastUpdated', 'currentTime', 'healthy', 'status']);
  });

  it('is not healthy once a change has waited for twice the syncPeriod, until it is synced', async () => {
    await using test = await setUp();
    const { lb, clock, sync, list } = test;
    list();
    let open = () => {};
    lb.gate = new Promise((resolve) => (open = resolve));
    sync.start();
    await clock.advance(limit - 2);
    /* One that comes later does not make the first one younger. */
    test.cluster.apply('ADDED', ipv6Service);
    await clock.advance(1);
    assert.deepEqual(await test.codes(), [200, 200]);
    await clock.advance(1);
    assert.deepEqual(await test.codes(), [503, 503]);
    const { body } = await test.get('/healthz');
    assert.deepEqual(
      { healthy: body.healthy, lastUpdated: body.lastUpdated, status: body.status },
      {
        healthy: false,
        lastUpdated: null,
        status: { IPv4: { lastUpdated: null, healthy: false }, IPv6: { lastUpdated: null, healthy: false } },
      },
    );
    open();
    await turns();
    assert.deepEqual(await test.codes(), [200, 200]);
    await clock.advance(1000);
    assert.equal(lb.names.length, 2);
    await clock.advance(10 * limit);
    assert.deepEqual(await test.codes(), [200, 200]);
  });

  it('counts from the oldest change that waits, however many follow and however often it fails', async () => {
    await using test = await setUp();
    const { cluster, lb, clock, sync, list } = test;
    list();
    lb.refused.set('10.96.0.10', constants.errno.EIO);
    sync.start();
    for (let i = 0; i < 5; i++) {
      await clock.advance(limit / 5 - 1);
      cluster.apply(
        'MODIFIED',
        service({ clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 81 + i }] }),
      );
      assert.deepEqual(await test.codes(), [200, 200]);
    }
    await clock.advance(5);
    assert.equal((await test.get('/livez')).status, 503);
    lb.refused.clear();
    await clock.advance(syncPeriod);
    assert.deepEqual(await test.codes(), [200, 200]);
  });

  it('a change that comes during a sync is not synced by it', async () => {
    await using test = await setUp();
    const { cluster, lb, clock, sync, list } = test;
    list();
    let open = () => {};
    lb.gate = new Promise((resolve) => (open = resolve));
    sync.start();
    await clock.advance(0);
    cluster.apply('ADDED', ipv6Service);
    await clock.advance(limit / 2);
    open();
    await turns();
    assert.equal(sync.health.healthy, true);
    /* It never comes to the next sync. */
    await sync.stop();
    await clock.advance(limit / 2 - 1);
    assert.equal(sync.health.healthy, true);
    await clock.advance(1);
    assert.equal(sync.health.healthy, false);
  });

  it('knows which family is late', async () => {
    await using test = await setUp();
    const { cluster, lb, clock, sync, list } = test;
    list();
    cluster.apply('ADDED', ipv6Service);
    sync.start();
    await clock.advance(0);
    lb.refused.set('10.96.0.11', constants.errno.EIO);
    cluster.apply('MODIFIED', service({ clusterIP: '10.96.0.11' }));
    await clock.advance(limit + 1000);
    const { status, body } = await test.get('/healthz');
    assert.equal(status, 503);
    assert.equal(body.healthy, false);
    assert.equal(body.status.IPv4.healthy, false);
    assert.equal(body.status.IPv6.healthy, true);
    assert.ok(
      Date.parse(body.status.IPv4.lastUpdated ?? '') <= Date.parse(body.status.IPv6.lastUpdated ?? ''),
    );
  });

  it('a service that cannot be served is not the datapath’s fault', async () => {
    await using test = await setUp();
    const { lb, clock, sync, list } = test;
    list();
    lb.refused.set('10.96.0.10', constants.errno.E2BIG);
    sync.start();
    await clock.advance(10 * limit);
    assert.equal(sync.failures.size, 1);
    assert.deepEqual(await test.codes(), [200, 200]);
  });

  for (const { what, object, eligible } of [
    { what: 'no node', object: undefined, eligible: true },
    { what: 'a node', object: node(), eligible: true },
    {
      what: 'the taint of the autoscaler',
      object: taintedNode('ToBeDeletedByClusterAutoscaler'),
      eligible: false,
    },
    { what: 'another taint', object: taintedNode('other'), eligible: true },
    {
      what: 'a cordoned node',
      object: node(undefined, { spec: { unschedulable: true } } as NodeObject),
      eligible: true,
    },
    {
      what: 'a node that is being deleted',
      object: node(undefined, { metadata: { name: thisNode, deletionTimestamp: '2026-01-01T00:00:00Z' } }),
      eligible: false,
    },
  ]) {
    it(`${what}: /healthz is ${eligible ? 200 : 503}, /livez is 200`, async () => {
      await using test = await setUp();
      if (object) test.cluster.replace('Node', [object]);
      assert.deepEqual(await test.codes(), [eligible ? 200 : 503, 200]);
      const { body } = await test.get('/healthz');
      assert.equal(body.nodeEligible, eligible);
      assert.equal(body.healthy, true);
    });
  }

  it('has no other path', async () => {
    await using test = await setUp();
    for (const path of ['/', '/healthz/', '/metrics'])
      assert.equal((await ask(test.server.address, path)).status, 404, path);
  });

  it('listens on IPv6', async () => {
    const { health } = new ClusterSync(new ClusterState({ nodeName: thisNode }), new MemoryLoadBalancer());
    await using server = await HealthServer.start({ health, address: '[::1]:0' });
    assert.match(server.address ?? '', /^\[::1\]:\d+$/);
    assert.equal((await ask(server.address, '/healthz')).status, 200);
    await using everywhere = await HealthServer.start({ health, address: ':0' });
    const port = /\d+$/.exec(everywhere.address ?? '')?.[0];
    for (const host of ['127.0.0.1', '[::1]'])
      assert.equal((await ask(`${host}:${port}`, '/livez')).status, 200);
  });

  it('rejects addresses that it cannot listen on', async () => {
    const { health } = new ClusterSync(new ClusterState({ nodeName: thisNode }), new MemoryLoadBalancer());
    const { port, release } = await occupy('127.0.0.1');
    await assert.rejects(HealthServer.start({ health, address: `127.0.0.1:${port}` }), {
      code: 'EADDRINUSE',
    });
    await release();
    for (const address of ['', 'localhost', '127.0.0.1', '127.0.0.1:65536', '::1:80', '127.0.0.1:http'])
      await assert.rejects(
        HealthServer.start({ health, address }),
        { code: 'ERR_BPF_INVALID_OPTION' },
        address,
      );
  });

  it('is closed more than once', async () => {
    const test = await setUp();
    const { address } = test.server;
    await test.server.close();
    await test.server.close();
    assert.equal(test.server.address, undefined);
    await assert.rejects(ask(address, '/healthz'), { code: 'ECONNREFUSED' });
  });
});
