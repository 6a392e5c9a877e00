import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { type OpenOptions, type ServiceSpec, StateView } from '../../lib';
import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import { useTwoNodes } from '../support/cluster/suite';
import { programsAtCgroup } from './kernel';
import { WebService } from './web-service';

describe('a LoadBalancer on the state of an earlier one', () => {
  const cluster = useTwoNodes();
  const web = new WebService(cluster);
  let stateDir: string;

  beforeEach(() => {
    const made = mkdtempSync(path.join(tmpdir(), 'bpf-lb-adopted-'));
    stateDir = made;
    cluster.cleanupEach.add(() => {
      execFileSync('umount', [made]);
      rmSync(made, { recursive: true });
    });
  });

  const other: ServiceSpec = {
    name: 'other',
    frontends: [{ type: 'ClusterIP', address: '10.96.0.2', port: 80 }],
    backends: [],
  };

  /** In a process of its own, which can be killed. */
  async function open(options: OpenOptions = {}) {
    const [node] = cluster.nodes;
    const killed = new Cleanup();
    cluster.cleanupEach.add(() => killed.run());
    const agent = await start<NodeFunctions>(killed, { namespace: node.namespace }, 'agent.ts');
    const given = { cgroup: node.cgroup, capacity: smallCapacity, stateDir, devices: ['eth0'], ...options };
    try {
      return { agent, id: await agent.open(given), kill: () => killed.run() };
    } catch (error) {
      await killed.run();
      throw error;
    }
  }

  /** The kernel has entries of its own in a bpffs. */
  const generations = () => readdirSync(stateDir).filter((name) => /^\d+$/.test(name));

  /** Ends what the test has left open. */
  async function closeAll(options: OpenOptions = {}): Promise<void> {
    const { agent, id, kill } = await open(options);
    await agent.close(id);
    await kill();
    assert.deepEqual(programsAtCgroup(cluster.nodes[0].cgroup), []);
    assert.deepEqual(generations(), []);
  }

  it('keeps services, ids and connections when the process is killed, and deletes nothing before synced()', async () => {
    const first = await open();
    await first.agent.upsertServices(first.id, [web.spec(), other]);
    const listing = await first.agent.formatServices(first.id);
    const assertAlive = await web.connectAll();
    await first.kill();
    await web.assertServed();
    await assertAlive();

    const second = await open();
    assert.equal(await second.agent.formatServices(second.id), listing);
    await web.assertServed();
    await assertAlive();
    const plan = await second.agent.plan(second.id, [web.spec(), other]);
    assert.equal(plan.unchanged, 2);
    await second.agent.upsertService(second.id, web.spec());
    assert.deepEqual(await second.agent.synced(second.id), ['other']);
    assert.deepEqual(await second.agent.synced(second.id), []);
    await web.assertServed();
    await assertAlive();
    assert.doesNotMatch(await second.agent.formatServices(second.id), /10\.96\.0\.2/);
    await second.kill();
    await closeAll();
  });

  it('fills tables of another size, and keeps ids and connections', async () => {
    const first = await open();
    await first.agent.upsertServices(first.id, [other, web.spec()]);
    const listing = await first.agent.formatServices(first.id);
    const assertAlive = await web.connectAll();
    await first.kill();
    const larger = { capacity: { ...smallCapacity, frontends: 2048, backends: 8192 } };
    const second = await open(larger);
    assert.equal(await second.agent.formatServices(second.id), listing);
    await web.assertServed();
    await assertAlive();
    assert.equal((await second.agent.metrics(second.id)).tables['services4']?.capacity, 2048);
    await second.kill();
    await closeAll(larger);
  });

  it('reads the definitions where the service tables are those of another version', async () => {
    const first = await open();
    await first.agent.upsertServices(first.id, [web.spec(), other]);
    const listing = await first.agent.formatServices(first.id);
    const assertAlive = await web.connectAll();
    await first.kill();
    const [generation = ''] = generations();
    for (const table of ['services4', 'services6']) {
      const pin = path.join(stateDir, generation, table);
      rmSync(pin);
      const shape = [
        'type',
        'hash',
        'key',
        table === 'services4' ? '8' : '20',
        'value',
        '16',
        'entries',
        '64',
      ];
      execFileSync('bpftool', ['map', 'create', pin, ...shape, 'name', table]);
    }
    const second = await open();
    assert.equal(await second.agent.formatServices(second.id), listing);
    await web.assertServed();
    await assertAlive();
    await second.kill();
    await closeAll();
  });

  it('says which tables of connections are those of another version, and lets them serve on', async () => {
    const first = await open();
    await first.agent.upsertService(first.id, web.spec());
    await first.kill();
    const [generation = ''] = generations();
    const pin = path.join(stateDir, generation, 'flows4');
    execFileSync('mv', [pin, `${pin}_away`]);
    const shape = ['type', 'lru_hash', 'key', '16', 'value', '8', 'entries', '64'];
    execFileSync('bpftool', ['map', 'create', pin, ...shape, 'name', 'flows4']);
    await assert.rejects(open(), { code: 'ERR_BPF_STATE', message: /flows4: valueSize is 8, not \d+/ });
    await web.assertServed();
    rmSync(pin);
    execFileSync('mv', [`${pin}_away`, pin]);
    await closeAll();
  });

  it('lets the earlier one serve on when it cannot be opened', async () => {
    const first = await open();
    await first.agent.upsertServices(first.id, [web.spec(), other]);
    const assertAlive = await web.connectAll();
    await first.kill();
    await assert.rejects(open({ devices: ['eth0', 'nowhere0'] }), { code: 'ERR_BPF_NO_DEVICE' });
    await web.assertServed();
    const small = { ...smallCapacity, frontends: 2 };
    await assert.rejects(open({ capacity: small }), { code: 'ERR_BPF_MAP_FULL' });
    await web.assertServed();
    await assertAlive();
    await closeAll();
  });

  it('is refused what a newer library has written', async () => {
    const first = await open();
    await first.agent.upsertService(first.id, web.spec());
    await first.kill();
    const [generation = ''] = generations();
    const pin = path.join(stateDir, generation, 'state');
    const value = (version: number) =>
      ['map', 'update', 'pinned', pin, 'key', '0', '0', '0', '0', 'value', String(version)].concat(
        Array<string>(19).fill('0'),
      );
    execFileSync('bpftool', value(2));
    await assert.rejects(open(), { code: 'ERR_BPF_STATE', message: /version 2 .* newer/ });
    await web.assertServed();
    execFileSync('bpftool', value(1));
    await closeAll();
  });

  it('can be looked at while it is open, and restored from what was seen', async () => {
    const first = await open();
    await first.agent.upsertServices(first.id, [web.spec(), other]);
    const view = await StateView.open(stateDir);
    cluster.cleanupEach.add(() => view.close());
    assert.equal(view.services.format(), await first.agent.formatServices(first.id));
    assert.deepEqual(view.snapshot(), await first.agent.snapshot(first.id));
    await web.assertServed();
    assert.ok(view.metrics().counters.SOCKET_TRANSLATED > 0n);
    assert.equal(view.metrics().tables.services4.used, 5);
    const seen = view.services.get('web');
    assert.ok(seen);
    for (const change of [seen.delete(), seen.drain('10.0.0.1:80'), seen.rebalance({ maxPerSecond: 1 })])
      await assert.rejects(change, { code: 'ERR_BPF_READ_ONLY' });

    const snapshot = view.snapshot();
    await first.agent.apply(first.id, []);
    await view.refresh();
    assert.deepEqual([...view.services], []);
    await first.agent.restore(first.id, snapshot);
    await web.assertServed();
    await view.refresh();
    assert.deepEqual(view.snapshot(), snapshot);
    await first.kill();
    await view.refresh();
    assert.deepEqual(view.snapshot(), snapshot);
    view.close();
    await closeAll();
    await assert.rejects(StateView.open(stateDir), { code: 'ERR_BPF_STATE' });
  });

  it('is refused the directory of a process that lives, by its id', async () => {
    const first = await open();
    await assert.rejects(open(), { code: 'ERR_BPF_STATE_LOCKED', message: /of process \d+:/ });
    await first.kill();
    await closeAll();
  });
});
