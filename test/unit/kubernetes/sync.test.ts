import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';

import { expectTypeOf } from 'expect-type';

import type { LoadBalancer } from '../../../lib';
import {
  ClusterState,
  ClusterSync,
  type ClusterSyncOptions,
  type ObjectWarning,
  type ServiceObject,
  type SyncReport,
  type SyncTarget,
} from '../../../lib/kubernetes';
import { endpoint, malformed, service, slice, thisNode } from './fixtures';
import { ManualClock, turns } from './manual-clock';
import { MemoryLoadBalancer } from './memory-load-balancer';

const hour = 3_600_000;

interface Setup extends ClusterSyncOptions {
  capacity?: { frontends: number; backends: number };
}

/** A ClusterState, its sync, the tables, and what was told. */
function setUp({ capacity, ...options }: Setup = {}) {
  const cluster = new ClusterState({ nodeName: thisNode });
  const lb = new MemoryLoadBalancer(capacity);
  const clock = new ManualClock();
  const sync = new ClusterSync(cluster, lb, { clock, ...options });
  const reports: SyncReport[] = [];
  const failures: string[] = [];
  const warnings: ObjectWarning[] = [];
  sync.on('synced', (report) => reports.push(report));
  sync.on('failed', (error: Error & { code?: string }, name) => failures.push(`${name} ${error.code}`));
  sync.on('warning', (warning) => warnings.push(warning));
  const list = (...services: ServiceObject[]) => {
    cluster.replace('Service', services);
    cluster.replace('EndpointSlice', []);
  };
  return { cluster, lb, clock, sync, reports, failures, warnings, list };
}

/** A Service with a cluster IP of its own. */
function web(name: string, last: number, spec: ServiceObject['spec'] = {}): ServiceObject {
  return service({ clusterIP: `10.96.0.${last}`, ...spec }, [], { name });
}

/** A slice with that many endpoints. */
function pods(owner: string, count: number) {
  return slice(
    Array.from({ length: count }, (_, i) => endpoint(`10.244.0.${i + 1}`)),
    {},
    owner,
  );
}

