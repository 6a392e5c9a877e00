import assert from 'node:assert/strict';

import type { OpenOptions } from '../../lib/options';
import type { FrontendSpec, ServiceSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, buildFragments, buildMessage, messages, type Packet } from './packets';

const all = Object.values(families);
const protocols = ['TCP', 'UDP', 'SCTP'] as const;
const inBrackets = (address: string) => (address.includes(':') ? `[${address}]` : address);

/** Everything that can be said to a client, by port. */
const ports = { served: 80, without: 81, local: 82, restricted: 83, unknown: 84 } as const;

function service(name: keyof typeof ports, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name,
    frontends: all.flatMap((f) =>
      protocols.map((protocol): FrontendSpec => ({
        type: 'LoadBalancer',
        address: f.vip,
        port: ports[name],
        protocol,
      })),
    ),
    backends: all.map((f) => ({ address: f.remote, port: 8080 })),
    ...changes,
  };
}

describe('program: shadow mode', function () {
  let harness: Harness;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  async function open(options: OpenOptions = {}): Promise<void> {
    harness = await Harness.open({ shadow: true, ...options });
  }

  afterEach(async () => {
    await harness?.close();
    harness = undefined as never;
  });

  const request = (f: FamilyAddresses, changes: Partial<Packet> = {}): Packet => ({
    source: f.client,
    sourcePort: 40_000,
    destination: f.vip,
    destinationPort: ports.served,
    protocol: 'TCP',
    ...changes,
  });

  /** Goes on as it came. */
  async function passesBy(frame: Uint8Array, direction: 'enter' | 'leave' = 'enter'): Promise<void> {
    const { retval, frame: after } = await harness[direction]('eth0', frame);
    assert.equal(retval, verdicts.next);
    assertSameFrame(after, frame);
  }

  /** Decisions as text, with how often each was made. */
  async function decisions(): Promise<Record<string, number>> {
    const counted = await harness.call('shadowDecisions');
    return Object.fromEntries(
      counted.map((one) => [
        [one.via, one.protocol, one.frontend, one.service, one.verdict, one.reason, one.backend].join(' '),
        one.count,
      ]),
    );
  }

  it('tells what would be done, and does nothing', async () => {
    await open();
    await harness.call('put', service('served'));
    await harness.call('put', service('without', { backends: [] }));
    await harness.call('put', service('local', { externalTrafficPolicy: 'Local' }));
    await harness.call('put', service('restricted', { sourceRanges: ['192.0.2.0/24', '2001:db8:9::/48'] }));
    const expected: Record<string, number> = {};
    const counts = await harness.countedBy(async () => {
      for (const f of all) {
        for (const protocol of protocols) {
          for (const destinationPort of Object.values(ports)) {
            for (const sourcePort of [40_000, 40_001])
              await passesBy(build(request(f, { protocol, sourcePort, destinationPort })));
          }
          const at = (port: number) => `outside ${protocol} ${inBrackets(f.vip)}:${port}`;
          const backend = `${inBrackets(f.remote)}:8080`;
          expected[`${at(ports.served)} served forward chosen ${backend}`] = 2;
          expected[`${at(ports.without)} without reject no-backend `] = 2;
          expected[`${at(ports.local)} local drop no-local-backend `] = 2;
          expected[`${at(ports.restricted)} restricted drop denied-by-source-ranges `] = 2;
          expected[`outside ${protocol} ${f.vip}  drop unserved-port `] = 2;
        }
      }
    });
    assert.deepEqual(await decisions(), expected);
    assert.deepEqual(counts, {});
    assert.equal(await harness.call('flows'), 0);
  });

  it('decides about first packets alone, where packets say that they are', async () => {
    await open();
    await harness.call('put', service('served'));
    for (const f of all) {
      for (const flags of ['A', 'SA', 'F', 'R']) await passesBy(build(request(f, { flags })));
      await passesBy(build(request(f, { protocol: 'SCTP', chunk: 'DATA' })));
      await passesBy(build(request(f, { source: f.vip, destination: f.client })));
    }
    assert.deepEqual(await decisions(), {});
  });

  it('leaves fragments, echo requests and what leaves alone', async () => {
    await open();
    await harness.call('put', service('served'));
    const counts = await harness.countedBy(async () => {
      for (const f of all) {
        const datagram = request(f, { protocol: 'UDP', payload: Buffer.alloc(1600) });
        for (const fragment of buildFragments(datagram, [800, 808])) await passesBy(fragment);
        const [source, destination] = [f.client, f.vip];
        await passesBy(buildMessage({ source, destination, ...messages[f.version].echoRequest }));
        const forwarded = {
          source: f.snat,
          sourcePort: 40_000,
          destination: f.remote,
          destinationPort: 8080,
        };
        await passesBy(build(request(f, { ...forwarded, fromNode: true })), 'leave');
      }
    });
    assert.deepEqual(Object.values(await decisions()), [1, 1]);
    assert.deepEqual(counts, {});
    assert.equal(await harness.call('flows'), 0);
    assert.equal(await harness.call('sizeOf', 'fragments'), 0);
  });

  it('remembers no client, and counts no connection', async () => {
    await open();
    const backends = all.flatMap((f) => [
      { address: f.remote, port: 8080 },
      { address: f.remote, port: 8081 },
    ]);
    await harness.call('put', service('served', { backends, sessionAffinity: 'ClientIP' }));
    await harness.call('put', service('without', { backends, algorithm: 'least-connections' }));
    for (const f of all) {
      for (let i = 0; i < 10; i++) {
        for (const destinationPort of [ports.served, ports.without])
          await passesBy(build(request(f, { destinationPort, sourcePort: 40_000 + i })));
      }
    }
    const counted = await harness.call('shadowDecisions');
    const sticky = counted.filter((one) => one.service === 'served');
    assert.deepEqual(
      sticky.map(({ count }) => count),
      [10, 10],
      'a client stays with its backend all the same',
    );
    assert.equal(
      counted.reduce((sum, { count }) => sum + count, 0),
      40,
    );
    assert.equal(await harness.call('sizeOf', 'affinities'), 0);
    assert.equal(await harness.call('sizeOf', 'loads'), 0);
  });

  it('does not let who tries all ports or addresses fill the table', async () => {
    await open({ serviceCIDRs: ['10.96.0.0/16'] });
    await harness.call('put', service('served'));
    for (let i = 0; i < 50; i++) {
      await passesBy(build(request(families.IPv4, { destinationPort: 1000 + i })));
      await passesBy(build(request(families.IPv4, { destination: `10.96.1.${i}` })));
    }
    assert.deepEqual(await decisions(), {
      [`outside TCP ${families.IPv4.vip}  drop unserved-port `]: 50,
      'outside TCP   drop unallocated-cluster-ip ': 50,
    });
  });

  it('over, serves', async () => {
    await open();
    await harness.call('put', service('served'));
    const frame = build(request(families.IPv4));
    await passesBy(frame);
    await harness.call('activate');
    assert.equal((await harness.enter('eth0', frame)).retval, verdicts.redirect);
    assert.equal(await harness.call('flows'), 2);
    assert.deepEqual(Object.values(await decisions()), [1]);
  });
});
