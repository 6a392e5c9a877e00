import assert from 'node:assert/strict';

import { CommitQueue } from '../../lib/commit-queue';
import { defineService } from '../../lib/service-definition';
import { ServiceTable } from '../../lib/service-table';
import type { Datapath, MapOperation, Native } from '../../types/native';
import { KernelTables } from '../support/kernel-tables';

const service = (name: string, last: number, backends = 1) =>
  defineService({
    name,
    frontends: [{ type: 'ClusterIP', address: `10.96.0.${last}`, port: 80 }],
    backends: Array.from({ length: backends }, (_, i) => ({ address: `10.0.${last}.${i + 1}`, port: 80 })),
  });

/** A queue on plain memory that counts commits and fails on demand, midway. */
function makeQueue(capacity = { frontends: 100, backends: 100 }) {
  const kernel = new KernelTables(capacity.backends);
  const state = {
    commits: 0,
    graces: 0,
    failures: [] as number[],
    graceError: undefined as Error | undefined,
  };
  const commitNow = (operations: readonly MapOperation[]) => {
    state.commits++;
    const limit = state.failures.shift();
    kernel.run(operations, limit);
    if (limit !== undefined) {
      throw Object.assign(new Error('E2BIG: bpf'), {
        code: 'E2BIG',
        errno: -7,
        syscall: 'bpf',
        target: 'services4',
      });
    }
  };
  const datapath = {
    commitNow,
    commit: (operations: readonly MapOperation[]) => Promise.resolve().then(() => commitNow(operations)),
  } as Datapath;
  const gracePeriod = () => {
    state.graces++;
    return state.graceError ? Promise.reject(state.graceError) : Promise.resolve();
  };
  const table = new ServiceTable(capacity, new Set());
  const queue = new CommitQueue({ gracePeriod } as Native, table, datapath);
  return { queue, table, kernel, state };
}

