import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

import type { BackendSpec, OpenOptions, ServiceSpec } from '../../lib';
import { formatEndpoint } from '../../lib/address';
import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import type { Endpoint } from '../support/cluster/exchange';
import { smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import { run } from '../support/cluster/shell';
import { useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { backendsOf, both } from './ways';

const clusterIP: Endpoint = { address: '10.96.0.1', port: 80 };
const econnaborted = 103;

describe('what comes of backends besides what is desired', () => {
  const cluster = useTwoNodes();
  let stateDir: string;
  let one: BackendSpec;
  let other: BackendSpec;

  beforeEach(() => {
    stateDir = mkdtempSync(path.join(tmpdir(), 'bpf-lb-killed-'));
    cluster.cleanupEach.add(() => {
      run(['umount', stateDir]);
      rmSync(stateDir, { recursive: true });
    });
    [one, other] = backendsOf(cluster.pods.slice(0, 2), cluster.nodes[0], 4) as [BackendSpec, BackendSpec];
  });

  /** In a process of its own, which can be killed. The last one of a test ends in order. */
  async function open(options: OpenOptions = {}) {
    const [node] = cluster.nodes;
    const killed = new Cleanup();
    cluster.cleanupEach.add(() => killed.run());
    const agent = await start<NodeFunctions>(killed, { namespace: node.namespace }, 'agent.ts');
    const id = await agent.open({ cgroup: node.cgroup, capacity: smallCapacity, stateDir, ...options });
    return { agent, id, kill: () => killed.run(), close: () => agent.close(id) };
  }

  const web = (backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}): ServiceSpec => ({
    name: 'web',
    frontends: both({ type: 'ClusterIP', ...clusterIP }),
    backends,
    ...more,
  });

  const endpointOf = ({ address, port }: BackendSpec) => formatEndpoint(address, port);

  async function connect(times: number): Promise<{ id: number; server: string }[]> {
    const peer = await cluster.nodes[0].pods[1].peer();
    const held = await Promise.all(Array.from({ length: times }, () => peer.open(clusterIP)));
    for (const { id } of held) cluster.cleanupEach.add(() => peer.dropConnection(id).catch(() => undefined));
    return held;
  }

  async function drop(some: readonly { id: number }[]): Promise<void> {
    const peer = await cluster.nodes[0].pods[1].peer();
    for (const { id } of some) await peer.dropConnection(id);
  }

  it('a backend drains on when the process is killed, and the next one counts what is open', async () => {
    const first = await open();
    await first.agent.upsertService(first.id, web([one]));
    const held = await connect(5);
    await first.agent.upsertService(first.id, web([one, other]));
    const waiting = assert.rejects(
      first.agent.drain(first.id, 'web', endpointOf(one), { deadline: Infinity }),
    );
    await eventually(async () => assert.match(await first.agent.formatServices(first.id), /\(draining\)/));
    await first.kill();
    await waiting;
    const later = await connect(20);
    assert.ok(later.every(({ server }) => server === cluster.pods[1]?.name));
    await drop(held.slice(0, 2));

    const second = await open();
    assert.match(await second.agent.formatServices(second.id), /\(draining\)/);
    assert.equal(await second.agent.drain(second.id, 'web', endpointOf(one), { deadline: 0 }), 3);
    const { backends } = await second.agent.upsertService(second.id, web([one, other]));
    assert.deepEqual(
      backends.map(({ draining }) => draining),
      [true, false],
    );
    assert.ok((await connect(20)).every(({ server }) => server === cluster.pods[1]?.name));
    const drained = second.agent.drain(second.id, 'web', endpointOf(one), { deadline: 20_000 });
    await drop(held.slice(2));
    assert.equal(await drained, 0);
    await second.close();
  });

  it('a slow start goes on where it was when the process is killed', async () => {
    const slowStart = 6;
    const stepAt = (seconds: number) =>
      Math.min(10, 1 + Math.floor((Math.max(0, seconds) / slowStart) * 10)) / 10;
    const first = await open();
    await first.agent.upsertService(first.id, web([one], { slowStart }));
    const before = performance.now();
    const joined = await first.agent.upsertService(first.id, web([one, other], { slowStart }));
    const after = performance.now();
    assert.equal(joined.backends[1]?.share, 0.1);
    await first.kill();
    await setTimeout(2000);

    const second = await open();
    const least = stepAt((performance.now() - after) / 1000 - 0.01);
    /* As it was written last, until it is written again. */
    let shares = [1, 0.1];
    while (shares[1] === 0.1) {
      const { backends } = await second.agent.upsertService(second.id, web([one, other], { slowStart }));
      shares = backends.map(({ share }) => share);
    }
    const most = stepAt((performance.now() - before) / 1000 + 0.01);
    const [settled, share = 0] = shares;
    assert.ok(least >= 0.4 && share >= least && share <= most, `${share}, not ${least} to ${most}`);
    assert.equal(settled, 1);
    await eventually(async () => {
      const { agent, id } = second;
      const service = await agent.upsertService(id, web([one, other], { slowStart }));
      assert.equal(service.backends[1]?.share, 1);
    });
    await second.close();
  });

  /** The sockets among the live counts of least connections, of all backends. */
  function liveCounts(): number {
    const [generation = ''] = readdirSync(stateDir).filter((name) => /^\d+$/.test(name));
    const pin = path.join(stateDir, generation, 'loads');
    const entries = JSON.parse(run(['bpftool', '-j', 'map', 'dump', 'pinned', pin])) as { value: string[] }[];
    return entries.reduce(
      (sum, { value }) => sum + Buffer.from(value.slice(0, 4).map(Number)).readInt32LE(),
      0,
    );
  }

  it('live counts are those of the sockets that are open, after connections came and went without a process', async () => {
    const first = await open();
    await first.agent.upsertService(first.id, web([one, other], { algorithm: 'least-connections' }));
    const held = await connect(20);
    assert.equal(liveCounts(), 20);
    await first.kill();
    await drop(held.slice(0, 12));
    await connect(5);
    await eventually(() => assert.equal(liveCounts(), 13));
    const second = await open();
    assert.equal(liveCounts(), 13);
    const counts = await second.agent.connections(second.id, 'web');
    assert.equal(
      counts.reduce((sum, { sockets }) => sum + sockets, 0),
      13,
    );
    const more = await connect(10);
    await drop(more);
    await eventually(() => assert.equal(liveCounts(), 13));
    await second.close();
  });

  /**
   * A connected datagram socket in a network namespace that nobody finds, because nobody is in it. `reveal` puts a process
   * there; `failure` resolves with the errno that it has met.
   */
  async function hiddenSocket() {
    const script = path.join(__dirname, 'hidden-socket.py');
    const client = spawn('python3', [script, cluster.nodes[0].cgroup, clusterIP.address, '80'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(client, 'exit');
    cluster.cleanupEach.add(async () => {
      client.stdin.end();
      await exited;
    });
    const lines = createInterface(client.stdout)[Symbol.asyncIterator]();
    const answer = async () => Number((await lines.next()).value);
    const namespace = `/proc/${client.pid}/fd/${await answer()}`;
    const reveal = () => {
      const visitor = spawn('nsenter', [`--net=${namespace}`, 'sleep', '60'], { stdio: 'ignore' });
      const gone = once(visitor, 'exit');
      cluster.cleanupEach.add(async () => {
        visitor.kill();
        await gone;
      });
    };
    const failure = () => {
      client.stdin.write('\n');
      return answer();
    };
    return { reveal, failure };
  }

  it('a socket whose backend went unnoticed is found by the next look', async () => {
    const { agent, id, close } = await open({ socketReconcilePeriod: 200 });
    await agent.upsertService(id, web([one]));
    const { reveal, failure } = await hiddenSocket();
    await agent.upsertService(id, web([other]));
    await setTimeout(600);
    assert.equal(await failure(), 0);
    reveal();
    await eventually(async () => assert.equal((await agent.destroyedSockets(id)).length, 1));
    assert.equal(await failure(), econnaborted);
    await close();
  });

  it('a socket whose backend went before the process was killed is found when the next one opens', async () => {
    const first = await open({ socketReconcilePeriod: 0 });
    await first.agent.upsertService(first.id, web([one]));
    const { reveal, failure } = await hiddenSocket();
    await first.agent.upsertService(first.id, web([other]));
    await first.kill();
    assert.equal(await failure(), 0);
    reveal();
    const second = await open({ socketReconcilePeriod: 0 });
    const destroyed = async () => second.agent.destroyedSockets(second.id);
    await eventually(async () => assert.equal((await destroyed()).length, 1));
    const [{ backend, service, count } = {}] = await destroyed();
    assert.deepEqual([backend, service, count], [{ address: one.address, port: one.port }, 'web', 1]);
    assert.equal(await failure(), econnaborted);
    await second.close();
  });

  describe('UDP flows from outside, when the process is killed', () => {
    const nodePort = 30_089;
    const dns = (backends: readonly BackendSpec[]): ServiceSpec => ({
      name: 'dns',
      frontends: [{ type: 'NodePort', port: nodePort, protocol: 'UDP' }],
      backends,
    });
    const options = { socketLB: false, devices: ['eth0'], socketReconcilePeriod: 0 } as const;

    /** The same client again and again: who answers it. */
    async function ask(localPort: number): Promise<string> {
      const peer = await cluster.client.peer();
      const to = { address: cluster.nodes[0].addresses[4], port: nodePort };
      return (await peer.connectedUdp(to, { type: 'udp4', localPort, timeout: 1000 })).server;
    }

    const [before, after] = [0, 1].map((i) => () => cluster.pods[i]!.name) as [() => string, () => string];

    it('stay, and leave a backend that the next process removes', async () => {
      const first = await open(options);
      await first.agent.upsertService(first.id, dns([one]));
      assert.equal(await ask(21_501), before());
      await first.kill();
      assert.equal(await ask(21_501), before());
      const second = await open(options);
      await second.agent.upsertService(second.id, dns([one, other]));
      for (let i = 0; i < 5; i++) assert.equal(await ask(21_501), before());
      await second.agent.upsertService(second.id, dns([other]));
      await eventually(async () => assert.equal(await ask(21_501), after()));
      await second.close();
    });

    it('leave a backend that went while nobody looked after them, when the next process opens', async () => {
      const first = await open(options);
      await first.agent.upsertService(first.id, dns([one]));
      assert.equal(await ask(21_502), before());
      await first.kill();
      /* Without devices there are no packets, and no look at flows when backends change. */
      const second = await open({ ...options, devices: [] });
      await second.agent.upsertService(second.id, dns([other]));
      await second.kill();
      const third = await open(options);
      await eventually(async () => assert.equal(await ask(21_502), after()));
      await third.close();
    });
  });
});
