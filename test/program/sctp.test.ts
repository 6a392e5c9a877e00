import assert from 'node:assert/strict';

import type { FrontendSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, crc32c, type Packet, parse } from './packets';

const all = Object.values(families);

let lastPort = 1024;

const frontends = {
  ClusterIP: (f: FamilyAddresses, port: number) => ({ destination: f.clusterIP, destinationPort: port }),
  NodePort: (f: FamilyAddresses, port: number) => ({ destination: f.node, destinationPort: 30000 + port }),
  LoadBalancer: (f: FamilyAddresses, port: number) => ({ destination: f.vip, destinationPort: port }),
} as const;

/** Ports of frontends; backends have 8080. */
const services = { local: 80, remote: 81, pair: 82 } as const;

describe('program: SCTP with port rewriting', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'], externalClusterIP: true });
    for (const [name, port] of Object.entries(services)) {
      await harness.call('put', {
        name,
        frontends: [
          { type: 'NodePort', port: 30000 + port, protocol: 'SCTP' },
          ...all.flatMap((f): FrontendSpec[] => [
            { type: 'ClusterIP', address: f.clusterIP, port, protocol: 'SCTP' },
            { type: 'LoadBalancer', address: f.vip, port, protocol: 'SCTP' },
          ]),
        ],
        backends: all.flatMap((f) => [
          ...(name === 'remote' ? [] : [{ address: f.local, port: 8080, local: true }]),
          ...(name === 'local' ? [] : [{ address: f.remote, port: 8080 }]),
        ]),
      });
    }
  });

  after(() => harness?.close());

  const request = (f: FamilyAddresses, changes: Partial<Packet>): Packet => ({
    source: f.client,
    sourcePort: ++lastPort,
    destination: f.vip,
    destinationPort: services.remote,
    protocol: 'SCTP',
    ...changes,
  });

  it('the checksum of the tests is that of the RFC', () => {
    /* The check value of CRC-32C, and a test vector of RFC 3720, B.4, as they stand in a packet. */
    assert.equal(Buffer.from(crc32c(Buffer.from('123456789'))).toString('hex'), '839206e3');
    assert.equal(Buffer.from(crc32c(Buffer.alloc(32))).toString('hex'), 'aa36918a');
  });

  for (const [name, f] of Object.entries(families)) {
    for (const [frontend, to] of Object.entries(frontends)) {
      it(`${frontend} to a backend of another node, and back: ${name}`, async () => {
        const packet = request(f, to(f, services.remote));
        const there = await harness.enter('eth0', build(packet));
        assert.equal(there.retval, verdicts.redirect);
        const { sourcePort } = parse(there.frame);
        const after: Packet = {
          ...packet,
          source: f.snat,
          sourcePort,
          destination: f.remote,
          destinationPort: 8080,
          ttl: 63,
        };
        assertSameFrame(there.frame, build(after));
        const reply: Packet = {
          source: f.remote,
          sourcePort: 8080,
          destination: f.snat,
          destinationPort: sourcePort,
          protocol: 'SCTP',
          chunk: 'INIT ACK',
          payload: Buffer.from('cookie'),
        };
        const back = await harness.enter('eth1', build(reply));
        assert.equal(back.retval, verdicts.redirect);
        assertSameFrame(
          back.frame,
          build({
            ...reply,
            source: packet.destination,
            sourcePort: packet.destinationPort,
            destination: packet.source,
            destinationPort: packet.sourcePort,
            ttl: 63,
          }),
        );
      });

      it(`${frontend} to a backend of this node, and back from its device: ${name}`, async () => {
        const packet = request(f, { source: f.pod, ...to(f, services.local) });
        const there = await harness.enter('lxc0', build(packet));
        assert.equal(there.retval, verdicts.redirect);
        assertSameFrame(
          there.frame,
          build({ ...packet, destination: f.local, destinationPort: 8080, ttl: 63 }),
        );
        const reply: Packet = {
          source: f.local,
          sourcePort: 8080,
          destination: f.pod,
          destinationPort: packet.sourcePort,
          protocol: 'SCTP',
          chunk: 'INIT ACK',
        };
        const back = await harness.enter('lxc0', build(reply));
        assert.equal(back.retval, verdicts.redirect);
        assertSameFrame(
          back.frame,
          build({ ...reply, source: packet.destination, sourcePort: packet.destinationPort, ttl: 63 }),
        );
      });
    }

    it(`the checksum is right for every length: ${name}`, async () => {
      const packet = request(f, { chunk: 'DATA' });
      const first = parse((await harness.enter('eth0', build({ ...packet, chunk: 'INIT' }))).frame);
      const { source, sourcePort, destination, destinationPort } = first;
      const lengths = [...Array(80).keys(), 127, 255, 256, 257, 511, 513, 1000, 1023, 1025, 1400];
      for (const length of lengths) {
        const payload = Uint8Array.from({ length }, () => Math.floor(Math.random() * 256));
        const { frame } = await harness.enter('eth0', build({ ...packet, payload }));
        assertSameFrame(
          frame,
          build({ ...packet, payload, source, sourcePort, destination, destinationPort, ttl: 63 }),
        );
      }
    });

    it(`what the link adds to a short frame is not in the checksum: ${name}`, async () => {
      const packet = request(f, {});
      const { frame } = await harness.enter('eth0', Buffer.concat([build(packet), Buffer.alloc(9, 0xee)]));
      const { source, sourcePort, destination, destinationPort } = parse(frame.subarray(0, -9));
      const expected = build({ ...packet, source, sourcePort, destination, destinationPort, ttl: 63 });
      assertSameFrame(frame, Buffer.concat([expected, Buffer.alloc(9, 0xee)]));
    });

    it(`a wrong checksum stays wrong: ${name}`, async () => {
      const sent = build(request(f, { payload: Buffer.from('damaged on the way') }));
      sent.writeUInt8((sent.at(-1) as number) ^ 1, sent.length - 1);
      const { retval, frame } = await harness.enter('eth0', sent);
      assert.equal(retval, verdicts.redirect);
      assert.equal(parse(frame).valid, false);
    });

    it(`INIT begins an association, other packets of none are refused: ${name}`, async () => {
      const to = { destinationPort: services.pair };
      assert.equal((await harness.enter('eth0', build(request(f, to)))).retval, verdicts.redirect);
      for (const chunk of ['DATA', 'COOKIE ECHO'] as const) {
        const counted = await harness.countedBy(() =>
          harness.enter('eth0', build(request(f, { ...to, chunk }))),
        );
        assert.deepEqual(counted, { REJECT_NO_FLOW: 1 });
      }
    });

    it(`a packet of an unknown association with one backend goes to that: ${name}`, async () => {
      const { retval, frame } = await harness.enter('eth0', build(request(f, { chunk: 'DATA' })));
      assert.equal(retval, verdicts.redirect);
      assert.equal(parse(frame).destination, f.remote);
    });

    it(`INIT after ABORT is a choice of its own: ${name}`, async () => {
      const chosen = new Set<string>();
      const packet = request(f, { destinationPort: services.pair });
      /* Both of two backends in 40 choices, but for one in 2^39. */
      for (let i = 0; i < 40; i++) {
        const { destination } = parse((await harness.enter('eth0', build(packet))).frame);
        const again = parse((await harness.enter('eth0', build({ ...packet, chunk: 'DATA' }))).frame);
        assert.equal(again.destination, destination, 'the association stays');
        chosen.add(destination);
        await harness.enter('eth0', build({ ...packet, chunk: 'ABORT' }));
      }
      assert.deepEqual([...chosen].sort(), [f.local, f.remote].sort());
    });
  }
});
