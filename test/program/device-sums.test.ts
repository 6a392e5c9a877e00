import assert from 'node:assert/strict';

import { skip } from '../support/skip';
import { families } from './families';
import { Harness, verdicts } from './harness';
import { build, buildFragments, buildMessage, messages, type Packet, parse, withoutLink } from './packets';

const all = Object.values(families);
const protocols = ['TCP', 'UDP', 'SCTP'] as const;

/** The kernel sums the packet up as a device does, and fails the run when the sum is wrong afterwards. */
const BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 1 << 2;

/* Not for refusals and errors: the kernel gives up the sum of a packet that gets another length. */
describe('program: a sum that the device made over the packet stays right', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'] });
    const other: Packet = {
      source: families.IPv4.client,
      sourcePort: 1,
      destination: families.IPv4.client,
      destinationPort: 9,
      protocol: 'UDP',
    };
    try {
      await sum('bpf_lb_ingress', 'eth0', build(other));
    } catch {
      skip(this, 'the kernel cannot test sums of devices');
    }
    for (const [name, port] of [
      ['remote', 80],
      ['local', 81],
      ['empty', 82],
    ] as const) {
      await harness.call('put', {
        name,
        frontends: protocols.flatMap((protocol) =>
          all.map((f) => ({ type: 'LoadBalancer' as const, address: f.vip, port, protocol })),
        ),
        backends:
          name === 'empty' ? [] : all.map((f) => ({ address: f[name], port: 8080, local: name === 'local' })),
      });
    }
  });

  after(() => harness?.close());

  const sum = (program: 'bpf_lb_ingress' | 'bpf_lb_egress', device: string, frame: Uint8Array) =>
    harness.run(program, device, frame, BPF_F_TEST_SKB_CHECKSUM_COMPLETE);

  async function redirected(device: string, frame: Uint8Array): Promise<Buffer> {
    const result = await sum('bpf_lb_ingress', device, frame);
    assert.equal(result.retval, verdicts.redirect);
    return result.frame;
  }

  let lastPort = 1024;

  for (const [name, f] of Object.entries(families)) {
    const request = (protocol: Packet['protocol'], changes: Partial<Packet> = {}): Packet => ({
      source: f.client,
      sourcePort: ++lastPort,
      destination: f.vip,
      destinationPort: 80,
      protocol,
      payload: Buffer.from('an odd number of bytes.'),
      ...changes,
    });

    for (const protocol of protocols) {
      it(`translated there and back: ${name} ${protocol}`, async () => {
        for (const destinationPort of [80, 81]) {
          const packet = request(protocol, { destinationPort });
          const there = parse(await redirected('eth0', build(packet)));
          const reply: Packet = {
            ...packet,
            source: there.destination,
            sourcePort: there.destinationPort,
            destination: there.source,
            destinationPort: there.sourcePort,
            chunk: 'INIT ACK',
          };
          await redirected(destinationPort === 80 ? 'eth1' : 'lxc0', build(reply));
        }
      });

      it(`errors about flows: ${name} ${protocol}`, async () => {
        const packet = request(protocol);
        const { source, sourcePort, destination, destinationPort } = parse(
          await redirected('eth0', build(packet)),
        );
        const quoted = withoutLink({ ...packet, source, sourcePort, destination, destinationPort });
        for (const length of [quoted.length, quoted.length - 1, f.version === 4 ? 28 : 48]) {
          const error = {
            ...messages[f.version].timeExceeded,
            source: f.podRouter,
            destination: source,
            body: quoted.subarray(0, length),
          };
          await redirected('eth1', buildMessage(error));
        }
      });
    }

    it(`fragments: ${name}`, async () => {
      for (const frame of buildFragments(request('UDP', { payload: Buffer.alloc(301, 3) }), [64, 128])) {
        await redirected('eth0', frame);
      }
    });

    it(`echo replies: ${name}`, async () => {
      for (const body of ['', 'odd', 'even']) {
        const echo = {
          ...messages[f.version].echoRequest,
          source: f.client,
          destination: f.vip,
          ttl: 9,
          body: Buffer.from(body),
        };
        await redirected('eth0', buildMessage(echo));
      }
    });
  }
});
