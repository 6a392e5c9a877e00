import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import { useTwoNodes } from '../support/cluster/suite';
import { WebService } from './web-service';

describe('what is pinned, when others interfere with it', () => {
  const cluster = useTwoNodes();
  const web = new WebService(cluster);
  let stateDir: string;

  beforeEach(() => {
    const made = mkdtempSync(path.join(tmpdir(), 'bpf-lb-pins-'));
    stateDir = path.join(made, 'state');
    cluster.cleanupEach.add(() => {
      execFileSync('sh', ['-c', 'while umount "$1" 2>/dev/null; do :; done', 'sh', stateDir]);
      rmSync(made, { recursive: true });
    });
  });

  /** In a process of its own, which can be killed. */
  async function open() {
    const [node] = cluster.nodes;
    const killed = new Cleanup();
    cluster.cleanupEach.add(() => killed.run());
    const agent = await start<NodeFunctions>(killed, { namespace: node.namespace }, 'agent.ts');
    const options = {
      cgroup: node.cgroup,
      capacity: smallCapacity,
      stateDir,
      devices: ['eth0'],
      watchPeriod: 0,
    };
    return { agent, id: await agent.open(options), kill: () => killed.run() };
  }

  const generation = () => readdirSync(stateDir).filter((name) => /^\d+$/.test(name));

  for (const [what, interfere] of [
    ['removed', () => rmSync(path.join(stateDir, generation()[0]!), { recursive: true })],
    ['removed in part', () => rmSync(path.join(stateDir, generation()[0]!, 'services4'))],
    ['gone with its file system', () => execFileSync('umount', ['--lazy', stateDir])],
    ['hidden by another file system', () => execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', stateDir])],
  ] as const) {
    it(`is pinned again where it was ${what}, and adopted then`, async () => {
      const first = await open();
      await first.agent.upsertService(first.id, web.spec());
      const listing = await first.agent.formatServices(first.id);
      const assertAlive = await web.connectAll();
      assert.equal((await first.agent.status(first.id)).persistent, true);
      interfere();
      assert.equal((await first.agent.verify(first.id)).persistent, true);
      const [lost, repaired, ...more] = (await first.agent.hookEvents(first.id)).pins;
      assert.ok(lost?.includes('services4'));
      assert.deepEqual([repaired, more], [[], []]);
      await web.assertServed();
      await first.kill();
      await assertAlive();

      const second = await open();
      assert.equal(await second.agent.formatServices(second.id), listing);
      await assertAlive();
      await web.assertServed();
      await second.agent.close(second.id);
      assert.deepEqual(generation(), []);
    });
  }

  it('is told when it cannot be pinned again, and pinned when it can', async () => {
    const { agent, id } = await open();
    await agent.upsertService(id, web.spec());
    execFileSync('umount', ['--lazy', stateDir]);
    rmSync(stateDir, { recursive: true });
    writeFileSync(stateDir, '');
    await assert.rejects(agent.verify(id), { code: 'ERR_BPF_SYSCALL' });
    assert.equal((await agent.status(id)).persistent, false);
    await web.assertServed();
    rmSync(stateDir);
    assert.equal((await agent.verify(id)).persistent, true);
    assert.equal((await agent.hookEvents(id)).pins.length, 2);
    await agent.close(id);
  });
});
