import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { BackendSpec, ServiceSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import type { FlowEntry, Sent } from './bulk';
import { Harness } from './harness';
import type { Packet } from './packets';
import { backendOf, passed, request, requests, Traffic } from './traffic';

const backend = (last: number, changes: Partial<BackendSpec> = {}): BackendSpec => ({
  address: `10.244.2.${last}`,
  port: 8080,
  ...changes,
});

function service(backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name: 'web',
    frontends: [{ type: 'NodePort', port: 30001 }],
    backends,
    algorithm: 'least-connections',
    ...more,
  };
}

describe('program: least connections', function () {
  let harness: Harness;
  let traffic: Traffic;
  /** The longest lifetime of a TCP flow. */
  let longest: number;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  async function open(lifetime = 8000): Promise<void> {
    longest = lifetime;
    harness = await Harness.open({ flowLifetimes: { established: lifetime, halfClosed: lifetime } });
    traffic = new Traffic(harness);
  }

  afterEach(async () => {
    await harness?.close();
    harness = undefined as never;
  });

  /** Live connections of each backend that has any. */
  async function loads(): Promise<Record<string, number>> {
    const found = await harness.call('loads', longest);
    return Object.fromEntries(
      found.filter(({ count }) => count > 0).map(({ backend, count }) => [backend, count]),
    );
  }

  it('counts a connection from when it is open until both sides have finished', async () => {
    await open();
    await harness.call('put', service([backend(2)]));
    const all = requests(10);
    const there = passed(await traffic.send(all, 'S'));
    passed(await traffic.answer(there, 'SA'));
    assert.deepEqual(await loads(), {}, 'nobody has shown that its address is its own');
    passed(await traffic.send(all, 'A'));
    assert.deepEqual(await loads(), { '10.244.2.2:8080': 10 });
    passed(await traffic.send(all.slice(0, 4), 'FA'));
    assert.deepEqual(await loads(), { '10.244.2.2:8080': 10 });
    passed(await traffic.answer(there.slice(0, 4), 'FA'));
    assert.deepEqual(await loads(), { '10.244.2.2:8080': 6 });
  });

  it('counts return to zero after FIN and RST, from either side', async () => {
    await open();
    await harness.call('put', service([backend(2), backend(3), backend(4)]));
    const all = requests(90);
    const sent = await traffic.connect(all);
    assert.equal(
      Object.values(await loads()).reduce((a, b) => a + b, 0),
      90,
    );
    await traffic.finish(all.slice(0, 30));
    await traffic.send(all.slice(30, 60), 'R');
    await traffic.answer(sent.slice(60), 'RA');
    assert.deepEqual(await loads(), {});
    /* What follows changes nothing. */
    await traffic.send(all, 'FA');
    await traffic.answer(sent, 'R');
    await traffic.send(all, 'R');
    assert.deepEqual(await loads(), {});
  });

  it('counts return to zero after silent expiry, also of what was evicted', async () => {
    await open(2);
    await harness.call('put', service([backend(2), backend(3)]));
    await traffic.connect(requests(50));
    await harness.call('discard', (await harness.call('entries', '4')).slice(0, 30));
    await sleep(5000);
    assert.deepEqual(await loads(), {});
  });

  it('a connection that lives on is counted on', async () => {
    await open(2);
    await harness.call('put', service([backend(2)]));
    const all = requests(20);
    const sent = await traffic.connect(all);
    for (let i = 0; i < 8; i++) {
      await sleep(700);
      /* Both directions keep it alive. */
      if (i % 2) passed(await traffic.send(all, 'A'));
      else passed(await traffic.answer(sent, 'A'));
      assert.deepEqual(await loads(), { '10.244.2.2:8080': 20 });
    }
  });

  it('a handshake that takes its time is counted once, and what comes to nothing never', async () => {
    await open();
    await harness.call('put', service([backend(2)]));
    const tuple = request();
    const [there] = passed(await traffic.send([tuple, request({ sourcePort: 50_000 })], 'S'));
    /* Flows are looked after once a second. */
    await sleep(1100);
    passed(await traffic.send([tuple, request({ sourcePort: 50_000 })], 'S'));
    await sleep(1100);
    passed(await traffic.answer([there as Sent], 'SA'));
    assert.deepEqual(await loads(), {});
    await sleep(1100);
    passed(await traffic.send([tuple], 'A'));
    assert.deepEqual(await loads(), { '10.244.2.2:8080': 1 });
  });

  it('fewer connections win', async () => {
    await open();
    await harness.call('put', service([backend(2)]));
    await traffic.connect(requests(500, { sourcePort: 2000 }));
    await harness.call('put', service([backend(2), backend(3)]));
    /* The less loaded one wins unless both draws fall on the other: three times in four. */
    const sent = await traffic.connect(requests(400, { sourcePort: 4000 }));
    const won = sent.filter(({ destination }) => destination === '10.244.2.3').length;
    /* Mean 300, standard deviation 8.7; a fair choice has 200 and 10. */
    assert.ok(won > 250, `${won} of 400`);
  });

  it('evens out what has come to differ', async () => {
    await open();
    const backends = [2, 3, 4, 5].map((last) => backend(last));
    await harness.call('put', service(backends.slice(0, 1)));
    await traffic.connect(requests(100, { sourcePort: 2000 }));
    await harness.call('put', service(backends));
    /* One connection after the other, each of which finds the last one counted. */
    for (let i = 0; i < 50; i++) await traffic.connect(requests(20, { sourcePort: 4000 + 20 * i }));
    const counts = Object.values(await loads());
    assert.equal(counts.length, 4);
    /* All within a few of 275 where the difference is made up; by random choice the first has 350. */
    for (const count of counts) assert.ok(Math.abs(count - 275) < 40, counts.join(' '));
  });

  it('a backend that many connections have left is chosen again', async () => {
    await open();
    await harness.call('put', service([backend(2)]));
    const old = requests(500, { sourcePort: 2000 });
    await traffic.connect(old);
    await harness.call('put', service([backend(3)]));
    await traffic.connect(requests(250, { sourcePort: 4000 }));
    await traffic.send(old, 'R');
    await harness.call('put', service([backend(2), backend(3)]));
    const sent = await traffic.connect(requests(200, { sourcePort: 5000 }));
    const won = sent.filter(({ destination }) => destination === '10.244.2.2').length;
    /* Mean 150, standard deviation 6.1; a fair choice has 100 and 7.1. */
    assert.ok(won > 125, `${won} of 200`);
  });

  it('weights are what two draws are made by', async () => {
    await open();
    await harness.call(
      'put',
      service([backend(2, { weight: 9 }), backend(3, { weight: 1 }), backend(4, { weight: 0 })]),
    );
    /* Without answers nothing is counted, so that each is the first. */
    const sent = passed(await traffic.send(requests(2000), 'S'));
    const first = sent.filter(({ destination }) => destination === '10.244.2.2').length;
    /* Nine in ten: mean 1800, standard deviation 13.4. */
    assert.ok(Math.abs(first - 1800) < 80, `${first} of 2000`);
    assert.ok(sent.every(({ destination }) => destination !== '10.244.2.4'));
  });

  it('is never wrong after churn: any sequence of beginnings and ends against a model', async () => {
    await open();
    const backends = [2, 3, 4, 5, 6].map((last) => backend(last));
    await harness.call('put', service(backends));
    /** What is counted, by the port of the client. */
    const model = new Map<number, { packet: Packet; sent: Sent }>();
    /** Connections that were evicted: counted until they would have expired, by their backends. */
    const lost: string[] = [];
    const random = (below: number) => Math.floor(Math.random() * below);
    const some = () => [...model.values()].filter(() => random(4) === 0);
    const forget = (list: readonly { packet: Packet }[]) =>
      list.forEach(({ packet }) => model.delete(packet.sourcePort));
    const entriesOf = async (list: readonly { packet: Packet }[], which: (entry: FlowEntry) => boolean) => {
      const ports = new Set(list.map(({ packet }) => packet.sourcePort));
      const entries = await harness.call('entries', '4');
      return entries.filter(
        (entry) => which(entry) && ports.has(entry.reply ? entry.to.destinationPort : entry.sourcePort),
      );
    };

    const steps: Record<string, () => Promise<unknown>> = {
      open: async () => {
        const free = Array.from({ length: 400 }, (_, i) => 2000 + i).filter((port) => !model.has(port));
        const packets = free.filter(() => random(4) === 0).map((sourcePort) => request({ sourcePort }));
        const sent = await traffic.connect(packets);
        packets.forEach((packet, i) => model.set(packet.sourcePort, { packet, sent: sent[i] as Sent }));
      },
      talk: async () => {
        const list = some();
        passed(
          await traffic.send(
            list.map(({ packet }) => packet),
            'PA',
          ),
        );
        passed(
          await traffic.answer(
            list.map(({ sent }) => sent),
            'A',
          ),
        );
      },
      'begin, and no more': () => {
        const packets = requests(20, { sourcePort: 10_000 + random(5000) });
        return traffic.send(packets, 'S');
      },
      'repeat the first packet': async () => {
        const list = some();
        const again = passed(
          await traffic.send(
            list.map(({ packet }) => packet),
            'S',
          ),
        );
        assert.deepEqual(
          again,
          list.map(({ sent }) => sent),
        );
      },
      finish: async () => {
        const list = some();
        await traffic.finish(list.map(({ packet }) => packet));
        forget(list);
      },
      'finish halfway': async () => {
        passed(
          await traffic.send(
            some().map(({ packet }) => packet),
            'FA',
          ),
        );
      },
      'reset by the client': async () => {
        const list = some();
        await traffic.send(
          list.map(({ packet }) => packet),
          'R',
        );
        forget(list);
      },
      'reset by the backend': async () => {
        const list = some();
        await traffic.answer(
          list.map(({ sent }) => sent),
          'RA',
        );
        await traffic.answer(
          list.map(({ sent }) => sent),
          'RA',
        );
        forget(list);
      },
      'evict both directions': async () => {
        const list = some().slice(0, 10);
        await harness.call('discard', await entriesOf(list, () => true));
        forget(list);
        lost.push(...list.map(({ sent }) => backendOf(sent)));
      },
      'evict the reply, and reset by the client': async () => {
        const list = some().slice(0, 10);
        await harness.call('discard', await entriesOf(list, ({ reply }) => reply));
        await traffic.send(
          list.map(({ packet }) => packet),
          'R',
        );
        forget(list);
      },
      'evict the request, and reset by the backend': async () => {
        const list = some().slice(0, 10);
        await harness.call('discard', await entriesOf(list, ({ reply }) => !reply));
        await traffic.answer(
          list.map(({ sent }) => sent),
          'R',
        );
        forget(list);
      },
      'change the backends': () =>
        harness.call('put', service(backends.filter((_, i) => i === 0 || random(3) > 0))),
    };

    const names = Object.keys(steps);
    const done: string[] = [];
    for (let i = 0; i < 150; i++) {
      const name = i === 0 ? 'open' : (names[random(names.length)] as string);
      /* What has no backend any more begins anew with its first packet: that is for other tests. */
      if (name === 'repeat the first packet') await harness.call('put', service(backends));
      await steps[name]?.();
      done.push(name);
      const wanted: Record<string, number> = {};
      for (const address of [...lost, ...[...model.values()].map(({ sent }) => backendOf(sent))])
        wanted[address] = (wanted[address] ?? 0) + 1;
      assert.deepEqual(
        new Map(Object.entries(await loads()).sort()),
        new Map(Object.entries(wanted).sort()),
        done.slice(-5).join('; '),
      );
    }
    const rest = [...model.values()].map(({ packet }) => packet);
    await traffic.send(rest, 'R');
    const left: Record<string, number> = {};
    for (const address of lost) left[address] = (left[address] ?? 0) + 1;
    assert.deepEqual(await loads(), left);
  });
});
