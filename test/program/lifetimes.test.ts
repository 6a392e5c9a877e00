import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { BackendSpec, ServiceSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import type { FlowEntry } from './bulk';
import { Harness, verdicts } from './harness';
import type { Packet } from './packets';
import { passed, request, Traffic } from './traffic';

const [old, other] = ['10.244.2.2', '10.244.2.3'] as const;

function service(
  backends: readonly (Partial<BackendSpec> & { address: string })[],
  more: Partial<ServiceSpec> = {},
) {
  return {
    name: 'web',
    frontends: (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({
      type: 'NodePort' as const,
      port: 30001,
      protocol,
    })),
    backends: backends.map((backend) => ({ port: 8080, ...backend })),
    ...more,
  };
}

describe('program: lifetimes', function () {
  let harness: Harness;
  let traffic: Traffic;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  async function open(...options: Parameters<typeof Harness.open>): Promise<void> {
    harness = await Harness.open(...options);
    traffic = new Traffic(harness);
    await harness.call('put', service([{ address: old }]));
  }

  afterEach(async () => {
    await harness?.close();
    harness = undefined as never;
  });

  const packets = {
    opening: request({ sourcePort: 41_001 }),
    established: request({ sourcePort: 41_002 }),
    halfClosed: request({ sourcePort: 41_003 }),
    closing: request({ sourcePort: 41_004 }),
    datagram: request({ sourcePort: 41_005, protocol: 'UDP' }),
  };

  /** A flow in each state. */
  async function begin(): Promise<void> {
    await traffic.sendOne(packets.opening, 'S');
    await traffic.connect([packets.established, packets.halfClosed, packets.closing, packets.datagram]);
    await traffic.sendOne(packets.halfClosed, 'FA');
    await traffic.finish([packets.closing]);
  }

  /** The backend that the next packet of each flow is given. */
  async function backends(): Promise<Record<string, string>> {
    const flags = { opening: 'S', established: 'A', halfClosed: 'A', closing: 'A', datagram: 'A' };
    const found: Record<string, string> = {};
    for (const [state, packet] of Object.entries(packets)) {
      const sent = await traffic.sendOne(packet, flags[state as keyof typeof flags]);
      found[state] = sent.destination;
    }
    return found;
  }

  it('each state has a lifetime of its own, which both directions have', async () => {
    const flowLifetimes = { opening: 110, established: 550, halfClosed: 440, closing: 220, datagram: 330 };
    await open({ flowLifetimes });
    await begin();
    const entries = (await harness.call('entries', '4')).filter(({ left }) => left >= 0);
    for (const [state, { sourcePort }] of Object.entries(packets)) {
      const forward = entries.filter((entry) => !entry.reply && entry.sourcePort === sourcePort);
      const reply = entries.filter((entry) => entry.reply && entry.to.destinationPort === sourcePort);
      assert.deepEqual([forward.length, reply.length], [1, 1], state);
      const lifetime = flowLifetimes[state as keyof typeof flowLifetimes];
      for (const { left } of [...forward, ...reply])
        assert.ok(left <= lifetime && left > lifetime - 10, `${state}: ${left} of ${lifetime} s are left`);
    }
  });

  it('lifetimes are settable, and end: opening, closing, datagrams', async () => {
    await open({ flowLifetimes: { opening: 1, established: 9, halfClosed: 9, closing: 1, datagram: 1 } });
    await begin();
    await harness.call('put', service([{ address: other }]));
    await sleep(2500);
    assert.deepEqual(await backends(), {
      opening: other,
      established: old,
      halfClosed: old,
      closing: other,
      datagram: other,
    });
  });

  it('lifetimes are settable, and end: established, half-closed', async () => {
    await open({ flowLifetimes: { opening: 9, established: 1, halfClosed: 1, closing: 9, datagram: 9 } });
    await begin();
    await harness.call('put', service([{ address: other }, { address: old, weight: 0 }]));
    await sleep(2500);
    assert.deepEqual(await backends(), {
      /* Not over; but its SYN, which comes again, finds that its backend is not on offer any more. */
      opening: other,
      established: other,
      halfClosed: other,
      closing: old,
      datagram: old,
    });
  });

  it('what is over is taken over in place: nothing walks the table', async () => {
    await open({ snatPorts: [50_000, 50_000], flowLifetimes: { datagram: 1 } });
    const first = await traffic.sendOne(request({ protocol: 'UDP', sourcePort: 1024 }));
    assert.equal(first.retval, verdicts.redirect);
    await sleep(2500);
    const living = (entry: FlowEntry) => entry.left >= 0;
    const before = await harness.call('entries', '4');
    assert.deepEqual([before.length, before.filter(living).length], [2, 0]);
    const second = await traffic.sendOne(
      request({ protocol: 'UDP', source: '203.0.113.3', sourcePort: 1024 }),
    );
    assert.deepEqual([second.retval, second.sourcePort], [verdicts.redirect, 50_000]);
    const after = await harness.call('entries', '4');
    const reply = after.filter((entry) => living(entry) && entry.reply);
    assert.deepEqual([after.length, reply.length, reply[0]?.to.destination], [3, 1, '203.0.113.3']);
  });

  describe('a TCP connection', () => {
    const tuple = request({ sourcePort: 41_000 });

    beforeEach(() => open({ snatPorts: [50_000, 50_999] }));

    const ends: Record<string, () => Promise<unknown>> = {
      'both sides finished': () => traffic.finish([tuple]),
      'its client reset': () => traffic.sendOne(tuple, 'R'),
      'its backend reset': async () => traffic.answer([await traffic.sendOne(tuple, 'PA')], 'R'),
    };
    for (const [how, end] of Object.entries(ends)) {
      it(`that ${how} is opened again on the same tuple, by a new choice`, async () => {
        await traffic.connect([tuple]);
        await end();
        await harness.call('put', service([{ address: other }]));
        const again = passed(await traffic.connect([tuple]));
        assert.equal(again[0]?.destination, other);
        const living = (await harness.call('entries', '4')).filter(({ left }) => left >= 0);
        assert.equal(living.length, 2, 'of the old one nothing is left');
      });
    }

    it('that is half-closed goes on in the other direction until that is closed, too', async () => {
      await traffic.connect([tuple]);
      const sent = await traffic.sendOne(tuple, 'FA');
      for (let i = 0; i < 3; i++) {
        passed(await traffic.answer([sent], 'PA'));
        assert.deepEqual(await traffic.sendOne(tuple, 'A'), sent);
      }
      const states = async () => {
        const entries = await harness.call('entries', '4');
        return entries.filter(({ left }) => left >= 0).map(({ state }) => state);
      };
      assert.deepEqual(await states(), ['HALF_CLOSED', 'HALF_CLOSED']);
      passed(await traffic.answer([sent], 'FA'));
      assert.deepEqual(await states(), ['CLOSING', 'CLOSING']);
      assert.deepEqual(await traffic.sendOne(tuple, 'A'), sent, 'the last acknowledgement finds its way');
    });

    it('goes on while its backend terminates; a SYN on its tuple picks another one', async () => {
      await traffic.connect([tuple]);
      await harness.call('put', service([{ address: old, state: 'terminating' }, { address: other }]));
      const sent = await traffic.sendOne(tuple, 'PA');
      assert.equal(sent.destination, old);
      assert.equal(passed(await traffic.answer([sent], 'A')).length, 1);
      assert.equal((await traffic.sendOne(tuple, 'S')).destination, other);
      assert.equal((await traffic.sendOne(tuple, 'A')).destination, other);
    });

    for (const [what, backends] of [
      ['is quarantined', [{ address: old, state: 'quarantined' as const }, { address: other }]],
      ['is under maintenance', [{ address: old, state: 'maintenance' as const }, { address: other }]],
      ['has no weight any more', [{ address: old, weight: 0 }, { address: other }]],
      ['is removed', [{ address: other }]],
    ] as const) {
      it(`goes on when its backend ${what}; a SYN on its tuple picks another one`, async () => {
        await traffic.connect([tuple]);
        await harness.call('put', service(backends));
        assert.equal((await traffic.sendOne(tuple, 'PA')).destination, old);
        assert.equal((await traffic.sendOne(tuple, 'S')).destination, other);
      });
    }

    it('whose backend is still on offer is not harmed by a duplicated SYN', async () => {
      const [sent] = await traffic.connect([tuple]);
      const many = Array.from({ length: 40 }, (_, i) => ({ address: `10.244.2.${i + 3}` }));
      await harness.call('put', service([...many, { address: old }]));
      for (let i = 0; i < 20; i++) assert.deepEqual(await traffic.sendOne(tuple, 'S'), sent);
      assert.deepEqual(await traffic.sendOne(tuple, 'PA'), sent);
      assert.equal((await harness.call('counters')).FLOW_CREATED, 1);
    });

    it('that terminates alone keeps its backend: nobody else could serve it', async () => {
      const [sent] = await traffic.connect([tuple]);
      await harness.call('put', service([{ address: old, state: 'terminating' }]));
      assert.deepEqual(await traffic.sendOne(tuple, 'S'), sent);
    });

    it('that is not open yet is tried elsewhere when its backend goes', async () => {
      assert.equal((await traffic.sendOne(tuple, 'S')).destination, old);
      assert.equal((await traffic.sendOne(tuple, 'S')).destination, old);
      await harness.call('put', service([{ address: other }]));
      assert.equal((await traffic.sendOne(tuple, 'S')).destination, other);
      const living = (await harness.call('entries', '4')).filter(({ left }) => left >= 0);
      assert.equal(living.length, 2, 'of the first try nothing is left');
    });

    it('to a service that is gone goes on, and a SYN on its tuple begins none', async () => {
      await traffic.connect([tuple]);
      await harness.call('remove', 'web');
      assert.equal((await traffic.sendOne(tuple, 'PA')).destination, old);
      const { retval, destination } = await traffic.sendOne(tuple, 'S');
      assert.deepEqual([retval, destination], [verdicts.next, tuple.destination]);
    });
  });

  it('an SCTP association that begins on an old tuple chooses again when its backend has gone', async () => {
    await open();
    const tuple: Packet = { ...request({ sourcePort: 41_000 }), protocol: 'SCTP' };
    assert.equal((await traffic.sendOne({ ...tuple, chunk: 'INIT' })).destination, old);
    await harness.call('put', service([{ address: other }]));
    assert.equal((await traffic.sendOne({ ...tuple, chunk: 'DATA' })).destination, old);
    assert.equal((await traffic.sendOne({ ...tuple, chunk: 'INIT' })).destination, other);
  });

  describe('a TCP segment without a flow', () => {
    const tuple = request({ sourcePort: 41_000 });
    const two = [{ address: old }, { address: other }];

    beforeEach(() => open({ snatPorts: [50_000, 50_999] }));

    it('goes where it must have gone before when there is one backend', async () => {
      const sent = await traffic.sendOne(tuple, 'PA');
      assert.deepEqual([sent.retval, sent.destination], [verdicts.redirect, old]);
      passed(await traffic.answer([sent], 'A'));
    });

    it('goes where it must have gone before when the service is a Maglev one', async () => {
      await harness.call('put', service(two, { algorithm: 'maglev' }));
      const clients = Array.from({ length: 40 }, (_, i) => request({ sourcePort: 41_000 + i }));
      const opened = passed(await traffic.send(clients, 'S'));
      await harness.call('discard', await harness.call('entries', '4'));
      const resumed = passed(await traffic.send(clients, 'PA'));
      assert.equal(new Set(opened.map(({ destination }) => destination)).size, 2);
      assert.deepEqual(
        resumed.map(({ destination }) => destination),
        opened.map(({ destination }) => destination),
      );
    });

    it('goes where its client is pinned by session affinity', async () => {
      await harness.call('put', service(two, { sessionAffinity: 'ClientIP' }));
      const { destination } = await traffic.sendOne(request({ sourcePort: 42_000 }), 'S');
      const sent = await traffic.sendOne(tuple, 'PA');
      assert.deepEqual([sent.retval, sent.destination], [verdicts.redirect, destination]);
    });

    it('is not sent to a random backend: it is reset', async () => {
      for (const more of [{}, { algorithm: 'least-connections' }, { sessionAffinity: 'ClientIP' }] as const) {
        await harness.call('put', service(two, more));
        const { retval, valid, ...sent } = await traffic.sendOne(tuple, 'PA');
        assert.deepEqual([retval, valid], [verdicts.redirect, true]);
        assert.deepEqual(sent, {
          source: tuple.destination,
          sourcePort: tuple.destinationPort,
          destination: tuple.source,
          destinationPort: tuple.sourcePort,
          protocol: 'TCP',
        });
      }
      assert.equal((await harness.call('counters')).REJECT_NO_FLOW, 3);
      assert.deepEqual(await harness.call('entries', '4'), []);
    });
  });
});
