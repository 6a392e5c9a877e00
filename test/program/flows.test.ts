import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { skip } from '../support/skip';
import { Harness, verdicts } from './harness';
import { build, type Packet, parse } from './packets';

const service = (backends: string[]) => ({
  name: 'web',
  frontends: [
    { type: 'NodePort' as const, port: 30001 },
    { type: 'NodePort' as const, port: 30001, protocol: 'UDP' as const },
  ],
  backends: backends.map((address) => ({ address, port: 8080 })),
});

const request = (changes: Partial<Packet>): Packet => ({
  source: '203.0.113.2',
  sourcePort: 40000,
  destination: '203.0.113.1',
  destinationPort: 30001,
  protocol: 'TCP',
  ...changes,
});

describe('program: flows', function () {
  let harness: Harness;

  beforeEach(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({
      snatPorts: [50000, 50063],
      flowLifetimes: { opening: 3, established: 6, closing: 1, datagram: 2 },
    });
    await harness.call('put', service(['10.244.2.2']));
  });

  afterEach(() => harness?.close());

  const send = async (packet: Packet) => {
    const { retval, frame } = await harness.run('bpf_lb_ingress', 'eth0', build(packet));
    return { retval, ...parse(frame) };
  };
  const replyTo = (sent: { sourcePort: number; destination: string }, flags: string) =>
    harness.run(
      'bpf_lb_ingress',
      'eth1',
      build({
        source: sent.destination,
        sourcePort: 8080,
        destination: '10.0.9.1',
        destinationPort: sent.sourcePort,
        protocol: 'TCP',
        flags,
      }),
    );

  it('makes two entries for a connection and none for its later packets', async () => {
    await send(request({ flags: 'S' }));
    assert.equal(await harness.call('flows'), 2);
    await send(request({ flags: 'A' }));
    await send(request({ flags: 'PA' }));
    assert.equal(await harness.call('flows'), 2);
    assert.equal((await harness.call('counters')).FLOW_CREATED, 1);
  });

  it('keeps a flow on its backend when the service changes, and gives new flows the new backend', async () => {
    const before = await send(request({ flags: 'S' }));
    await harness.call('put', service(['10.244.2.3']));
    assert.equal((await send(request({ flags: 'A' }))).destination, before.destination);
    assert.equal((await send(request({ flags: 'S', sourcePort: 40001 }))).destination, '10.244.2.3');
  });

  it('keeps a flow when the service is deleted, and begins none', async () => {
    const before = await send(request({ flags: 'S' }));
    await harness.call('remove', 'web');
    assert.equal((await send(request({ flags: 'A' }))).destination, before.destination);
    assert.equal((await replyTo(before, 'A')).retval, verdicts.redirect);
    assert.equal((await send(request({ flags: 'S', sourcePort: 40001 }))).retval, verdicts.next);
  });

  it('opens a connection anew on the tuple of one that was reset', async () => {
    await send(request({ flags: 'S' }));
    await send(request({ flags: 'RA' }));
    await harness.call('put', service(['10.244.2.3']));
    assert.equal((await send(request({ flags: 'S' }))).destination, '10.244.2.3');
  });

  it('opens a connection anew on the tuple of one that both sides finished', async () => {
    const there = await send(request({ flags: 'S' }));
    await replyTo(there, 'SA');
    await send(request({ flags: 'A' }));
    await send(request({ flags: 'FA' }));
    await harness.call('put', service(['10.244.2.3', '10.244.2.2']));
    const halfClosed = await send(request({ flags: 'S' }));
    assert.equal(halfClosed.destination, '10.244.2.2', 'one FIN does not end a connection');
    await replyTo(there, 'FA');
    await harness.call('put', service(['10.244.2.3']));
    assert.equal((await send(request({ flags: 'S' }))).destination, '10.244.2.3');
  });

  it('forgets a flow after its lifetime, and not before', async () => {
    await send(request({ protocol: 'UDP' }));
    await harness.call('put', service(['10.244.2.3']));
    assert.equal((await send(request({ protocol: 'UDP' }))).destination, '10.244.2.2');
    await sleep(4200);
    assert.equal((await send(request({ protocol: 'UDP' }))).destination, '10.244.2.3');
  });

  it('keeps both directions alive by either one', async () => {
    const there = await send(request({ flags: 'S' }));
    await replyTo(there, 'SA');
    await send(request({ flags: 'A' }));
    await harness.call('put', service(['10.244.2.3']));
    for (let i = 0; i < 5; i++) {
      await sleep(2000);
      assert.equal((await replyTo(there, 'A')).retval, verdicts.redirect);
    }
    assert.equal((await send(request({ flags: 'A' }))).destination, '10.244.2.2');
  }).timeout(20_000);

  it('gives every flow a source port of its own, and drops and counts when there is none', async () => {
    const ports = new Set<number>();
    let dropped = 0;
    for (let i = 0; i < 80; i++) {
      const { retval, sourcePort } = await send(request({ flags: 'S', sourcePort: 1024 + i }));
      if (retval === verdicts.drop) dropped++;
      else {
        assert.ok(!ports.has(sourcePort), `port ${sourcePort} twice`);
        ports.add(sourcePort);
      }
    }
    assert.ok(ports.size > 56 && ports.size <= 64, `${ports.size} of 64 ports`);
    assert.equal((await harness.call('counters')).DROP_NO_PORT, dropped);
    /* Another destination has its own ports. */
    await harness.call('put', service(['10.244.2.3']));
    assert.equal((await send(request({ flags: 'S', sourcePort: 2000 }))).retval, verdicts.redirect);
  });

  it('restores the reply entry that was evicted, and keeps its port from others', async () => {
    const there = await send(request({ protocol: 'UDP', sourcePort: 50010 }));
    assert.equal(await harness.call('evict', 'reply'), 1);
    /* Entries are looked after once a second. */
    await sleep(1100);
    assert.equal((await send(request({ protocol: 'UDP', sourcePort: 50010 }))).sourcePort, there.sourcePort);
    assert.equal(await harness.call('flows'), 2);
    assert.equal((await harness.call('counters')).FLOW_REPAIRED, 1);
    const other = await send(request({ protocol: 'UDP', source: '203.0.113.3', sourcePort: 50010 }));
    assert.notEqual(other.sourcePort, there.sourcePort);
  });

  it('restores the request entry that was evicted, on the same backend', async () => {
    const there = await send(request({ flags: 'S' }));
    await replyTo(there, 'SA');
    await send(request({ flags: 'A' }));
    assert.equal(await harness.call('evict', 'request'), 1);
    await harness.call('put', service(['10.244.2.3']));
    await sleep(1100);
    assert.equal((await replyTo(there, 'A')).retval, verdicts.redirect);
    assert.deepEqual(await send(request({ flags: 'A' })), there);
  });

  it('gives a flow up whose reply entry another has taken, and begins anew', async () => {
    const first = await send(request({ protocol: 'UDP', sourcePort: 50010 }));
    await harness.call('evict', 'reply');
    const second = await send(request({ protocol: 'UDP', source: '203.0.113.3', sourcePort: 50010 }));
    assert.equal(second.sourcePort, first.sourcePort, 'the port was free');
    await sleep(1100);
    await send(request({ protocol: 'UDP', source: '203.0.113.3', sourcePort: 50010 }));
    await send(request({ protocol: 'UDP', sourcePort: 50010 }));
    const again = await send(request({ protocol: 'UDP', sourcePort: 50010 }));
    assert.notEqual(again.sourcePort, second.sourcePort);
  });

  it('takes over the port of a dead flow', async () => {
    for (let i = 0; i < 80; i++) await send(request({ protocol: 'UDP', sourcePort: 1024 + i }));
    await sleep(4200);
    assert.equal((await send(request({ protocol: 'UDP', sourcePort: 3000 }))).retval, verdicts.redirect);
  });

  it('spreads new flows over the backends', async () => {
    await harness.call('put', service(['10.244.2.2', '10.244.2.3', '10.244.2.4', '10.244.2.5']));
    const counts = new Map<string, number>();
    for (let i = 0; i < 120; i++) {
      const { destination } = await send(request({ flags: 'S', sourcePort: 1024 + i }));
      counts.set(destination, (counts.get(destination) ?? 0) + 1);
    }
    assert.equal(counts.size, 4);
    /* Of 120 fair draws among 4, fewer than 6 for one has a probability below 1e-7. */
    for (const [backend, n] of counts) assert.ok(n >= 6, `${backend}: ${n}`);
  });
});