describe('ClusterSync', () => {
  it('takes a LoadBalancer', () => {
    expectTypeOf<LoadBalancer>().toExtend<SyncTarget>();
  });

  it('programs and deletes nothing until Services and EndpointSlices have been listed', async () => {
    const { cluster, lb, clock, sync } = setUp();
    await lb.upsertService({ name: 'earlier', frontends: [{ type: 'NodePort', port: 30000 }], backends: [] });
    lb.calls.length = 0;
    sync.start();
    cluster.replace('Service', [web('a', 1)]);
    await clock.advance(hour);
    assert.deepEqual(lb.calls, []);
    cluster.replace('EndpointSlice', []);
    await clock.advance(0);
    assert.deepEqual(lb.calls, ['apply 1']);
    assert.deepEqual(lb.names, ['default/a:http']);
  });

  it('lets others have their turn while it prepares much, and takes in what comes meanwhile', async () => {
    class Large extends ClusterState {
      override prepare(): boolean {
        return super.prepare(0);
      }
    }
    const cluster = new Large({ nodeName: thisNode });
    const lb = new MemoryLoadBalancer();
    await using sync = new ClusterSync(cluster, lb, { minSyncPeriod: 0 });
    cluster.replace('EndpointSlice', []);
    cluster.replace(
      'Service',
      Array.from({ length: 20 }, (_, i) => web(`s${i}`, i + 1)),
    );
    const synced = once(sync, 'synced');
    sync.start();
    for (let i = 0; i < 10; i++) await setImmediate();
    assert.deepEqual(lb.calls, []);
    cluster.apply('ADDED', web('meanwhile', 100));
    await synced;
    assert.deepEqual(lb.calls, ['apply 21']);
  });

  it('begins with everything when the lists are complete before it starts', async () => {
    const { lb, clock, sync, reports, list } = setUp();
    list(web('a', 1), web('b', 2));
    await clock.advance(hour);
    assert.deepEqual(lb.calls, []);
    sync.start();
    sync.start();
    await clock.advance(0);
    assert.deepEqual(lb.calls, ['apply 2']);
    const { full, upserted, deleted, failed, serviceChanges } = reports[0] as SyncReport;
    assert.deepEqual(
      { full, upserted, deleted, failed, serviceChanges },
      { full: true, upserted: 2, deleted: 0, failed: 0, serviceChanges: 2 },
    );
  });

  it('then writes what has changed, deletions first, in one commit', async () => {
    const { cluster, lb, clock, sync, reports, list } = setUp();
    list(web('a', 1), web('b', 2), web('c', 3));
    sync.start();
    await clock.advance(0);
    [lb.calls.length, lb.commits] = [0, 0];
    cluster.apply('DELETED', web('b', 2));
    cluster.apply('ADDED', web('d', 2));
    cluster.apply('ADDED', pods('a', 2));
    await clock.advance(1000);
    assert.equal(lb.commits, 1);
    assert.equal(lb.calls[0], 'delete default/b:http');
    assert.deepEqual(lb.calls.slice(1).sort(), ['upsert default/a:http', 'upsert default/d:http']);
    assert.deepEqual(lb.names, ['default/a:http', 'default/c:http', 'default/d:http']);
    assert.deepEqual(lb.backendsOf('default/a:http'), ['10.244.0.1', '10.244.0.2']);
    const { full, upserted, deleted, serviceChanges, endpointChanges } = reports[1] as SyncReport;
    assert.deepEqual(
      { full, upserted, deleted, serviceChanges, endpointChanges },
      { full: false, upserted: 2, deleted: 1, serviceChanges: 2, endpointChanges: 1 },
    );
  });

  it('lets frontends pass between services that both stay', async () => {
    const { cluster, lb, clock, sync, failures, list } = setUp();
    list(web('a', 1), web('b', 2));
    sync.start();
    await clock.advance(0);
    lb.commits = 0;
    cluster.apply('MODIFIED', web('a', 2));
    cluster.apply('MODIFIED', web('b', 1));
    await clock.advance(1000);
    assert.equal(lb.commits, 1);
    assert.deepEqual(failures, []);
    assert.deepEqual(lb.names, ['default/a:http', 'default/b:http']);
  });

  describe('frequency', () => {
    it('waits for minSyncPeriod from the end of one sync to the start of the next, and makes one of all that came', async () => {
      const { cluster, lb, clock, sync, list } = setUp({ minSyncPeriod: 1000 });
      list(web('a', 1));
      let open = () => {};
      lb.gate = new Promise((resolve) => (open = resolve));
      sync.start();
      await clock.advance(0);
      cluster.apply('ADDED', web('b', 2));
      /* The first one takes 700 ms, and what came meanwhile waits for its end and for the pause. */
      await clock.advance(700);
      open();
      await turns();
      assert.deepEqual(lb.calls, ['apply 1']);
      await clock.advance(999);
      cluster.apply('ADDED', web('c', 3));
      await turns();
      assert.deepEqual(lb.calls, ['apply 1']);
      await clock.advance(1);
      assert.deepEqual(lb.calls.slice(1).sort(), ['upsert default/b:http', 'upsert default/c:http']);
    });

    it('does not wait when nothing has happened for that long', async () => {
      const { cluster, lb, clock, sync, list } = setUp({ minSyncPeriod: 1000 });
      list(web('a', 1));
      sync.start();
      await clock.advance(1000);
      cluster.apply('ADDED', web('b', 2));
      await clock.advance(0);
      assert.deepEqual(lb.names, ['default/a:http', 'default/b:http']);
    });

    it('does not wait at all with minSyncPeriod 0', async () => {
      const { cluster, lb, clock, sync, list } = setUp({ minSyncPeriod: 0 });
      list(web('a', 1));
      sync.start();
      await clock.advance(0);
      cluster.apply('ADDED', web('b', 2));
      await clock.advance(0);
      cluster.apply('ADDED', web('c', 3));
      await clock.advance(0);
      assert.deepEqual(lb.calls, ['apply 1', 'upsert default/b:http', 'upsert default/c:http']);
    });

    it('compares everything once an hour, even when idle', async () => {
      const { lb, clock, sync, reports, list } = setUp();
      list(web('a', 1));
      sync.start();
      await clock.advance(hour - 1);
      assert.deepEqual(lb.calls, ['apply 1']);
      /* What others did to the services meanwhile. */
      await lb.deleteService('default/a:http');
      await clock.advance(1);
      assert.deepEqual(lb.calls, ['apply 1', 'delete default/a:http', 'apply 1']);
      assert.deepEqual(lb.names, ['default/a:http']);
      assert.deepEqual(
        reports.map(({ full }) => full),
        [true, true],
      );
      await clock.advance(hour);
      assert.equal(reports.length, 3);
    });

    it('compares everything once an hour, even when busy', async () => {
      const { cluster, clock, sync, reports, list } = setUp();
      list(web('a', 1));
      sync.start();
      for (let minute = 1; minute < 120; minute++) {
        cluster.apply('MODIFIED', pods('a', 1 + (minute % 2)));
        await clock.advance(60_000);
      }
      assert.equal(reports.filter(({ full }) => full).length, 2);
      assert.ok(reports.length >= 119);
    });

    it('keeps the process alive for what waits, and not for what is done once an hour', async () => {
      const { cluster, clock, sync, list } = setUp();
      list(web('a', 1));
      sync.start();
      assert.deepEqual(clock.timers, [{ background: false, in: 0 }]);
      await clock.advance(0);
      assert.deepEqual(clock.timers, [{ background: true, in: hour }]);
      cluster.apply('ADDED', web('b', 2));
      assert.deepEqual(clock.timers, [{ background: false, in: 1000 }]);
    });

    it('runs by the computer’s clock', async () => {
      const { cluster, lb, list } = setUp();
      await using sync = new ClusterSync(cluster, lb, { minSyncPeriod: 5 });
      const first = once(sync, 'synced');
      sync.start();
      list(web('a', 1));
      await first;
      const second = once(sync, 'synced');
      cluster.apply('ADDED', web('b', 2));
      await second;
      assert.deepEqual(lb.names, ['default/a:http', 'default/b:http']);
    });

    it('takes options that are undefined for absent', async () => {
      const { cluster, lb, list } = setUp();
      await using sync = new ClusterSync(
        cluster,
        lb,
        malformed({ minSyncPeriod: undefined, syncPeriod: undefined, clock: undefined }),
      );
      const synced = once(sync, 'synced');
      sync.start();
      list(web('a', 1));
      await synced;
      assert.deepEqual(lb.names, ['default/a:http']);
    });

    for (const [name, value] of Object.entries({ minSyncPeriod: -1, syncPeriod: 0, fullSyncPeriod: NaN })) {
      it(`refuses ${name} ${value}`, () => {
        assert.throws(() => setUp({ [name]: value }), { code: 'ERR_BPF_INVALID_OPTION' });
      });
    }
  });

  describe('stop', () => {
    it('finishes what runs, begins nothing else, and leaves the datapath', async () => {
      const { cluster, lb, clock, sync, list } = setUp();
      list(web('a', 1));
      let open = () => {};
      lb.gate = new Promise((resolve) => (open = resolve));
      sync.start();
      await clock.advance(0);
      cluster.apply('ADDED', web('b', 2));
      let stopped = false;
      const stopping = sync.stop().then(() => (stopped = true));
      await turns();
      assert.equal(stopped, false);
      open();
      await stopping;
      cluster.apply('ADDED', web('c', 3));
      await clock.advance(2 * hour);
      assert.deepEqual(lb.names, ['default/a:http']);
      assert.deepEqual(clock.timers, []);
      await sync.stop();
    });

    it('can be started again, with everything', async () => {
      const { cluster, lb, clock, sync, list } = setUp();
      list(web('a', 1));
      sync.start();
      await clock.advance(0);
      await sync.stop();
      cluster.apply('ADDED', web('b', 2));
      await clock.advance(hour);
      sync.start();
      await clock.advance(0);
      assert.deepEqual(lb.calls, ['apply 1', 'apply 2']);
    });
  });

  describe('failures', () => {
    it('a full table hinders no other service of the first sync', async () => {
      const { cluster, lb, clock, sync, reports, failures } = setUp({
        capacity: { frontends: 100, backends: 10 },
      });
      cluster.replace('Service', [web('a', 1), web('b', 2), web('c', 3)]);
      cluster.replace('EndpointSlice', [pods('a', 4), pods('b', 20), pods('c', 3)]);
      sync.start();
      await clock.advance(0);
      assert.deepEqual(lb.names, ['default/a:http', 'default/c:http']);
      assert.deepEqual(failures, ['default/b:http ERR_BPF_MAP_FULL']);
      assert.deepEqual([...sync.failures.keys()], ['default/b:http']);
      assert.equal(reports[0]?.failed, 1);
      assert.equal(reports[0]?.full, true);
    });

    it('a service that the kernel has no room for hinders no other of its commit', async () => {
      const { cluster, lb, clock, sync, failures, list } = setUp();
      list(...Array.from({ length: 9 }, (_, i) => web(`s${i}`, i + 1)));
      lb.refused.set('10.96.0.5', constants.errno.E2BIG).set('10.96.0.13', constants.errno.ENOSPC);
      sync.start();
      await clock.advance(0);
      assert.equal(lb.names.length, 8);
      assert.deepEqual(failures, ['default/s4:http ERR_BPF_SYSCALL']);
      for (let i = 9; i < 15; i++) cluster.apply('ADDED', web(`s${i}`, i + 1));
      cluster.apply('DELETED', web('s0', 1));
      await clock.advance(1000);
      assert.equal(lb.names.length, 12);
      assert.deepEqual(failures.slice(1), ['default/s12:http ERR_BPF_SYSCALL']);
      assert.deepEqual([...sync.failures.keys()].sort(), ['default/s12:http', 'default/s4:http']);
    });

    it('removes what is not desired, also when not all can be applied', async () => {
      const { cluster, lb, clock, sync } = setUp({ capacity: { frontends: 100, backends: 10 } });
      await lb.upsertService({
        name: 'earlier',
        frontends: [{ type: 'ClusterIP', address: '10.96.0.2', port: 80 }],
        backends: [{ address: '10.244.0.1', port: 80 }],
      });
      cluster.replace('Service', [web('a', 1), web('b', 2)]);
      cluster.replace('EndpointSlice', [pods('a', 20)]);
      sync.start();
      await clock.advance(0);
      assert.deepEqual(lb.names, ['default/b:http']);
    });

    it('what a service was serves on when its change fails', async () => {
      const { cluster, lb, clock, sync, failures } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1), web('b', 2)]);
      cluster.replace('EndpointSlice', [pods('a', 2), pods('b', 2)]);
      sync.start();
      await clock.advance(0);
      cluster.apply('MODIFIED', pods('a', 20));
      cluster.apply('MODIFIED', pods('b', 3));
      await clock.advance(1000);
      assert.deepEqual(failures, ['default/a:http ERR_BPF_MAP_FULL']);
      assert.equal(lb.backendsOf('default/a:http')?.length, 2);
      assert.equal(lb.backendsOf('default/b:http')?.length, 3);
      await clock.advance(hour);
      assert.equal(lb.backendsOf('default/a:http')?.length, 2);
    });

    it('tries a failed service again after syncPeriod, and tells of it once', async () => {
      const { lb, clock, sync, reports, failures, list } = setUp({ syncPeriod: 30_000 });
      list(web('a', 1), web('b', 2));
      lb.refused.set('10.96.0.2', constants.errno.E2BIG);
      sync.start();
      await clock.advance(0);
      lb.calls.length = 0;
      await clock.advance(29_999);
      assert.deepEqual(lb.calls, []);
      await clock.advance(1);
      assert.deepEqual(lb.calls, ['upsert default/b:http']);
      assert.equal(reports.at(-1)?.full, false);
      lb.refused.clear();
      await clock.advance(30_000);
      assert.deepEqual(lb.names, ['default/a:http', 'default/b:http']);
      assert.deepEqual(failures, ['default/b:http ERR_BPF_SYSCALL']);
      assert.equal(sync.failures.size, 0);
      lb.calls.length = 0;
      await clock.advance(60_000);
      assert.deepEqual(lb.calls, []);
    });

    it('tries it earlier when something changes that may have freed room', async () => {
      const { cluster, lb, clock, sync, failures } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1), web('b', 2), web('c', 3)]);
      cluster.replace('EndpointSlice', [pods('a', 6), pods('b', 3), pods('c', 6)]);
      sync.start();
      await clock.advance(0);
      const [failed] = failures;
      assert.equal(failures.length, 1);
      const large = failed?.startsWith('default/a') ? 'c' : 'a';
      cluster.apply('MODIFIED', pods(large, 1));
      await clock.advance(1000);
      assert.equal(lb.names.length, 3);
      assert.equal(sync.failures.size, 0);
      assert.equal(failures.length, 1);
    });

    it('one that leaves room for another is seen in the same sync, whatever their order', async () => {
      const { cluster, lb, clock, sync, failures } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1), web('b', 2)]);
      cluster.replace('EndpointSlice', [pods('a', 1), pods('b', 6)]);
      sync.start();
      await clock.advance(0);
      cluster.apply('MODIFIED', pods('a', 6));
      cluster.apply('MODIFIED', pods('b', 1));
      await clock.advance(1000);
      assert.deepEqual(failures, []);
      assert.equal(lb.backendsOf('default/a:http')?.length, 6);
      assert.equal(lb.backendsOf('default/b:http')?.length, 1);
    });

    it('one that succeeds late leaves room for others in turn', async () => {
      const { cluster, lb, clock, sync, failures } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1), web('b', 2), web('c', 3)]);
      cluster.replace('EndpointSlice', [pods('a', 4), pods('b', 5), pods('c', 1)]);
      sync.start();
      await clock.advance(0);
      lb.calls.length = 0;
      /* There is room for b when a has let go, and for c when b has. */
      cluster.apply('MODIFIED', pods('c', 6));
      cluster.apply('MODIFIED', pods('b', 3));
      cluster.apply('MODIFIED', pods('a', 0));
      await clock.advance(1000);
      assert.deepEqual(failures, []);
      assert.deepEqual(
        ['a', 'b', 'c'].map((name) => lb.backendsOf(`default/${name}:http`)?.length),
        [0, 3, 6],
      );
      assert.equal(lb.calls.filter((call) => call === 'upsert default/c:http').length, 3);
    });

    it('does not try for ever what cannot be', async () => {
      const { cluster, lb, clock, sync } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1), web('b', 2)]);
      cluster.replace('EndpointSlice', [pods('a', 1), pods('b', 1)]);
      sync.start();
      await clock.advance(0);
      lb.calls.length = 0;
      cluster.apply('MODIFIED', pods('a', 20));
      cluster.apply('MODIFIED', pods('b', 2));
      await clock.advance(1000);
      assert.deepEqual(lb.calls.sort(), [
        'upsert default/a:http',
        'upsert default/a:http',
        'upsert default/b:http',
      ]);
    });

    it('tells again when a failed service has changed and fails still', async () => {
      const { cluster, clock, sync, failures } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1)]);
      cluster.replace('EndpointSlice', [pods('a', 20)]);
      sync.start();
      await clock.advance(0);
      cluster.apply('MODIFIED', pods('a', 21));
      await clock.advance(1000);
      assert.deepEqual(failures, ['default/a:http ERR_BPF_MAP_FULL', 'default/a:http ERR_BPF_MAP_FULL']);
    });

    it('forgets a failed service that is deleted', async () => {
      const { cluster, clock, sync } = setUp({ capacity: { frontends: 100, backends: 10 } });
      cluster.replace('Service', [web('a', 1)]);
      cluster.replace('EndpointSlice', [pods('a', 20)]);
      sync.start();
      await clock.advance(0);
      assert.equal(sync.failures.size, 1);
      cluster.apply('DELETED', web('a', 1));
      await clock.advance(1000);
      assert.equal(sync.failures.size, 0);
      assert.deepEqual(clock.timers, [{ background: true, in: hour - 1000 }]);
    });

    it('after a sync that failed, everything is tried after syncPeriod, or when something changes', async () => {
      const { cluster, lb, clock, sync, reports, failures, list } = setUp();
      list(web('a', 1));
      lb.refused.set('10.96.0.1', constants.errno.EPERM);
      sync.start();
      await clock.advance(0);
      assert.deepEqual(failures, ['undefined ERR_BPF_PERMISSION']);
      assert.equal(reports.length, 0);
      lb.calls.length = 0;
      await clock.advance(29_999);
      assert.deepEqual(lb.calls, []);
      await clock.advance(1);
      assert.deepEqual(lb.calls, ['apply 1']);
      lb.refused.clear();
      cluster.apply('ADDED', web('b', 2));
      await clock.advance(1000);
      assert.deepEqual(lb.calls, ['apply 1', 'apply 2']);
      const { full, serviceChanges } = reports[0] as SyncReport;
      assert.deepEqual({ full, serviceChanges }, { full: true, serviceChanges: 2 });
    });

    it('after changes that the datapath did not take, everything is compared', async () => {
      const { cluster, lb, clock, sync, reports, failures, list } = setUp();
      list(web('a', 1));
      sync.start();
      await clock.advance(0);
      lb.refused.set('10.96.0.2', constants.errno.EIO);
      cluster.apply('ADDED', web('b', 2));
      cluster.apply('ADDED', web('c', 3));
      await clock.advance(1000);
      assert.deepEqual(lb.names, ['default/a:http', 'default/c:http']);
      assert.deepEqual(failures, ['default/b:http ERR_BPF_SYSCALL']);
      assert.equal(reports.length, 1);
      lb.refused.clear();
      lb.calls.length = 0;
      await clock.advance(30_000);
      assert.deepEqual(lb.calls, ['apply 3']);
      assert.equal(reports[1]?.full, true);
      assert.equal(reports[1]?.serviceChanges, 2);
    });

    it('lets frontends pass in a circle beside a service that cannot be served', async () => {
      const { cluster, lb, clock, sync, list } = setUp({ capacity: { frontends: 100, backends: 10 } });
      const with2 = (name: string, last: number, vip: string) =>
        service({ clusterIP: `10.96.0.${last}` }, [{ ip: vip }], { name });
      const vips = ['198.51.100.1', '198.51.100.2'] as const;
      list(with2('a', 1, vips[0]), with2('b', 2, vips[1]), web('large', 3));
      cluster.apply('ADDED', pods('large', 20));
      sync.start();
      await clock.advance(0);
      lb.closed = true; /* Nothing of the change is taken. */
      cluster.apply('MODIFIED', with2('a', 1, vips[1]));
      cluster.apply('MODIFIED', with2('b', 2, vips[0]));
      await clock.advance(1000);
      assert.equal(sync.failures.size, 3);
      lb.closed = false;
      await clock.advance(30_000);
      assert.deepEqual([...sync.failures.keys()], ['default/large:http']);
    });

    it('tells that the LoadBalancer is closed', async () => {
      const { cluster, lb, clock, sync, failures, list } = setUp();
      list(web('a', 1));
      sync.start();
      await clock.advance(0);
      lb.closed = true;
      cluster.apply('ADDED', web('b', 2));
      await clock.advance(1000);
      assert.deepEqual(failures, ['default/b:http ERR_BPF_CLOSED']);
      await sync.stop();
    });
  });

  it('tells of objects that cannot be used, once', async () => {
    const { cluster, clock, sync, warnings, list } = setUp();
    list(web('a', 1, { externalIPs: ['nowhere'] }), web('b', 2));
    sync.start();
    await clock.advance(0);
    assert.deepEqual(
      warnings.map(({ object, reason }) => `${object.kind} ${object.namespace}/${object.name} ${reason}`),
      ['Service default/a InvalidAddress'],
    );
    cluster.apply('MODIFIED', pods('a', 1));
    await clock.advance(1000);
    assert.equal(warnings.length, 1);
  });

  it('tells how long it took from the cause of each change, without what was before the start', async () => {
    const { cluster, clock, sync, reports } = setUp();
    const annotation = 'endpoints.kubernetes.io/last-change-trigger-time';
    const at = (time: number, count: number) => {
      const object = pods('a', count);
      object.metadata = { ...object.metadata, annotations: { [annotation]: new Date(time).toISOString() } };
      return object;
    };
    const start = Date.now();
    cluster.replace('Service', [web('a', 1)]);
    cluster.replace('EndpointSlice', [at(start - 60_000, 1)]);
    sync.start();
    await clock.advance(0);
    assert.deepEqual(reports[0]?.latencies, []);
    const cause = Date.now();
    cluster.apply('MODIFIED', at(cause, 2));
    cluster.apply('MODIFIED', at(start - 1000, 3));
    await clock.advance(1000);
    const { latencies = [] } = reports[1] ?? {};
    assert.equal(latencies.length, 1);
    assert.ok((latencies[0] as number) <= Date.now() - cause);
    cluster.apply('DELETED', at(Date.now(), 3));
    await clock.advance(1000);
    assert.deepEqual(reports[2]?.latencies, []);
    assert.equal(reports[2]?.endpointChanges, 1);
  });

  it('a listener that throws does not disturb the sync', async () => {
    const { cluster, lb, clock, sync, list } = setUp();
    const thrown: unknown[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => thrown.push(error));
    try {
      sync.once('synced', () => {
        throw new Error('of the listener');
      });
      list(web('a', 1));
      sync.start();
      await clock.advance(0);
      cluster.apply('ADDED', web('b', 2));
      await clock.advance(1000);
    } finally {
      for (const listener of others) process.on('uncaughtException', listener);
    }
    assert.match(String(thrown[0]), /of the listener/);
    assert.deepEqual(lb.names, ['default/a:http', 'default/b:http']);
  });
});
