import assert from 'node:assert/strict';

import { skip } from '../support/skip';
import { Harness, verdicts } from './harness';
import { Traffic, backendOf, passed, replyTo, request, requests } from './traffic';

const nodePort = (name: string, port: number, ...addresses: string[]) => ({
  name,
  frontends: (['TCP', 'UDP'] as const).map((protocol) => ({ type: 'NodePort' as const, port, protocol })),
  backends: addresses.map((address) => ({ address, port: 8080 })),
});

describe('program: source ports', function () {
  let harness: Harness;
  let traffic: Traffic;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  async function open(...options: Parameters<typeof Harness.open>): Promise<void> {
    harness = await Harness.open(...options);
    traffic = new Traffic(harness);
    await harness.call('put', nodePort('web', 30001, '10.244.2.2'));
  }

  afterEach(async () => {
    await harness?.close();
    harness = undefined as never;
  });

  it('filling a window of 32,768 ports with as many new flows fails no more than 700', async () => {
    /* Both directions of all flows are pending at the end. */
    await open({ snatPorts: [32768, 65535], capacity: { flows: 524_288 } });
    const clients = ['203.0.113.2', '203.0.113.3'];
    /* None of the clients' own ports lies in the window. */
    const all = clients.flatMap((source) => requests(16_384, { source, sourcePort: 1024 }));
    const taken = new Set<number>();
    const curve: string[] = [];
    let failed = 0;
    for (const [from, to] of [
      [0, 50],
      [50, 70],
      [70, 75],
      [75, 90],
      [90, 100],
    ] as const) {
      const part = all.slice((all.length * from) / 100, (all.length * to) / 100);
      for (const { retval, sourcePort, source, valid } of await traffic.send(part)) {
        if (retval === verdicts.drop) {
          failed++;
          continue;
        }
        assert.ok(retval === verdicts.redirect && valid);
        assert.equal(source, '10.0.9.1');
        assert.ok(sourcePort >= 32768 && !taken.has(sourcePort), `port ${sourcePort}`);
        taken.add(sourcePort);
      }
      curve.push(`${to} %: ${failed}`);
    }
    console.log(`      flows without a port, by how many of 32,768 were begun: ${curve.join(', ')}`);
    assert.ok(failed <= 700, `${failed} flows found no port`);
    const { DROP_NO_PORT = 0, FLOW_CREATED } = await harness.call('counters');
    assert.deepEqual([DROP_NO_PORT, FLOW_CREATED], [failed, taken.size]);
  });

  for (const [min, max] of [
    [50_000, 50_000],
    [50_000, 50_036],
    [64_536, 65_535],
  ] as const) {
    const size = max - min + 1;
    it(`every port of a window is reached, whatever its size: ${size}`, async () => {
      await open({ snatPorts: [min, max] });
      const ports = new Set<number>();
      for (let round = 0; round < 100 && ports.size < size; round++) {
        const sent = await traffic.send(requests(size - ports.size, { sourcePort: 1024 + round * size }));
        for (const { retval, sourcePort } of sent) if (retval === verdicts.redirect) ports.add(sourcePort);
      }
      assert.deepEqual(
        [...ports].sort((a, b) => a - b),
        Array.from({ length: size }, (_, i) => min + i),
      );
    });
  }

  it('exhaustion is counted, and an event tells the tuple', async () => {
    await open({ snatPorts: [50_000, 50_003] });
    const sent = await traffic.send(requests(5, { sourcePort: 1024 }));
    assert.deepEqual(
      sent.map(({ retval }) => retval),
      [...Array<number>(4).fill(verdicts.redirect), verdicts.drop],
    );
    assert.equal((await harness.call('counters')).DROP_NO_PORT, 1);
    assert.deepEqual(await harness.call('events'), [
      {
        protocol: 'TCP',
        client: '203.0.113.2',
        clientPort: 1028,
        source: '10.0.9.1',
        backend: '10.244.2.2',
        backendPort: 8080,
      },
    ]);
  });

  it('exhaustion does not flood the reader of events', async () => {
    await open({ snatPorts: [50_000, 50_003] });
    const sent = await traffic.send(requests(2000, { sourcePort: 1024 }));
    const dropped = sent.filter(({ retval }) => retval === verdicts.drop).length;
    assert.equal((await harness.call('counters')).DROP_NO_PORT, dropped);
    const events = await harness.call('events');
    assert.ok(events.length >= 1 && events.length < 500, `${events.length} events for ${dropped} drops`);
  });

  it('exhaustion leaves other destinations unaffected', async () => {
    await open({ snatPorts: [50_000, 50_003] });
    await harness.call('put', nodePort('other', 30002, '10.244.2.3'));
    await harness.call('put', nodePort('same pod, other port', 30003));
    await harness.call('put', {
      ...nodePort('same pod, other port', 30003),
      backends: [{ address: '10.244.2.2', port: 9090 }],
    });
    await traffic.send(requests(20, { sourcePort: 1024 }));
    for (const change of [
      { destinationPort: 30002 },
      { destinationPort: 30003 },
      { protocol: 'UDP' } as const,
    ]) {
      passed(await traffic.send(requests(4, { sourcePort: 1024, ...change })));
    }
  });

  it('a client’s own port in the window is kept where it is free', async () => {
    await open({ snatPorts: [50_000, 50_999] });
    const [first] = await traffic.send([request({ sourcePort: 50_123 })]);
    assert.equal(first?.sourcePort, 50_123);
    const [second] = await traffic.send([request({ source: '203.0.113.3', sourcePort: 50_123 })]);
    assert.notEqual(second?.sourcePort, 50_123);
    assert.equal(second?.retval, verdicts.redirect);
  });

  it('by default, ports exclude NodePorts', async () => {
    await open({});
    const sent = passed(await traffic.send(requests(3000, { sourcePort: 30_000 })));
    for (const { sourcePort } of sent) assert.ok(sourcePort > 32_767, `port ${sourcePort}`);
  });

  it('a port is free again after a connection was reset, and not before', async () => {
    await open({ snatPorts: [50_000, 50_000], flowLifetimes: { closing: 1 } });
    const first = request({ sourcePort: 1024 });
    await traffic.connect([first]);
    const refused = await traffic.send([request({ sourcePort: 1025 })]);
    assert.equal(refused[0]?.retval, verdicts.drop);
    await traffic.send([first], 'R');
    await new Promise((resolve) => setTimeout(resolve, 2200));
    passed(await traffic.send([request({ sourcePort: 1025 })]));
  });

  for (const [where, backend] of [
    ['this node', { address: '10.244.1.2', port: 8080, local: true }],
    ['another node', { address: '10.244.2.2', port: 8080 }],
  ] as const) {
    it(`a client that reaches the same backend on ${where} through two frontends with the same source port gets two working connections`, async () => {
      await open({ snatPorts: [50_000, 50_999] });
      const vip = { destination: '198.51.100.7', destinationPort: 80 };
      await harness.call('put', {
        name: 'web',
        frontends: [
          { type: 'NodePort', port: 30001 },
          { type: 'LoadBalancer', address: vip.destination, port: vip.destinationPort },
        ],
        backends: [backend],
      });
      /* Also where the client's port lies in the window, so that both flows want it. */
      for (const sourcePort of [40_000, 50_500]) {
        const packets = [request({ sourcePort }), request({ sourcePort, ...vip })];
        const sent = passed(await traffic.send(packets, 'S'));
        assert.deepEqual(new Set(sent.map(backendOf)), new Set([`${backend.address}:8080`]));
        const tuples = sent.map(({ source, sourcePort }) => `${source}:${sourcePort}`);
        assert.notEqual(tuples[0], tuples[1]);
        for (const flags of ['SA', 'A', 'PA']) {
          /* Answers of pods of this node leave through eth0, those of others enter through eth1. */
          const answers = sent.map((one) => replyTo(one, flags));
          const back =
            'local' in backend
              ? await harness.call('sendAll', 'bpf_lb_egress', 'eth0', answers)
              : passed(await harness.call('sendAll', 'bpf_lb_ingress', 'eth1', answers));
          for (const [
            i,
            { source, sourcePort: port, destination, destinationPort, valid },
          ] of back.entries()) {
            const asked = packets[i] as (typeof packets)[number];
            assert.ok(valid);
            assert.deepEqual([source, port], [asked.destination, asked.destinationPort]);
            assert.deepEqual([destination, destinationPort], [asked.source, sourcePort]);
          }
          assert.deepEqual(passed(await traffic.send(packets, 'A')), sent);
        }
      }
    });
  }
});
