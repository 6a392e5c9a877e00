import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';

import type { BackendSpec, FrontendSpec, ServiceSpec } from '../../lib';
import { Faults } from '../faults/faults';
import { readServed, type ServedBy } from '../faults/pinned-tables';
import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { useTwoNodes } from '../support/cluster/suite';

const ip = (last: number): FrontendSpec => ({ type: 'ClusterIP', address: `10.96.0.${last}`, port: 80 });
const ip6 = (last: number): FrontendSpec => ({ type: 'ClusterIP', address: `fd00:96::${last}`, port: 80 });
const vip = (last: number): FrontendSpec => ({ type: 'LoadBalancer', address: `192.0.2.${last}`, port: 443 });
const to = (...last: number[]): BackendSpec[] => last.map((n) => ({ address: `10.0.0.${n}`, port: 8080 }));
const to6 = (...last: number[]): BackendSpec[] => last.map((n) => ({ address: `fd01::${n}`, port: 8080 }));

interface Change {
  readonly before: readonly ServiceSpec[];
  readonly after: readonly ServiceSpec[];
  /** No service needs what another one has to give up first. */
  readonly independent: boolean;
}

const changes: Record<string, Change> = {
  'services of both families are added, changed and removed': {
    independent: true,
    before: [
      { name: 'changed', frontends: [ip(1), ip6(1)], backends: [...to(1, 2), ...to6(1)] },
      { name: 'removed', frontends: [ip(2), ip6(2)], backends: [...to(3), ...to6(3)] },
    ],
    after: [
      { name: 'changed', frontends: [ip(1), ip6(1)], backends: [...to(4), ...to6(4, 5)] },
      { name: 'added', frontends: [ip(3), ip6(3)], backends: [...to(6), ...to6(6)] },
    ],
  },
  'frontends pass from one service to another': {
    independent: false,
    before: [
      { name: 'a', frontends: [ip(1), ip(2)], backends: to(1) },
      { name: 'b', frontends: [ip(3)], backends: to(2) },
    ],
    after: [
      { name: 'a', frontends: [ip(1), ip(4)], backends: to(1) },
      { name: 'b', frontends: [ip(3), ip(2)], backends: to(2, 3) },
    ],
  },
  'weights, Maglev tables and source ranges are changed': {
    independent: true,
    before: [
      {
        name: 'weights',
        frontends: [ip(1)],
        backends: [{ ...(to(1)[0] as BackendSpec), weight: 3 }, ...to(2)],
      },
      { name: 'maglev', frontends: [ip(2)], backends: to(1, 2), algorithm: 'maglev', maglevTableSize: 251 },
      { name: 'ranges', frontends: [vip(1)], backends: to(5), sourceRanges: ['10.0.0.0/8', 'fd00::/8'] },
    ],
    after: [
      {
        name: 'weights',
        frontends: [ip(1)],
        backends: [{ ...(to(1)[0] as BackendSpec), weight: 2 }, ...to(3)],
      },
      { name: 'maglev', frontends: [ip(2)], backends: to(1, 3), algorithm: 'maglev', maglevTableSize: 503 },
      { name: 'ranges', frontends: [vip(1)], backends: to(6), sourceRanges: ['172.16.0.0/12'] },
    ],
  },
  'a change is large enough for another thread': {
    independent: true,
    before: Array.from({ length: 150 }, (_, i) => ({
      name: `s${i}`,
      frontends: [ip(i + 1)],
      backends: to(1, 2),
    })),
    after: Array.from({ length: 150 }, (_, i) => ({
      name: `s${i}`,
      frontends: [ip(i + 1)],
      backends: to(2, 3),
    })),
  },
};

