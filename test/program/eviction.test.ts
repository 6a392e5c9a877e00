import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { skip } from '../support/skip';
import type { FlowEntry } from './bulk';
import { families } from './families';
import { Harness, verdicts } from './harness';
import { passed, request, requests, Traffic } from './traffic';

const nodePort = (name: string, port: number, ...addresses: string[]) => ({
  name,
  frontends: [{ type: 'NodePort' as const, port }],
  backends: addresses.map((address) => ({ address, port: 8080 })),
});

/** Without what time changes. */
const lasting = (entry: FlowEntry): FlowEntry => ({ ...entry, left: 0 });

const byKey = (a: FlowEntry, b: FlowEntry) => (a.key < b.key ? -1 : 1);

describe('program: eviction', function () {
  let harness: Harness;
  let traffic: Traffic;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  async function open(flows: number): Promise<void> {
    harness = await Harness.open({ capacity: { flows } });
    traffic = new Traffic(harness);
    await harness.call('put', nodePort('web', 30001, families.IPv4.remote, families.IPv6.remote));
    await harness.call('put', nodePort('other', 30002, '10.244.2.3'));
  }

  afterEach(async () => {
    await harness?.close();
    harness = undefined as never;
  });

  for (const [name, f] of Object.entries(families)) {
    const version = name === 'IPv4' ? '4' : '6';
    const tuple = request({ source: f.client, destination: f.node });

    for (const direction of ['reply', 'request'] as const) {
      it(`the ${direction} entry of an active flow that was evicted is restored as it was: ${name}`, async () => {
        await open(1024);
        const [sent] = await traffic.connect([tuple]);
        assert.ok(sent);
        const before = (await harness.call('entries', version)).filter(({ left }) => left >= 0);
        assert.equal(before.length, 2);
        await harness.call(
          'discard',
          before.filter(({ reply }) => reply === (direction === 'reply')),
        );
        /* Entries are looked after once a second. */
        await sleep(1100);
        if (direction === 'reply') assert.deepEqual(await traffic.sendOne(tuple, 'A'), sent);
        else passed(await traffic.answer([sent], 'A'));
        const after = (await harness.call('entries', version)).filter(({ left }) => left >= 0);
        assert.deepEqual(after.sort(byKey).map(lasting), before.sort(byKey).map(lasting));
        assert.equal((await harness.call('counters')).FLOW_REPAIRED, 1);
        assert.deepEqual(await traffic.sendOne(tuple, 'A'), sent);
        const [back] = passed(await traffic.answer([sent], 'A'));
        assert.deepEqual([back?.destination, back?.destinationPort], [f.client, tuple.sourcePort]);
      });
    }
  }

  describe('under pressure, an active flow with SNAT', () => {
    const tuple = request();
    const flows = 4096;

    /** Connections to another backend, in use in both directions: a few of more than the table has room for. */
    let lastPort = 1024;
    const press = async () => {
      lastPort = lastPort > 30_000 ? 1024 : lastPort + 100;
      const some = requests(100, { destinationPort: 30002, sourcePort: lastPort });
      const opened = await traffic.connect(some);
      for (let i = 0; i < 2; i++) {
        await traffic.send(some, 'PA');
        await traffic.answer(opened, 'PA');
      }
    };

    /** The table has no room for all, and has lost some. */
    async function assertFull(): Promise<void> {
      const entries = (await harness.call('entries', '4')).filter(({ table }) => table === 'flows4');
      const { FLOW_CONFIRMED = 0 } = await harness.call('counters');
      assert.ok(
        2 * FLOW_CONFIRMED > flows && entries.length < 2 * FLOW_CONFIRMED,
        `${entries.length} entries`,
      );
    }

    it('keeps both directions when both are used', async () => {
      await open(flows);
      const [sent] = await traffic.connect([tuple]);
      assert.ok(sent);
      for (let i = 0; i < 50; i++) {
        await press();
        assert.deepEqual(await traffic.sendOne(tuple, 'PA'), sent);
        const [back] = passed(await traffic.answer([sent], 'PA'));
        assert.deepEqual([back?.destination, back?.destinationPort], [tuple.source, tuple.sourcePort]);
      }
      await assertFull();
    });

    for (const [who, whom] of [
      ['client', 'backend'],
      ['backend', 'client'],
    ]) {
      it(`keeps the ${whom}'s direction while the ${who} alone sends, however fast the table fills anew`, async () => {
        await open(flows);
        const [sent] = await traffic.connect([tuple]);
        assert.ok(sent);
        const request = async () => assert.deepEqual(await traffic.sendOne(tuple, 'PA'), sent);
        const reply = async () => {
          const [back] = passed(await traffic.answer([sent], 'PA'));
          assert.deepEqual([back?.destination, back?.destinationPort], [tuple.source, tuple.sourcePort]);
        };
        /* In each round twice as many entries as the table holds. */
        for (let round = 0; round < 4; round++) {
          for (let part = 0; part < 40; part++) {
            await press();
            await (who === 'client' ? request() : reply());
          }
          await (who === 'client' ? reply() : request());
        }
        await assertFull();
      });
    }
  });

  it('a new flow is there until its first answer comes, also when all others have just been answered', async () => {
    await open(1024);
    const invented = (i: number) =>
      request({ source: `203.0.113.${10 + (i % 200)}`, sourcePort: 2000 + Math.floor(i / 200) });
    const flood = Array.from({ length: 3000 }, (_, i) => invented(i));
    const sent = await traffic.send(flood, 'S');
    let lost = 0;
    for (let i = 3000; i < 4000; i++) {
      if (i % 100 === 0) await traffic.answer(sent, 'SA');
      const some = await traffic.send([invented(i)], 'S');
      const [answer] = await traffic.answer(some, 'SA');
      if (answer?.retval !== verdicts.redirect) lost++;
    }
    assert.equal(lost, 0);
  });

  it('a flood of SYNs from random sources at full table does not cut established flows', async () => {
    await open(4096);
    /* More than there is room for: those that the table has kept whole are the established flows. */
    const all = requests(3000, { sourcePort: 2000 });
    const opened = await traffic.connect(all);
    const whole = async () => {
      const entries = (await harness.call('entries', '4')).filter(({ table }) => table === 'flows4');
      const replies = new Set(entries.filter(({ reply }) => reply).map(({ to }) => to.destinationPort));
      const forward = entries.filter(({ reply, sourcePort }) => !reply && replies.has(sourcePort));
      return new Set(forward.map(({ sourcePort }) => sourcePort));
    };
    const before = await whole();
    assert.ok(before.size > 1000 && before.size < all.length, `${before.size} established flows`);
    const random = (below: number) => Math.floor(Math.random() * below);
    const flood = Array.from({ length: 40_000 }, () =>
      request({ source: `203.0.113.${10 + random(240)}`, sourcePort: 1024 + random(28_000) }),
    );
    const answered = (await traffic.send(flood, 'S')).filter(({ retval }) => retval === verdicts.redirect);
    /* The backend answers them all. */
    await traffic.answer(answered, 'SA');
    const after = await whole();
    const survivors = [...before].filter((port) => after.has(port)).length;
    console.log(
      `      established flows that survive ${answered.length} SYNs and their answers: ${survivors} of ${before.size}`,
    );
    assert.equal(survivors, before.size);
    const kept = all.filter(({ sourcePort }) => before.has(sourcePort));
    const sent = opened.filter((_, i) => before.has(all[i]?.sourcePort ?? 0));
    assert.deepEqual(passed(await traffic.send(kept, 'PA')), sent);
    const back = passed(await traffic.answer(sent, 'A'));
    assert.deepEqual(
      back.map(({ destination, destinationPort }) => [destination, destinationPort]),
      kept.map(({ source, sourcePort }) => [source, sourcePort]),
    );
  });
});