describe('commit queue', () => {
  it('commits the calls of one tick as one', async () => {
    const { queue, kernel, state } = makeQueue();
    const calls = Array.from({ length: 20 }, (_, i) => queue.add((tx) => tx.put(service(`s${i}`, i + 1))));
    await Promise.all(calls);
    assert.equal(state.commits, 1);
    assert.equal(kernel.hashes['services4']?.size, 20);
  });

  it('commits one after the other what is called one after the other', async () => {
    const { queue, state } = makeQueue();
    for (let i = 0; i < 5; i++) await queue.add((tx) => tx.put(service('web', i + 1)));
    assert.equal(state.commits, 5);
  });

  it('writes nothing when nothing changes', async () => {
    const { queue, state } = makeQueue();
    await queue.add((tx) => tx.put(service('web', 1)));
    assert.equal(await queue.add((tx) => tx.put(service('web', 1))), false);
    assert.equal(await queue.add((tx) => tx.remove('other')), false);
    assert.equal(state.commits, 1);
  });

  it('a call that cannot be staged fails alone', async () => {
    const { queue, table } = makeQueue();
    const [good, bad, also] = await Promise.allSettled([
      queue.add((tx) => tx.put(service('a', 1))),
      queue.add((tx) => tx.put(service('b', 1))),
      queue.add((tx) => tx.put(service('c', 2))),
    ]);
    assert.equal(good.status, 'fulfilled');
    assert.equal(also.status, 'fulfilled');
    assert.equal(bad.status, 'rejected');
    assert.deepEqual([...table.records.keys()], ['a', 'c']);
  });

  for (const after of [0, 1, 2]) {
    it(`a commit that fails after ${after} operations fails its calls and leaves what was`, async () => {
      const { queue, table, kernel, state } = makeQueue();
      await queue.add((tx) => tx.put(service('web', 1, 3)));
      const before = new Map(kernel.hashes['services4']);
      state.failures.push(after);
      const calls = await Promise.allSettled([
        queue.add((tx) => tx.put(service('web', 2, 5))),
        queue.add((tx) => tx.put(service('other', 3))),
      ]);
      for (const call of calls) {
        assert.equal(call.status, 'rejected');
        const { code, syscall, errno } = call.reason as { code: string; syscall: string; errno: number };
        assert.deepEqual({ code, syscall, errno }, { code: 'ERR_BPF_SYSCALL', syscall: 'bpf', errno: -7 });
      }
      assert.deepEqual(kernel.hashes['services4'], before);
      assert.deepEqual([...table.records.keys()], ['web']);
      await queue.add((tx) => tx.put(service('web', 2, 5)));
      assert.equal(table.records.get('web')?.definition.backends.length, 5);
    });
  }

  it('tells when the way back fails, too', async () => {
    const { queue, state } = makeQueue();
    state.failures.push(0, 0);
    await assert.rejects(
      queue.add((tx) => tx.put(service('web', 1))),
      ({ code, cause }: Error & { code?: string }) =>
        code === 'ERR_BPF_SYSCALL' && cause instanceof AggregateError,
    );
  });

  it('a call that stands alone leaves nothing when it fails midway', async () => {
    const { queue, table, kernel } = makeQueue();
    await queue.add((tx) => tx.put(service('a', 1)));
    const failing = queue.add(async (tx) => {
      tx.remove('a');
      await Promise.resolve();
      tx.put(service('b', 2));
      throw new Error('changed my mind');
    }, true);
    const next = queue.add((tx) => tx.put(service('c', 3)));
    await assert.rejects(failing, /changed my mind/);
    await next;
    assert.deepEqual([...table.records.keys()], ['a', 'c']);
    assert.equal(kernel.hashes['services4']?.size, 2);
  });

  it('waits for a grace period rather than fail, when ranges are only waiting', async () => {
    const { queue, table, state } = makeQueue({ frontends: 10, backends: 8 });
    for (let i = 0; i < 20; i++) await queue.add((tx) => tx.put(service('web', 1 + (i % 2), 4)));
    assert.ok(state.graces > 0);
    assert.equal(table.records.get('web')?.definition.backends.length, 4);
  });

  it('says so when the table is really full, and keeps what it has', async () => {
    const { queue, table } = makeQueue({ frontends: 10, backends: 8 });
    await queue.add((tx) => tx.put(service('web', 1, 4)));
    await assert.rejects(
      queue.add((tx) => tx.put(service('more', 2, 5))),
      { code: 'ERR_BPF_MAP_FULL', map: 'backends', need: 9, have: 8 },
    );
    await assert.rejects(
      queue.add((tx) => tx.put(service('more', 2, 9)), true),
      { code: 'ERR_BPF_MAP_FULL' },
    );
    await queue.add((tx) => tx.put(service('more', 2, 4)));
    assert.equal(table.ranges.used, 8);
  });

  it('a change that the kernel has succeeds, even if no grace period can be had', async () => {
    const { queue, table, state } = makeQueue({ frontends: 10, backends: 16 });
    state.graceError = Object.assign(new Error('EINVAL: membarrier'), {
      code: 'EINVAL',
      errno: -22,
      syscall: 'membarrier',
    });
    await queue.add((tx) => tx.put(service('web', 1, 4)));
    await queue.add((tx) => tx.put(service('web', 2, 4)));
    assert.equal(table.retiredEntries, 4);
    await queue.add((tx) => tx.put(service('web', 3, 4)));
    await queue.add((tx) => tx.put(service('web', 4, 4)));
    // Now there is no other range left.
    await assert.rejects(
      queue.add((tx) => tx.put(service('web', 5, 4))),
      { code: 'ERR_BPF_SYSCALL', syscall: 'membarrier' },
    );
    assert.equal(table.records.get('web')?.definition.frontends[0]?.address, '10.96.0.4');
    state.graceError = undefined;
    await queue.add((tx) => tx.put(service('web', 5, 4)));
  });

  it('idle() waits for what was called', async () => {
    const { queue, table } = makeQueue();
    void queue.add((tx) => tx.put(service('web', 1)));
    await queue.idle();
    assert.equal(table.records.size, 1);
  });
});