describe('a failure of any system call of a change', () => {
  const cluster = useTwoNodes();
  let stateDir: string;
  let faults: Faults;

  before(function () {
    if (process.getuid?.() !== 0) return;
    const made = mkdtempSync(path.join(tmpdir(), 'bpf-lb-faults-'));
    stateDir = path.join(made, 'state');
    cluster.cleanup.add(() => {
      execFileSync('sh', ['-c', 'umount "$1" 2>/dev/null || true', 'sh', stateDir]);
      rmSync(made, { recursive: true });
    });
    faults = new Faults(made);
    cluster.cleanup.add(() => faults.close());
  });

  interface Opened {
    readonly agent: Remote<NodeFunctions>;
    readonly id: number;
    kill(): Promise<void>;
  }

  async function open(): Promise<Opened> {
    const [{ namespace, cgroup }] = cluster.nodes;
    const killed = new Cleanup();
    cluster.cleanupEach.add(() => killed.run());
    const place = { namespace, through: faults.through };
    const agent = await start<NodeFunctions>(killed, place, 'agent.ts');
    /* Nothing but changes of services makes system calls then. */
    const quiet = { watchPeriod: 0, socketReconcilePeriod: 0, followDevices: false };
    const id = await agent.open({ cgroup, capacity: smallCapacity, stateDir, ...quiet });
    return { agent, id, kill: () => killed.run() };
  }

  /** What is served before and after, and the number of system calls from one to the other. */
  async function rehearse({ agent, id }: Opened, { before, after }: Change) {
    await agent.apply(id, before);
    const old = await readServed(stateDir);
    let [calls, now] = [Infinity, old];
    /* The look at all sockets that open() has begun makes calls, too, as long as it lasts. */
    for (let i = 0; i < 3; i++) {
      faults.arm('count');
      await agent.apply(id, after);
      calls = Math.min(calls, faults.disarm());
      now = await readServed(stateDir);
      await agent.apply(id, before);
      assert.deepEqual(await readServed(stateDir), old);
    }
    assert.ok(calls > 1);
    return { old, now, calls };
  }

  /** Every frontend leads to what it led to before, or to what it is to lead to, whole. */
  function assertOldOrNew(
    served: ReadonlyMap<string, ServedBy>,
    old: ReadonlyMap<string, ServedBy>,
    now: ReadonlyMap<string, ServedBy>,
    where: string,
  ): void {
    for (const key of new Set([...served.keys(), ...old.keys(), ...now.keys()]))
      assert.ok(
        [old.get(key), now.get(key)].includes(served.get(key)),
        `${where}: ${key}: ${served.get(key)}`,
      );
  }

  for (const [title, change] of Object.entries(changes)) {
    it(`leaves the old or the new state while ${title}`, async function () {
      const opened = await open();
      const { agent, id } = opened;
      const { old, now, calls } = await rehearse(opened, change);
      let refused = 0;
      for (let at = 1; at <= calls; at++) {
        faults.arm('fail', at, constants.errno.ENOMEM);
        const failed = await agent.apply(id, change.after).then(
          () => false,
          () => true,
        );
        faults.disarm();
        if (failed) refused++;
        const served = await readServed(stateDir);
        assertOldOrNew(served, old, now, `call ${at} fails`);
        await agent.apply(id, change.after);
        assert.deepEqual(await readServed(stateDir), now, `after call ${at} has failed`);
        await agent.apply(id, change.before);
        assert.deepEqual(await readServed(stateDir), old);
      }
      await opened.kill();
      if (this.test) this.test.title += ` (${calls} calls failed, ${refused} changes refused)`;
    });

    if (change.independent)
      it(`takes back what was refused to calls of one tick while ${title}`, async function () {
        const opened = await open();
        const { agent, id } = opened;
        await agent.apply(id, change.before);
        const old = await readServed(stateDir);
        faults.arm('count');
        await agent.upsertServices(id, change.after);
        const calls = faults.disarm();
        assert.ok(calls > 1);
        const now = await readServed(stateDir);
        let refused = 0;
        for (let at = 1; at <= calls; at++) {
          await agent.apply(id, change.before);
          faults.arm('fail', at, constants.errno.ENOMEM);
          const failed = await agent.upsertServices(id, change.after).then(
            () => false,
            () => true,
          );
          faults.disarm();
          if (failed) refused++;
          assert.deepEqual(await readServed(stateDir), failed ? old : now, `call ${at} fails`);
          await agent.upsertServices(id, change.after);
          assert.deepEqual(await readServed(stateDir), now, `after call ${at} has failed`);
        }
        await opened.kill();
        assert.ok(refused > 0);
        if (this.test) this.test.title += ` (${calls} calls failed, ${refused} times refused)`;
      });

    it(`and a kill there, which the next open() repairs, while ${title}`, async function () {
      /* Each kill takes a new process, and a new load of all programs. */
      this.timeout(240_000);
      let opened = await open();
      const { old, now, calls } = await rehearse(opened, change);
      let kills = 0;
      for (let at = 1; ; at++) {
        faults.arm('kill', at);
        const survived = await opened.agent.apply(opened.id, change.after).then(
          () => true,
          () => false,
        );
        const made = faults.disarm();
        /* A grace period is waited for now and then only. */
        if (survived && made < at) break;
        assert.equal(made, at);
        kills++;
        await opened.kill();
        assertOldOrNew(await readServed(stateDir), old, now, `killed at call ${at}`);
        opened = await open();
        assertOldOrNew(await readServed(stateDir), old, now, `opened after call ${at}`);
        await opened.agent.apply(opened.id, change.after);
        assert.deepEqual(await readServed(stateDir), now, `repaired after call ${at}`);
        await opened.agent.apply(opened.id, change.before);
        assert.deepEqual(await readServed(stateDir), old);
      }
      assert.ok(kills > 1 && kills >= calls - 1, `${kills} kills, ${calls} calls`);
      await opened.agent.close(opened.id);
      await opened.kill();
      if (this.test) this.test.title += ` (${kills} kills)`;
    });
  }
});
