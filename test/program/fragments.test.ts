import assert from 'node:assert/strict';

import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, buildFragments, type Packet, parse } from './packets';

const all = Object.values(families);

const ports = { remote: 80, local: 81 } as const;

let lastPort = 1024;
let lastId = 0x100;

/** Of a datagram that is cut in three: 64 and 128 bytes, and the rest. */
const sizes = [64, 128];

describe('program: fragments', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'] });
    for (const [name, port] of Object.entries(ports)) {
      await harness.call('put', {
        name,
        frontends: (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) => [
          { type: 'NodePort' as const, port: 30000 + port, protocol },
          ...all.map((f) => ({ type: 'LoadBalancer' as const, address: f.vip, port, protocol })),
        ]),
        backends: all.map((f) => ({
          address: f[name as keyof typeof ports],
          port: 8080,
          local: name === 'local',
        })),
      });
    }
  });

  after(() => harness?.close());

  const datagram = (f: FamilyAddresses, changes: Partial<Packet> = {}): Packet => ({
    source: f.client,
    sourcePort: ++lastPort,
    destination: f.vip,
    destinationPort: ports.remote,
    protocol: 'UDP',
    payload: Buffer.alloc(301, 'fragments '),
    flags: 'A',
    ...changes,
  });

  /** Opens the flow of the packet with one that is whole; the packet as it leaves. */
  async function translated(packet: Packet): Promise<Packet> {
    const { retval, frame } = await harness.enter(
      'eth0',
      build({ ...packet, flags: 'S', payload: Buffer.from('whole') }),
    );
    assert.equal(retval, verdicts.redirect);
    const { source, sourcePort, destination, destinationPort } = parse(frame);
    return { ...packet, source, sourcePort, destination, destinationPort, ttl: 63 };
  }

  /** Sends fragments, of which each has to become what it is in the translated packet. */
  async function assertTranslated(
    sent: readonly Buffer[],
    expected: readonly Buffer[],
    order: readonly number[],
  ) {
    for (const i of order) {
      const { retval, frame } = await harness.enter('eth0', sent[i] as Buffer);
      assert.equal(retval, verdicts.redirect, `fragment ${i}`);
      assertSameFrame(frame, expected[i] as Buffer);
    }
  }

  for (const [name, f] of Object.entries(families)) {
    for (const [backend, destinationPort] of Object.entries(ports)) {
      for (const protocol of ['UDP', 'TCP'] as const) {
        const to = `${name} ${protocol}, ${backend} backend`;

        it(`the first fragment first: all are translated: ${to}`, async () => {
          const packet = datagram(f, { protocol, destinationPort });
          const id = ++lastId;
          const expected = buildFragments(await translated(packet), sizes, id);
          await assertTranslated(buildFragments(packet, sizes, id), expected, [0, 1, 2]);
        });
      }
    }

    it(`a first fragment may begin a flow: ${name}`, async () => {
      const packet = datagram(f, { destination: f.node, destinationPort: 30000 + ports.local });
      const id = ++lastId;
      const expected = { ...packet, destination: f.local, destinationPort: 8080, ttl: 63 };
      await assertTranslated(
        buildFragments(packet, sizes, id),
        buildFragments(expected, sizes, id),
        [0, 1, 2],
      );
    });

    it(`later fragments out of order, and duplicated ones: all are translated: ${name}`, async () => {
      const packet = datagram(f);
      const id = ++lastId;
      const expected = buildFragments(await translated(packet), sizes, id);
      await assertTranslated(buildFragments(packet, sizes, id), expected, [0, 2, 1, 1, 0, 2, 0]);
    });

    it(`later fragments before the first: dropped at a VIP and counted, passed on at the node’s address: ${name}`, async () => {
      for (const to of [
        { destination: f.vip, destinationPort: ports.remote },
        { destination: f.node, destinationPort: 30000 + ports.remote },
      ]) {
        const packet = datagram(f, to);
        const id = ++lastId;
        const expected = buildFragments(await translated(packet), sizes, id);
        const sent = buildFragments(packet, sizes, id);
        const counted = await harness.countedBy(async () => {
          for (const frame of sent.slice(1)) {
            const result = await harness.enter('eth0', frame);
            assert.equal(result.retval, to.destination === f.vip ? verdicts.drop : verdicts.next);
            if (result.retval === verdicts.next) assertSameFrame(result.frame, frame);
          }
        });
        assert.deepEqual(counted, to.destination === f.vip ? { DROP_FRAGMENT: 2 } : {});
        await assertTranslated(sent, expected, [0, 1, 2]);
      }
    });

    it(`fragments of other datagrams are not misdelivered: ${name}`, async () => {
      const packet = datagram(f);
      const id = ++lastId;
      await translated(packet);
      await harness.enter('eth0', buildFragments(packet, sizes, id)[0] as Buffer);
      const others: [packet: Packet, id: number][] = [
        [packet, id + 1000],
        [{ ...packet, source: f.clientRouter }, id],
        [{ ...packet, protocol: 'TCP' }, id],
      ];
      const counted = await harness.countedBy(async () => {
        for (const [other, otherId] of others) {
          const [, later] = buildFragments(other, sizes, otherId);
          assert.equal((await harness.enter('eth0', later as Buffer)).retval, verdicts.drop);
        }
      });
      assert.deepEqual(counted, { DROP_FRAGMENT: others.length });
      const [, toNode] = buildFragments({ ...packet, destination: f.node }, sizes, id);
      const result = await harness.enter('eth0', toNode as Buffer);
      assert.equal(result.retval, verdicts.next);
      assertSameFrame(result.frame, toNode as Buffer);
    });

    it(`two datagrams at a time each go their way: ${name}`, async () => {
      const packets = [datagram(f), datagram(f, { destinationPort: ports.local })];
      const ids = [++lastId, ++lastId];
      const expected = await Promise.all(
        packets.map(async (packet, i) => buildFragments(await translated(packet), sizes, ids[i])),
      );
      const sent = packets.map((packet, i) => buildFragments(packet, sizes, ids[i]));
      for (const [i, fragment] of [
        [0, 0],
        [1, 0],
        [1, 1],
        [0, 1],
        [0, 2],
        [1, 2],
      ] as const) {
        await assertTranslated(sent[i] as Buffer[], expected[i] as Buffer[], [fragment]);
      }
    });

    it(`replies in fragments are translated back, from another node and from here: ${name}`, async () => {
      for (const [destinationPort, device] of [
        [ports.remote, 'eth1'],
        [ports.local, 'eth0'],
      ] as const) {
        const packet = datagram(f, { destinationPort });
        const { source, sourcePort, destination } = await translated(packet);
        const reply: Packet = {
          ...packet,
          source: destination,
          sourcePort: 8080,
          destination: source,
          destinationPort: sourcePort,
        };
        const leaving = device === 'eth0';
        const id = ++lastId;
        const sent = buildFragments(reply, sizes, id);
        const back: Packet = {
          ...reply,
          source: packet.destination,
          sourcePort: packet.destinationPort,
          destination: packet.source,
          destinationPort: packet.sourcePort,
          ttl: leaving ? 64 : 63,
        };
        const expected = buildFragments(back, sizes, id);
        for (const i of [0, 2, 1]) {
          const result = await (leaving
            ? harness.leave(device, sent[i] as Buffer)
            : harness.enter(device, sent[i] as Buffer));
          assert.equal(result.retval, leaving ? verdicts.next : verdicts.redirect);
          assertSameFrame(result.frame, expected[i] as Buffer);
        }
      }
    });

    it(`fragments to addresses that are not served are left alone: ${name}`, async () => {
      for (const frame of buildFragments(datagram(f, { destination: f.remote }), sizes, ++lastId)) {
        const result = await harness.enter('eth0', frame);
        assert.equal(result.retval, verdicts.next);
        assertSameFrame(result.frame, frame);
      }
    });

    it(`a part of an SCTP packet has no checksum of its own: dropped and counted: ${name}`, async () => {
      const packet = datagram(f, { protocol: 'SCTP' });
      const [first] = buildFragments(packet, sizes, ++lastId);
      const counted = await harness.countedBy(async () => {
        assert.equal((await harness.enter('eth0', first as Buffer)).retval, verdicts.drop);
      });
      assert.equal(counted.DROP_MALFORMED, 1);
    });

    it(`a first fragment too short for the ports’ header is left alone: ${name}`, async () => {
      const [first] = buildFragments(datagram(f, { protocol: 'TCP' }), [8], ++lastId);
      const result = await harness.enter('eth0', first as Buffer);
      assert.equal(result.retval, verdicts.next);
      assertSameFrame(result.frame, first as Buffer);
    });
  }

  it('an IPv6 fragment that is all there is needs no other', async () => {
    const f = families.IPv6;
    const packet = datagram(f, { extensions: [{ type: 'fragment', id: 77 }] });
    const expected = build(await translated(packet));
    const { retval, frame } = await harness.enter('eth0', build(packet));
    assert.equal(retval, verdicts.redirect);
    assertSameFrame(frame, expected);
    /* It is no first fragment of another datagram with its number. */
    const [, later] = buildFragments({ ...packet, extensions: [] }, sizes, 77);
    assert.equal((await harness.enter('eth0', later as Buffer)).retval, verdicts.drop);
  });

  it('IPv6 fragments behind other extension headers are translated', async () => {
    const f = families.IPv6;
    const packet = datagram(f, { extensions: [{ type: 'hop-by-hop' }] });
    const id = ++lastId;
    const expected = buildFragments(await translated(packet), sizes, id);
    await assertTranslated(buildFragments(packet, sizes, id), expected, [0, 2, 1]);
  });
});
