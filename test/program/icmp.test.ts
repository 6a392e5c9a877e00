import assert from 'node:assert/strict';

import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import {
  assertSameFrame,
  buildMessage,
  build,
  type Message,
  messages,
  type Packet,
  parse,
  withoutLink,
} from './packets';

const all = Object.values(families);
const protocols = ['TCP', 'UDP', 'SCTP'] as const;
const errors = ['portUnreachable', 'tooBig', 'timeExceeded'] as const;

let lastPort = 1024;

/** How much of the packet an error quotes, beyond its IP header: RFC 792 asks for eight bytes, most send more. */
const quotes = { 'eight bytes': 8, 'a part': 60, 'all of it': undefined } as const;

describe('program: ICMP errors about flows', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'] });
    for (const [name, port] of [
      ['remote', 80],
      ['local', 81],
    ] as const) {
      await harness.call('put', {
        name,
        frontends: protocols.flatMap((protocol) => [
          { type: 'NodePort' as const, port: 30000 + port, protocol },
          ...all.flatMap((f) => [
            { type: 'LoadBalancer' as const, address: f.vip, port, protocol },
            { type: 'ClusterIP' as const, address: f.clusterIP, port, protocol },
          ]),
        ]),
        backends: all.map((f) => ({ address: f[name], port: 8080, local: name === 'local' })),
      });
    }
  });

  after(() => harness?.close());

  /** A flow's tuple on both sides of the translation, client to backend. */
  interface Flow {
    before: Packet;
    after: Packet;
  }

  async function flow(device: string, packet: Packet): Promise<Flow> {
    const { retval, frame } = await harness.enter(device, build(packet));
    assert.equal(retval, verdicts.redirect);
    const { source, sourcePort, destination, destinationPort } = parse(frame);
    return { before: packet, after: { ...packet, source, sourcePort, destination, destinationPort } };
  }

  const request = (f: FamilyAddresses, changes: Partial<Packet>): Packet => ({
    source: f.client,
    sourcePort: ++lastPort,
    destination: f.vip,
    destinationPort: 80,
    protocol: 'TCP',
    payload: Buffer.from('some bytes that some errors quote, and others do not, in an odd number'),
    ...changes,
  });

  const turned = (packet: Packet): Packet => ({
    ...packet,
    source: packet.destination,
    sourcePort: packet.destinationPort,
    destination: packet.source,
    destinationPort: packet.sourcePort,
    flags: 'SA',
    chunk: 'DATA',
  });

  /** So much of the packet as an error quotes; its life is that of where the error was made. */
  function quoteOf(packet: Packet, length: number | undefined): Buffer {
    const headers = withoutLink({ ...packet, payload: new Uint8Array() });
    const whole = withoutLink({ ...packet, ttl: 1 });
    const transport = headers.length - { TCP: 20, UDP: 8, SCTP: 16 }[packet.protocol];
    return length === undefined ? whole : whole.subarray(0, transport + length);
  }

  /** SCTP's checksum in a quotation is for what was sent. It is too far away from its packet to be looked at. */
  function expectedQuote(packet: Packet, length: number | undefined, arrived: Packet): Buffer {
    const quote = quoteOf(packet, length);
    if (packet.protocol !== 'SCTP' || (length !== undefined && length < 12)) return quote;
    const at = quote.length - (length ?? 16 + Math.ceil((packet.payload?.length ?? 0) / 4) * 4) + 8;
    quoteOf(arrived, length).copy(quote, at, at, at + 4);
    return quote;
  }

  interface Case {
    /** Where the error comes in. */
    device: string;
    from: string;
    to: string;
    /** What it quotes. */
    quoted: Packet;
    /** What has to become of it. */
    expected: { from: string; to: string; quoted: Packet };
    /** It leaves through the device, and goes on there. */
    leaving?: boolean;
  }

  async function check(f: FamilyAddresses, { device, from, to, quoted, expected, leaving = false }: Case) {
    for (const kind of errors) {
      for (const length of Object.values(quotes)) {
        const message = {
          ...messages[f.version][kind],
          info: kind === 'tooBig' ? 1280 : 0,
          ttl: 60,
        };
        const sent: Message = { ...message, source: from, destination: to, body: quoteOf(quoted, length) };
        const wanted: Message = {
          ...message,
          source: expected.from,
          destination: expected.to,
          body: expectedQuote(expected.quoted, length, quoted),
          ttl: leaving ? 60 : 59,
        };
        let result = { retval: 0, frame: Buffer.alloc(0) };
        const counted = await harness.countedBy(async () => {
          result = await (leaving
            ? harness.leave(device, buildMessage(sent))
            : harness.enter(device, buildMessage(sent)));
        });
        assert.deepEqual(counted, { ERROR_TRANSLATED: 1 });
        assert.equal(result.retval, leaving ? verdicts.next : verdicts.redirect);
        assertSameFrame(result.frame, buildMessage(wanted));
      }
    }
  }

  for (const [name, f] of Object.entries(families)) {
    for (const protocol of protocols) {
      const to = `${name} ${protocol}`;

      for (const [frontend, change] of [
        ['a VIP', { destination: f.vip, destinationPort: 80 }],
        ['a NodePort', { destination: f.node, destinationPort: 30080 }],
      ] as const) {
        it(`about a request to ${frontend} by SNAT, from a router: reaches the client, the router is seen: ${to}`, async () => {
          const { before, after } = await flow('eth0', request(f, { protocol, ...change }));
          await check(f, {
            device: 'eth1',
            from: f.podRouter,
            to: f.snat,
            quoted: after,
            expected: { from: f.podRouter, to: f.client, quoted: before },
          });
        });

        it(`about a request to ${frontend} by SNAT, from the backend: reaches the client from the frontend: ${to}`, async () => {
          const { before, after } = await flow('eth0', request(f, { protocol, ...change }));
          await check(f, {
            device: 'eth1',
            from: f.remote,
            to: f.snat,
            quoted: after,
            expected: { from: before.destination, to: f.client, quoted: before },
          });
        });

        it(`about a reply of ${frontend} by SNAT, from the client or a router: reaches the backend from this node: ${to}`, async () => {
          const { before, after } = await flow('eth0', request(f, { protocol, ...change }));
          for (const from of [f.client, f.clientRouter]) {
            await check(f, {
              device: 'eth0',
              from,
              to: before.destination,
              quoted: turned(before),
              expected: { from: f.snat, to: f.remote, quoted: turned(after) },
            });
          }
        });
      }

      it(`about a reply of a backend here: reaches it, whoever it is from is seen: ${to}`, async () => {
        const { before, after } = await flow('eth0', request(f, { protocol, destinationPort: 81 }));
        for (const from of [f.client, f.clientRouter]) {
          await check(f, {
            device: 'eth0',
            from,
            to: f.vip,
            quoted: turned(before),
            expected: { from, to: f.local, quoted: turned(after) },
          });
        }
      });

      it(`about a request to a backend here, when it leaves: comes from the frontend: ${to}`, async () => {
        const { before, after } = await flow('eth0', request(f, { protocol, destinationPort: 81 }));
        await check(f, {
          device: 'eth0',
          leaving: true,
          from: f.local,
          to: f.client,
          quoted: after,
          expected: { from: f.vip, to: f.client, quoted: before },
        });
        /* The node itself is what it is: it may have found no way to the pod. */
        await check(f, {
          device: 'eth0',
          leaving: true,
          from: f.podGateway,
          to: f.client,
          quoted: after,
          expected: { from: f.podGateway, to: f.client, quoted: before },
        });
      });

      it(`about a pod’s request to a ClusterIP, from a router: reaches the pod: ${to}`, async () => {
        const { before, after } = await flow(
          'lxc0',
          request(f, { protocol, source: f.pod, destination: f.clusterIP }),
        );
        assert.equal(after.source, f.pod);
        await check(f, {
          device: 'eth1',
          from: f.podRouter,
          to: f.pod,
          quoted: after,
          expected: { from: f.podRouter, to: f.pod, quoted: before },
        });
      });
    }

    it(`an error whose time to live ends here is not answered: ${name}`, async () => {
      const { after } = await flow('eth0', request(f, {}));
      const counted = await harness.countedBy(async () => {
        const { retval } = await harness.enter(
          'eth1',
          buildMessage({
            ...messages[f.version].portUnreachable,
            source: f.podRouter,
            destination: f.snat,
            ttl: 1,
            body: quoteOf(after, undefined),
          }),
        );
        assert.equal(retval, verdicts.drop);
      });
      assert.deepEqual(counted, { DROP_TTL: 1 });
    });

    it(`unrelated errors are left alone: ${name}`, async () => {
      const { after } = await flow('eth0', request(f, { protocol: 'UDP' }));
      const { portUnreachable, redirect, echoReply } = messages[f.version];
      const error: Message = {
        ...portUnreachable,
        source: f.podRouter,
        destination: f.snat,
        body: quoteOf(after, undefined),
      };
      const others: Message[] = [
        /* Of this node's own traffic, and of flows that are not known. */
        { ...error, body: quoteOf({ ...after, destinationPort: 53 }, undefined) },
        { ...error, body: quoteOf({ ...after, sourcePort: after.sourcePort ^ 1 }, undefined) },
        { ...error, body: quoteOf({ ...after, destination: f.pod }, undefined) },
        { ...error, body: quoteOf({ ...after, protocol: 'TCP' }, undefined) },
        /* Quotations of the wrong direction, cut short, empty. */
        { ...error, body: quoteOf(turned(after), undefined) },
        { ...error, body: quoteOf(after, 7) },
        { ...error, body: new Uint8Array() },
        /* Quotations of an error. */
        { ...error, body: messageQuote(f) },
        /* No errors. */
        { ...error, ...redirect },
        { ...error, ...echoReply },
      ];
      for (const other of others) {
        const frame = buildMessage(other);
        for (const device of ['eth0', 'eth1', 'lxc0']) {
          const entering = await harness.enter(device, frame);
          assert.equal(entering.retval, verdicts.next);
          assertSameFrame(entering.frame, frame);
          const leaving = await harness.leave(device, frame);
          assert.equal(leaving.retval, verdicts.next);
          assertSameFrame(leaving.frame, frame);
        }
      }
    });
  }

  function messageQuote(f: FamilyAddresses): Buffer {
    const error = { ...messages[f.version].timeExceeded, source: f.snat, destination: f.remote };
    return buildMessage({ ...error, body: Buffer.alloc(40) }).subarray(14);
  }

  it('the quoted packet may have IPv4 options', async () => {
    const f = families.IPv4;
    const options = Buffer.from([7, 7, 4, 0, 0, 0, 0, 0]);
    const { before, after } = await flow('eth0', request(f, { options }));
    await check(f, {
      device: 'eth1',
      from: f.podRouter,
      to: f.snat,
      quoted: after,
      expected: { from: f.podRouter, to: f.client, quoted: before },
    });
  });

  it('UDP without a checksum is quoted without', async () => {
    const f = families.IPv4;
    const { before, after } = await flow('eth0', request(f, { protocol: 'UDP', unchecked: true }));
    await check(f, {
      device: 'eth1',
      from: f.podRouter,
      to: f.snat,
      quoted: after,
      expected: { from: f.podRouter, to: f.client, quoted: before },
    });
  });
});
