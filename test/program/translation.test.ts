import assert from 'node:assert/strict';

import { skip } from '../support/skip';
import { families } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, type Packet, parse } from './packets';

describe('program: translation, byte for byte', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ snatPorts: [50000, 50999] });
    const backends = (which: 'local' | 'remote') =>
      Object.values(families).map((f) => ({ address: f[which], port: 8080, local: which === 'local' }));
    const frontends = (nodePort: number, port: number) =>
      (['TCP', 'UDP'] as const).flatMap((protocol) => [
        { type: 'NodePort' as const, port: nodePort, protocol },
        ...Object.values(families).map((f) => ({
          type: 'LoadBalancer' as const,
          address: f.vip,
          port,
          protocol,
        })),
      ]);
    await harness.call('put', {
      name: 'local',
      frontends: frontends(30001, 81),
      backends: backends('local'),
    });
    await harness.call('put', {
      name: 'remote',
      frontends: frontends(30002, 82),
      backends: backends('remote'),
    });
  });

  after(() => harness?.close());

  /** Fresh client ports, so that every case begins a flow of its own. */
  let lastPort = 20000;
  const newPort = () => ++lastPort;

  for (const [name, f] of Object.entries(families)) {
    for (const protocol of ['TCP', 'UDP'] as const) {
      for (const [kind, frontend] of [
        ['NodePort', (n: number) => ({ destination: f.node, destinationPort: 30000 + n })],
        ['LoadBalancer', (n: number) => ({ destination: f.vip, destinationPort: 80 + n })],
      ] as const) {
        it(`${kind} to a backend of this node keeps the client: ${name} ${protocol}`, async () => {
          const request: Packet = { source: f.client, sourcePort: newPort(), ...frontend(1), protocol };
          const there = await harness.run('bpf_lb_ingress', 'eth0', build(request));
          assert.equal(there.retval, verdicts.redirect);
          assertSameFrame(
            there.frame,
            build({ ...request, destination: f.local, destinationPort: 8080, ttl: 63 }),
          );
          const reply: Packet = {
            source: f.local,
            sourcePort: 8080,
            destination: f.client,
            destinationPort: request.sourcePort,
            protocol,
            flags: 'SA',
          };
          const back = await harness.run('bpf_lb_egress', 'eth0', build(reply));
          assert.equal(back.retval, verdicts.next);
          assertSameFrame(
            back.frame,
            build({ ...reply, source: request.destination, sourcePort: request.destinationPort }),
          );
        });

        it(`${kind} to a backend of another node goes through this one: ${name} ${protocol}`, async () => {
          const request: Packet = { source: f.client, sourcePort: newPort(), ...frontend(2), protocol };
          const there = await harness.run('bpf_lb_ingress', 'eth0', build(request));
          assert.equal(there.retval, verdicts.redirect);
          const { sourcePort } = parse(there.frame);
          assert.ok(sourcePort >= 50000 && sourcePort <= 50999, `source port ${sourcePort}`);
          assertSameFrame(
            there.frame,
            build({
              ...request,
              source: f.snat,
              sourcePort,
              destination: f.remote,
              destinationPort: 8080,
              ttl: 63,
            }),
          );
          const reply: Packet = {
            source: f.remote,
            sourcePort: 8080,
            destination: f.snat,
            destinationPort: sourcePort,
            protocol,
            flags: 'SA',
          };
          const back = await harness.run('bpf_lb_ingress', 'eth1', build(reply));
          assert.equal(back.retval, verdicts.redirect);
          assertSameFrame(
            back.frame,
            build({
              ...reply,
              source: request.destination,
              sourcePort: request.destinationPort,
              destination: f.client,
              destinationPort: request.sourcePort,
              ttl: 63,
            }),
          );
        });
      }

      it(`a flow keeps its translation: ${name} ${protocol}`, async () => {
        const request: Packet = {
          source: f.client,
          sourcePort: newPort(),
          destination: f.node,
          destinationPort: 30002,
          protocol,
        };
        const first = parse((await harness.run('bpf_lb_ingress', 'eth0', build(request))).frame);
        for (const payload of ['a', 'bb', 'ccc'.repeat(100)]) {
          const next = { ...request, flags: 'PA', payload: Buffer.from(payload) };
          const { frame } = await harness.run('bpf_lb_ingress', 'eth0', build(next));
          const { source, sourcePort, destination, destinationPort } = first;
          assertSameFrame(
            frame,
            build({ ...next, source, sourcePort, destination, destinationPort, ttl: 63 }),
          );
        }
      });
    }

    it(`a client's port in the window stays as it is: ${name}`, async () => {
      const request: Packet = {
        source: f.client,
        sourcePort: 50123,
        destination: f.node,
        destinationPort: 30002,
        protocol: 'TCP',
      };
      const { frame } = await harness.run('bpf_lb_ingress', 'eth0', build(request));
      assert.equal(parse(frame).sourcePort, 50123);
    });

    it(`one client port to one backend through two frontends makes two flows: ${name}`, async () => {
      const sourcePort = newPort();
      const ports = [];
      for (const to of [
        { destination: f.node, destinationPort: 30001 },
        { destination: f.vip, destinationPort: 81 },
      ]) {
        const request: Packet = { source: f.client, sourcePort, ...to, protocol: 'TCP' };
        const there = parse((await harness.run('bpf_lb_ingress', 'eth0', build(request))).frame);
        ports.push(there.sourcePort);
        const reply: Packet = {
          source: f.local,
          sourcePort: 8080,
          destination: f.client,
          destinationPort: there.sourcePort,
          protocol: 'TCP',
          flags: 'SA',
        };
        const back = parse((await harness.run('bpf_lb_egress', 'eth0', build(reply))).frame);
        assert.deepEqual(
          [back.source, back.sourcePort, back.destination, back.destinationPort, back.valid],
          [to.destination, to.destinationPort, f.client, sourcePort, true],
        );
      }
      assert.notEqual(ports[0], ports[1]);
    });
  }

  const request = (changes: Partial<Packet>): Packet => ({
    source: '203.0.113.2',
    sourcePort: newPort(),
    destination: '203.0.113.1',
    destinationPort: 30001,
    protocol: 'TCP',
    ...changes,
  });

  it('UDP without a checksum stays without', async () => {
    const sent = request({ protocol: 'UDP', unchecked: true, payload: Buffer.from('x') });
    const { frame } = await harness.run('bpf_lb_ingress', 'eth0', build(sent));
    assertSameFrame(frame, build({ ...sent, destination: '10.244.1.2', destinationPort: 8080, ttl: 63 }));
  });

  it('every payload keeps its checksum', async () => {
    for (let i = 0; i < 400; i++) {
      const payload = Uint8Array.from({ length: i % 40 }, () => Math.floor(Math.random() * 256));
      const sent = request({
        protocol: i % 2 ? 'UDP' : 'TCP',
        payload,
        destinationPort: i % 3 ? 30001 : 30002,
      });
      const { frame, retval } = await harness.run('bpf_lb_ingress', 'eth0', build(sent));
      assert.equal(retval, verdicts.redirect);
      assert.ok(parse(frame).valid, Buffer.from(build(sent)).toString('hex'));
    }
  });

  const untouched: Record<string, Uint8Array> = {
    'a port that no service has': build(request({ destinationPort: 30999 })),
    'a NodePort on an address that is not the node’s': build(request({ destination: '203.0.113.9' })),
    'a NodePort on an address of a device that is not selected': build(
      request({ destination: '10.244.1.1' }),
    ),
    'an ICMP message': (() => {
      const frame = build(request({}));
      frame[23] = 1;
      return frame;
    })(),
  };
  for (const [what, frame] of Object.entries(untouched)) {
    it(`leaves alone ${what}`, async () => {
      const result = await harness.run('bpf_lb_ingress', 'eth0', frame);
      assert.equal(result.retval, verdicts.next);
      assertSameFrame(result.frame, frame);
    });
  }

  it('leaves alone what leaves the node and is no reply', async () => {
    for (const sent of [
      request({ sourcePort: 8080 }),
      request({ source: '203.0.113.1', destination: '203.0.113.2', sourcePort: 41000 }),
    ]) {
      const result = await harness.run('bpf_lb_egress', 'eth0', build(sent));
      assert.equal(result.retval, verdicts.next);
      assertSameFrame(result.frame, build(sent));
    }
  });

  it('survives every truncation and every corrupted header byte', async () => {
    const whole = [
      build(request({ payload: Buffer.from('payload') })),
      build(request({ protocol: 'UDP', options: Buffer.alloc(8, 1) })),
      build({ ...request({}), source: '2001:db8:1::2', destination: '2001:db8:1::1' }),
    ];
    for (const frame of whole) {
      /* The kernel does not run programs on frames that end within the fixed IP header. */
      const shortest = 14 + (frame[12] === 0x08 ? 20 : 40);
      for (let length = shortest; length < frame.length; length++) {
        const cut = frame.slice(0, length);
        const { retval, frame: out } = await harness.run('bpf_lb_ingress', 'eth0', cut);
        if (retval === verdicts.next) assertSameFrame(out, cut);
        else assert.ok(retval === verdicts.redirect || retval === verdicts.drop, String(retval));
      }
      for (let i = 14; i < Math.min(frame.length, 60); i++) {
        const broken = Uint8Array.from(frame);
        broken[i] = (broken[i] as number) ^ 0xff;
        const { retval, frame: out } = await harness.run('bpf_lb_ingress', 'eth0', broken);
        if (retval === verdicts.next) assertSameFrame(out, broken);
      }
    }
  });
});
