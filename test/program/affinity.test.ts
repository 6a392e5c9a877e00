import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { BackendSpec, FrontendSpec, ServiceSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import { families } from './families';
import { Harness } from './harness';
import type { Packet } from './packets';
import { passed, request, requests, Traffic } from './traffic';

const clusterIP = { destination: '10.96.0.1', destinationPort: 80 };
const vip = { destination: '198.51.100.7', destinationPort: 80 };

const frontends: FrontendSpec[] = [
  { type: 'NodePort', port: 30001 },
  { type: 'NodePort', port: 30001, protocol: 'UDP' },
  { type: 'LoadBalancer', address: vip.destination, port: 80 },
  { type: 'ClusterIP', address: clusterIP.destination, port: 80 },
];

const pinned: BackendSpec = { address: '10.244.2.2', port: 8080 };
const others = Array.from({ length: 30 }, (_, i) => ({ address: `10.244.2.${i + 3}`, port: 8080 }));

function service(backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}): ServiceSpec {
  return { name: 'web', frontends, backends, sessionAffinity: 'ClientIP', ...more };
}

describe('program: session affinity ClientIP', function () {
  let harness: Harness;
  let traffic: Traffic;

  beforeEach(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ externalClusterIP: true });
    traffic = new Traffic(harness);
  });

  afterEach(async () => {
    await harness?.close();
    harness = undefined as never;
  });

  /** Every connection comes from another port. */
  let lastPort = 20_000;
  async function connect(changes: Partial<Packet> = {}): Promise<string> {
    const [sent] = passed(await traffic.send([request({ sourcePort: ++lastPort, ...changes })]));
    return sent?.destination as string;
  }

  /** A client that has no pin on `pinned`, and would not be given it. */
  async function findClient(): Promise<string> {
    const frontends: FrontendSpec[] = [{ type: 'NodePort', port: 30009 }];
    await harness.call('put', service([pinned, ...others], { name: 'finder', frontends }));
    for (let i = 10; i < 60; i++) {
      const source = `203.0.113.${i}`;
      if ((await connect({ source, destinationPort: 30009 })) !== pinned.address) return source;
    }
    throw new Error('a first pick that does not depend on the client');
  }

  /** A client that is pinned to `pinned` in the service, which then gets more backends. */
  async function pin(more: Partial<ServiceSpec> = {}): Promise<string> {
    const source = await findClient();
    await harness.call('put', service([pinned], more));
    assert.equal(await connect({ source }), pinned.address);
    await harness.call('put', service([...others, pinned], more));
    return source;
  }

  for (const [name, f] of Object.entries(families)) {
    it(`15 connections of a client have the same backend, and clients are spread: ${name}`, async () => {
      const backends = Array.from({ length: 10 }, (_, i) => ({
        address: f.remote.replace(/2$/, String(i + 2)),
        port: 8080,
      }));
      await harness.call('put', {
        ...service(backends),
        frontends: [{ type: 'NodePort', port: 30001 }],
      });
      const chosen = new Set<string>();
      for (let client = 10; client < 40; client++) {
        const source = f.client.replace(/2$/, String(client));
        const sent = passed(await traffic.send(requests(15, { source, destination: f.node })));
        const own = new Set(sent.map(({ destination }) => destination));
        assert.equal(own.size, 1);
        for (const backend of own) chosen.add(backend);
      }
      /* Thirty draws among ten that meet three or fewer: a probability below 1e-13. */
      assert.ok(chosen.size > 3, `${chosen.size} backends`);
    });
  }

  for (const algorithm of ['random', 'maglev', 'least-connections'] as const) {
    it(`all frontends of a service share the choice, and datagrams do, too: ${algorithm}`, async () => {
      const source = await pin({ algorithm });
      for (const frontend of [{}, vip, clusterIP, { protocol: 'UDP' } as const])
        assert.equal(await connect({ source, ...frontend }), pinned.address);
    });
  }

  it('other services on the same backends do not share it', async () => {
    const source = await pin();
    await harness.call('put', {
      ...service([...others, pinned], { name: 'other' }),
      frontends: [{ type: 'NodePort', port: 30002 }],
    });
    assert.notEqual(await connect({ source, destinationPort: 30002 }), pinned.address);
    assert.equal(await connect({ source }), pinned.address);
  });

  it('other clients do not share it', async () => {
    await pin();
    const chosen = new Set<string>();
    for (let i = 100; i < 120; i++) chosen.add(await connect({ source: `203.0.113.${i}` }));
    assert.ok(chosen.size > 1);
  });

  it('a client is forgotten after the timeout; every new connection begins it anew', async () => {
    const source = await pin({ sessionAffinityTimeout: 3 });
    /* Longer than the timeout as a whole, but never without a connection for so long. */
    for (let i = 0; i < 4; i++) {
      await sleep(1500);
      assert.equal(await connect({ source }), pinned.address);
    }
    await sleep(4500);
    assert.notEqual(await connect({ source }), pinned.address);
  }).timeout(30_000);

  it('a client that was forgotten may be given another backend', async () => {
    const all = [pinned, ...others].slice(0, 3);
    await harness.call('put', service(all, { sessionAffinityTimeout: 1 }));
    const chosen = new Set<string>();
    /* That all are the same happens once in half a million runs. */
    for (let i = 0; i < 13 && chosen.size < 2; i++) {
      if (i > 0) await sleep(2100);
      chosen.add(await connect());
    }
    assert.equal(chosen.size, 2);
  }).timeout(60_000);

  it('packets of a connection do not prolong it', async () => {
    const source = await pin({ sessionAffinityTimeout: 2 });
    const tuple = request({ source, sourcePort: 10_000 });
    await traffic.connect([tuple]);
    for (let i = 0; i < 4; i++) {
      await sleep(1000);
      assert.equal((await traffic.sendOne(tuple, 'PA')).destination, pinned.address);
    }
    assert.notEqual(await connect({ source }), pinned.address);
  }).timeout(30_000);

  it('an endpoint that leaves loses its pins, for good', async () => {
    const source = await pin();
    await harness.call('put', service(others));
    const next = await connect({ source });
    assert.notEqual(next, pinned.address);
    await harness.call('put', service([...others, pinned]));
    assert.equal(await connect({ source }), next);
  });

  for (const [how, change] of [
    ['terminates', { state: 'terminating' }],
    ['is quarantined', { state: 'quarantined' }],
    ['is under maintenance', { state: 'maintenance' }],
    ['has no weight any more', { weight: 0 }],
  ] as const) {
    it(`an endpoint that ${how} keeps no pins`, async () => {
      const source = await pin();
      await harness.call('put', service([...others, { ...pinned, ...change }]));
      assert.notEqual(await connect({ source }), pinned.address);
    });
  }

  it('a pin is kept when the list changes around it', async () => {
    const source = await pin();
    for (const backends of [
      [pinned, ...others],
      [...others.slice(5), pinned],
      [others[9] as BackendSpec, pinned],
    ]) {
      await harness.call('put', service(backends));
      assert.equal(await connect({ source }), pinned.address);
    }
  });

  it('traffic of policy Local that is pinned to an endpoint of another node is chosen anew', async () => {
    const here = { address: '10.244.1.2', port: 8080, local: true };
    const source = await pin();
    await harness.call('put', service([...others, pinned, here], { externalTrafficPolicy: 'Local' }));
    assert.equal(
      await connect({ source, ...clusterIP }),
      pinned.address,
      'ClusterIPs have a policy of their own',
    );
    assert.equal(await connect({ source }), here.address);
  });

  it('a service that is deleted and made again remembers nobody', async () => {
    const source = await pin();
    await harness.call('remove', 'web');
    await harness.call('put', service([...others, pinned]));
    assert.notEqual(await connect({ source }), pinned.address);
  });

  it('affinity that is switched on and off concerns new connections alone', async () => {
    const source = await pin();
    const tuple = request({ source, sourcePort: 10_000 });
    const [sent] = await traffic.connect([tuple]);
    await harness.call('put', service([...others, pinned], { sessionAffinity: 'None' }));
    const chosen = new Set<string>();
    for (let i = 0; i < 40; i++) chosen.add(await connect({ source }));
    assert.ok(chosen.size > 1);
    assert.deepEqual(await traffic.sendOne(tuple, 'PA'), sent);
  });
});
