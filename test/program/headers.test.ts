import assert from 'node:assert/strict';

import { eventually } from '../support/eventually';
import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, type Extension, type Packet, parse } from './packets';

const all = Object.values(families);
const protocols = ['TCP', 'UDP', 'SCTP'] as const;

let lastPort = 1024;

describe('program: headers before the transport', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'] });
    await harness.call('put', {
      name: 'web',
      frontends: protocols.flatMap((protocol) =>
        all.map((f) => ({ type: 'LoadBalancer' as const, address: f.vip, port: 80, protocol })),
      ),
      backends: all.map((f) => ({ address: f.remote, port: 8080 })),
    });
  });

  after(() => harness?.close());

  const request = (f: FamilyAddresses, changes: Partial<Packet>): Packet => ({
    source: f.client,
    sourcePort: ++lastPort,
    destination: f.vip,
    destinationPort: 80,
    protocol: 'TCP',
    payload: Buffer.from('some bytes'),
    ...changes,
  });

  /** There and back, both byte for byte. */
  async function assertHandled(packet: Packet): Promise<void> {
    const there = await harness.enter('eth0', build(packet));
    assert.equal(there.retval, verdicts.redirect);
    const { source, sourcePort, destination, destinationPort } = parse(there.frame);
    assert.notEqual(destination, packet.destination);
    assertSameFrame(
      there.frame,
      build({ ...packet, source, sourcePort, destination, destinationPort, ttl: 63 }),
    );
    const reply: Packet = {
      ...packet,
      source: destination,
      sourcePort: destinationPort,
      destination: source,
      destinationPort: sourcePort,
      flags: 'SA',
      chunk: 'INIT ACK',
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
  }

  async function assertLeftAlone(frame: Buffer): Promise<void> {
    for (const device of ['eth0', 'eth1', 'lxc0']) {
      const entering = await harness.enter(device, frame);
      assert.equal(entering.retval, verdicts.next);
      assertSameFrame(entering.frame, frame);
      const leaving = await harness.leave(device, frame);
      assert.equal(leaving.retval, verdicts.next);
      assertSameFrame(leaving.frame, frame);
    }
  }

  for (const protocol of protocols) {
    for (const length of [4, 8, 20, 40]) {
      it(`IPv4 options of ${length} bytes are handled: ${protocol}`, () =>
        assertHandled(request(families.IPv4, { protocol, options: Buffer.alloc(length, 1) })));
    }

    const handled: Record<string, Extension[]> = {
      'hop-by-hop options': [{ type: 'hop-by-hop' }],
      'long hop-by-hop options': [{ type: 'hop-by-hop', length: 136 }],
      'destination options': [{ type: 'destination', length: 24 }],
      'a route at its end': [{ type: 'routing', left: 0, length: 24 }],
      'a fragment that is all there is': [{ type: 'fragment' }],
      'all of them': [
        { type: 'hop-by-hop' },
        { type: 'destination' },
        { type: 'routing' },
        { type: 'fragment' },
        { type: 'destination', length: 16 },
      ],
    };
    for (const [what, extensions] of Object.entries(handled)) {
      it(`an IPv6 packet with ${what} is handled: ${protocol}`, () =>
        assertHandled(request(families.IPv6, { protocol, extensions })));
    }

    const passedOn: Record<string, Extension[]> = {
      'a route that goes on': [{ type: 'routing', left: 1, length: 24 }],
      'an authentication header': [{ type: 'authentication', length: 24 }],
      'an authentication header behind others': [
        { type: 'hop-by-hop' },
        { type: 'authentication', length: 16 },
      ],
      'more headers than are looked through': Array<Extension>(7).fill({ type: 'destination' }),
      'longer headers than are looked through': [
        { type: 'hop-by-hop', length: 200 },
        { type: 'destination', length: 200 },
      ],
    };
    for (const [what, extensions] of Object.entries(passedOn)) {
      it(`an IPv6 packet with ${what} is passed on as it is: ${protocol}`, () =>
        assertLeftAlone(build(request(families.IPv6, { protocol, extensions }))));
    }
  }

  for (const [name, f] of Object.entries(families)) {
    it(`a packet with a VLAN tag is passed on as it is: ${name}`, () =>
      assertLeftAlone(build(request(f, { vlan: 5 }))));

    it(`a packet whose VLAN tag the device took off is passed on: ${name}`, async () => {
      const counted = await harness.countedBy(async () => {
        const before = await harness.call('counters');
        harness.transmit('eth0', build(request(f, { vlan: 5 })), build(request(f, {})));
        await eventually(async () => {
          assert.notEqual((await harness.call('counters')).FLOW_CREATED, before.FLOW_CREATED);
        });
      });
      assert.deepEqual(counted, { FLOW_CREATED: 1 }, 'the one without a tag');
    });

    it(`a frame for another station is passed on as it is: ${name}`, async () => {
      const frame = build(request(f, {}));
      frame.set([0x02, 0, 0, 0, 0, 0x99]);
      const result = await harness.enter('eth0', frame);
      assert.equal(result.retval, verdicts.next);
      assertSameFrame(result.frame, frame);
    });

    it(`a protocol without ports is passed on as it is: ${name}`, async () => {
      for (const protocol of [47, 50, 59, 255]) {
        const frame = build(request(f, {}));
        frame[14 + (f.version === 4 ? 9 : 6)] = protocol;
        await assertLeftAlone(frame);
      }
    });
  }

  it('what is neither IPv4 nor IPv6 is passed on as it is', async () => {
    const arp = Buffer.alloc(60);
    arp.set(build(request(families.IPv4, {})).subarray(0, 12));
    arp.writeUInt16BE(0x0806, 12);
    await assertLeftAlone(arp);
  });

  it('an IPv6 packet whose extension headers do not end is passed on as it is', async () => {
    const whole = build(
      request(families.IPv6, { extensions: [{ type: 'hop-by-hop' }, { type: 'destination' }] }),
    );
    for (const header of [0, 1]) {
      const frame = Buffer.from(whole);
      frame[14 + 40 + 8 * header + 1] = 255;
      await assertLeftAlone(frame);
    }
    for (let length = 54; length < whole.length - 30; length++) {
      await assertLeftAlone(whole.subarray(0, length));
    }
  });
});
