import assert from 'node:assert/strict';

import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, buildMessage, messages, type Packet, withoutLink } from './packets';

const all = Object.values(families);

/** What an answer of the node looks like. */
const answer = { ttl: 64, id: 0, fragment: 0, fromNode: true } as const;

let lastPort = 1024;

const request = (f: FamilyAddresses, changes: Partial<Packet> = {}): Packet => ({
  source: f.client,
  sourcePort: ++lastPort,
  destination: f.vip,
  destinationPort: 80,
  protocol: 'TCP',
  ...changes,
});

describe('program: answers, byte for byte', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'] });
    const put = (name: string, port: number, backends: (f: FamilyAddresses) => readonly string[]) =>
      harness.call('put', {
        name,
        frontends: (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
          all.flatMap((f) => [
            { type: 'LoadBalancer' as const, address: f.vip, port, protocol },
            { type: 'ClusterIP' as const, address: f.clusterIP, port, protocol },
          ]),
        ),
        backends: all.flatMap((f) =>
          backends(f).map((address) => ({ address, port: 8080, local: address === f.local })),
        ),
      });
    await put('empty', 80, () => []);
    await put('pair', 81, (f) => [f.remote, f.local]);
    await put('remote', 82, (f) => [f.remote]);
    await put('local', 83, (f) => [f.local]);
  });

  after(() => harness?.close());

  /** The frame that comes back, after it was made sure that it is counted so. */
  async function answerTo(packet: Packet, reason: string, device = 'eth0'): Promise<Buffer> {
    let frame = Buffer.alloc(0);
    const counted = await harness.countedBy(async () => {
      const result = await harness.enter(device, build(packet));
      assert.equal(result.retval, verdicts.redirect);
      frame = result.frame;
    });
    assert.equal(counted[reason], 1, JSON.stringify(counted));
    return frame;
  }

  const resetOf = (packet: Packet, fields: Pick<Packet, 'flags'> & { seq: number; ack: number }) =>
    build({
      ...answer,
      source: packet.destination,
      destination: packet.source,
      sourcePort: packet.destinationPort,
      destinationPort: packet.sourcePort,
      protocol: 'TCP',
      window: 0,
      ...fields,
    });

  /** Fails unless the frame is this error, and quotes all of the packet that it has to. */
  function assertError(
    frame: Buffer,
    packet: Packet,
    from: string,
    error: { type: number; code: number; info?: number },
  ) {
    const v4 = packet.source.includes('.');
    const quoted = frame.subarray(14 + (v4 ? 20 : 40) + 8);
    const whole = withoutLink(packet);
    assert.ok(quoted.length >= Math.min(whole.length - 3, 500), `${quoted.length} of ${whole.length} bytes`);
    assertSameFrame(
      frame,
      buildMessage({
        ...answer,
        source: from,
        destination: packet.source,
        ...error,
        body: whole.subarray(0, quoted.length),
      }),
    );
  }

  describe('refusals', () => {
    for (const [name, f] of Object.entries(families)) {
      const payload = Buffer.from('twenty-three bytes long');

      it(`a SYN is answered with RST and ACK of what it takes: ${name}`, async () => {
        const packet = request(f, { flags: 'S', seq: 0x01020304 });
        assertSameFrame(
          await answerTo(packet, 'REJECT_NO_BACKEND'),
          resetOf(packet, { flags: 'RA', seq: 0, ack: 0x01020305 }),
        );
      });

      it(`a SYN with options and data is answered with RST and ACK of its data, too: ${name}`, async () => {
        const packet = request(f, {
          flags: 'S',
          seq: 1000,
          tcpOptions: Buffer.from('020405b401010402', 'hex'),
          payload,
        });
        assertSameFrame(
          await answerTo(packet, 'REJECT_NO_BACKEND'),
          resetOf(packet, { flags: 'RA', seq: 0, ack: 1001 + payload.length }),
        );
      });

      it(`what the link adds to a short frame is no data: ${name}`, async () => {
        const packet = request(f, { flags: 'S', seq: 1000 });
        const { frame } = await harness.enter('eth0', Buffer.concat([build(packet), Buffer.alloc(12)]));
        assertSameFrame(frame, resetOf(packet, { flags: 'RA', seq: 0, ack: 1001 }));
      });

      it(`sequence numbers wrap: ${name}`, async () => {
        const packet = request(f, { flags: 'S', seq: 0xffffffff });
        assertSameFrame(
          await answerTo(packet, 'REJECT_NO_BACKEND'),
          resetOf(packet, { flags: 'RA', seq: 0, ack: 0 }),
        );
      });

      it(`a segment with ACK is answered with RST where it left off: ${name}`, async () => {
        for (const flags of ['A', 'PA', 'SA', 'FA']) {
          const packet = request(f, { flags, seq: 77, ack: 0xfffefdfc, payload });
          assertSameFrame(
            await answerTo(packet, 'REJECT_NO_BACKEND'),
            resetOf(packet, { flags: 'R', seq: 0xfffefdfc, ack: 0 }),
          );
        }
      });

      it(`a FIN without ACK takes a sequence number: ${name}`, async () => {
        const packet = request(f, { flags: 'F', seq: 500 });
        assertSameFrame(
          await answerTo(packet, 'REJECT_NO_BACKEND'),
          resetOf(packet, { flags: 'RA', seq: 0, ack: 501 }),
        );
      });

      it(`who ends a connection gets no answer: ${name}`, async () => {
        const ends: Partial<Packet>[] = [
          { flags: 'R' },
          { flags: 'RA' },
          { protocol: 'SCTP', chunk: 'ABORT' },
          { protocol: 'SCTP', chunk: 'SHUTDOWN COMPLETE' },
        ];
        for (const end of ends) {
          const counted = await harness.countedBy(async () => {
            const { retval } = await harness.enter('eth0', build(request(f, end)));
            assert.equal(retval, verdicts.drop);
          });
          assert.deepEqual(counted, { REJECT_NO_BACKEND: 1 });
        }
      });

      it(`a segment of a connection that nobody remembers is answered with RST: ${name}`, async () => {
        const packet = request(f, { destinationPort: 81, flags: 'PA', ack: 4711, payload });
        assertSameFrame(
          await answerTo(packet, 'REJECT_NO_FLOW'),
          resetOf(packet, { flags: 'R', seq: 4711, ack: 0 }),
        );
      });

      it(`IP options do not disturb the answer: ${name}`, async () => {
        const packet = request(f, {
          flags: 'S',
          seq: 1000,
          payload,
          options: Buffer.from([7, 7, 4, 0, 0, 0, 0, 0]),
          extensions: [{ type: 'destination', length: 16 }],
        });
        assertSameFrame(
          await answerTo(packet, 'REJECT_NO_BACKEND'),
          resetOf(packet, { flags: 'RA', seq: 0, ack: 1001 + payload.length }),
        );
      });

      for (const protocol of ['UDP', 'SCTP'] as const) {
        it(`${protocol} is answered with port unreachable from the frontend: ${name}`, async () => {
          for (const length of [0, 1, 2, 3, 4, 23, 100, 455, 456, 457, 1000, 1400]) {
            const packet = request(f, { protocol, payload: Buffer.alloc(length, 0x5a) });
            const frame = await answerTo(packet, 'REJECT_NO_BACKEND');
            assertError(frame, packet, f.vip, messages[f.version].portUnreachable);
          }
        });
      }

      it(`an unknown port of a ClusterIP is refused in the same way: ${name}`, async () => {
        const to = { source: f.pod, destination: f.clusterIP, destinationPort: 99 };
        const stream = request(f, { ...to, seq: 1 });
        assertSameFrame(
          await answerTo(stream, 'REJECT_PORT', 'lxc0'),
          resetOf(stream, { flags: 'RA', seq: 0, ack: 2 }),
        );
        const datagram = request(f, { ...to, protocol: 'UDP', payload: Buffer.from('query') });
        const frame = await answerTo(datagram, 'REJECT_PORT', 'lxc0');
        assertError(frame, datagram, f.clusterIP, messages[f.version].portUnreachable);
      });
    }
  });

  describe('a packet that cannot go on', () => {
    for (const [name, f] of Object.entries(families)) {
      for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
        it(`whose time to live ends here: time exceeded from the device’s address: ${name} ${protocol}`, async () => {
          for (const destinationPort of [82, 83]) {
            const packet = request(f, { protocol, destinationPort, ttl: 1 });
            const frame = await answerTo(packet, 'DROP_TTL');
            assertError(frame, packet, f.node, messages[f.version].timeExceeded);
          }
        });

        it(`that is too big for the way to the backend: an error with the MTU: ${name} ${protocol}`, async () => {
          const payload = Buffer.alloc(1500, 'too much ');
          const packet = request(f, { protocol, destinationPort: 82, flags: 'S', payload });
          const frame = await answerTo(packet, 'DROP_TOO_BIG');
          assertError(frame, packet, f.node, { ...messages[f.version].tooBig, info: 1500 });
        });
      }

      it(`a packet of a flow is answered in the same way: ${name}`, async () => {
        const packet = request(f, { destinationPort: 82 });
        await harness.enter('eth0', build(packet));
        const late = { ...packet, flags: 'A', ttl: 1, payload: Buffer.from('late') };
        assertError(await answerTo(late, 'DROP_TTL'), late, f.node, messages[f.version].timeExceeded);
        const big = { ...packet, flags: 'A', payload: Buffer.alloc(1500, 1) };
        const tooBig = { ...messages[f.version].tooBig, info: 1500 };
        assertError(await answerTo(big, 'DROP_TOO_BIG'), big, f.node, tooBig);
        const fits = { ...packet, flags: 'A', payload: Buffer.alloc(1500 - (f.version === 4 ? 40 : 60), 1) };
        const { retval, frame } = await harness.enter('eth0', build(fits));
        assert.equal(retval, verdicts.redirect);
        assert.equal(frame.length, build(fits).length);
      });
    }
  });

  describe('echo', () => {
    const echo = (f: FamilyAddresses, to: string, changes = {}) => ({
      source: f.client,
      destination: to,
      ...messages[f.version].echoRequest,
      info: 0x12340007,
      body: Buffer.from('are you there?!'),
      ...changes,
    });

    for (const [name, f] of Object.entries(families)) {
      it(`a request to a VIP is answered: ${name}`, async () => {
        for (const [body, ttl] of [
          ['', 64],
          ['abc', 9],
          ['x'.repeat(1400), 64],
          ['traceroute', 1],
        ] as const) {
          const sent = echo(f, f.vip, { body: Buffer.from(body), ttl });
          let frame = Buffer.alloc(0);
          const counted = await harness.countedBy(async () => {
            const result = await harness.enter('eth0', buildMessage(sent));
            assert.equal(result.retval, verdicts.redirect);
            frame = result.frame;
          });
          assert.deepEqual(counted, { ECHO_ANSWERED: 1 });
          assertSameFrame(
            frame,
            buildMessage({
              ...sent,
              ...messages[f.version].echoReply,
              source: sent.destination,
              destination: sent.source,
              ttl: 64,
              fromNode: true,
            }),
          );
        }
      });

      it(`a pod’s request to a ClusterIP is answered, one from outside is dropped: ${name}`, async () => {
        const inside = await harness.enter('lxc0', buildMessage(echo(f, f.clusterIP, { source: f.pod })));
        assert.equal(inside.retval, verdicts.redirect);
        const outside = await harness.enter('eth0', buildMessage(echo(f, f.clusterIP)));
        assert.equal(outside.retval, verdicts.drop);
      });

      it(`requests to the node and to others, and replies, are left alone: ${name}`, async () => {
        for (const sent of [
          echo(f, f.node),
          echo(f, f.remote),
          echo(f, f.vip, messages[f.version].echoReply),
          echo(f, f.vip, messages[f.version].redirect),
        ]) {
          const { retval, frame } = await harness.enter('eth0', buildMessage(sent));
          assert.equal(retval, verdicts.next);
          assertSameFrame(frame, buildMessage(sent));
        }
      });
    }

    it('answerEcho: false leaves requests alone', async () => {
      const silent = await Harness.open({ answerEcho: false });
      try {
        await silent.call('put', {
          name: 'web',
          frontends: all.map((f) => ({ type: 'LoadBalancer' as const, address: f.vip, port: 80 })),
          backends: [],
        });
        for (const f of all) {
          const { retval, frame } = await silent.enter('eth0', buildMessage(echo(f, f.vip)));
          assert.equal(retval, verdicts.next);
          assertSameFrame(frame, buildMessage(echo(f, f.vip)));
        }
      } finally {
        await silent.close();
      }
    });
  });

  describe('the limit of answers', () => {
    const burst = 1000;
    const empty = (f: FamilyAddresses) => ({
      name: `empty IPv${f.version}`,
      frontends: [{ type: 'LoadBalancer' as const, address: f.vip, port: 80 }],
      backends: [],
    });

    it('is kept in both families, each by itself; what is beyond is dropped and counted', async () => {
      const limited = await Harness.open({ rejectsPerSecond: 1 });
      try {
        for (const f of all) await limited.call('put', empty(f));
        for (const f of all) {
          const begun = process.hrtime.bigint();
          const packet = build(request(f));
          const counted = await limited.countedBy(async () => {
            for (let i = 0; i < burst + 200; i++) await limited.enter('eth0', packet);
          });
          const seconds = Number((process.hrtime.bigint() - begun) / 1_000_000_000n);
          const { REJECT_NO_BACKEND: answered = 0, REJECT_LIMITED: beyond = 0 } = counted;
          assert.equal(answered + beyond, burst + 200);
          assert.ok(answered >= burst && answered <= burst + seconds + 1, `${answered} answers`);
          const { retval } = await limited.enter('eth0', build(request(f, { ttl: 1 })));
          assert.equal(retval, verdicts.drop);
        }
      } finally {
        await limited.close();
      }
    });

    it('zero: nothing is answered', async () => {
      const limited = await Harness.open({ rejectsPerSecond: 0 });
      try {
        for (const f of all) {
          await limited.call('put', empty(f));
          const counted = await limited.countedBy(async () => {
            assert.equal((await limited.enter('eth0', build(request(f)))).retval, verdicts.drop);
          });
          assert.deepEqual(counted, { REJECT_LIMITED: 1 });
        }
      } finally {
        await limited.close();
      }
    });
  });
});
