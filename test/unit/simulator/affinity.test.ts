import assert from 'node:assert/strict';

import type { Query, Simulator } from '../../../lib/simulator';
import type { ServiceSpec } from '../../../lib/spec';
import { addresses, open, web } from './node';

const [clusterIP, vip] = [addresses[4].clusterIP, addresses[4].vip];

const sticky = (changes: Partial<ServiceSpec> = {}): ServiceSpec =>
  web({
    frontends: [
      { type: 'ClusterIP', address: clusterIP, port: 80 },
      { type: 'LoadBalancer', address: vip, port: 80 },
    ],
    backends: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => ({ address: `10.244.2.${i}`, port: 8080 })),
    sessionAffinity: 'ClientIP',
    sessionAffinityTimeout: 60,
    ...changes,
  });

const from = (client: string): Query => ({ from: client, to: clusterIP, port: 80, socket: true });

describe('simulator: session affinity', () => {
  it('a question has no effect: the client is new each time', async () => {
    const simulator = await open([sticky()]);
    const first = simulator.simulate(from('10.0.0.1'));
    assert.equal(first.affinity, 'new');
    assert.deepEqual(simulator.simulate(from('10.0.0.1')), first);
  });

  it('commit: the client stays, at every frontend, by sockets and packets, and others are not concerned', async () => {
    const simulator = await open([sticky()]);
    const { backend } = simulator.simulate({ ...from('10.0.0.1'), commit: true });
    const hit = { backend, affinity: 'hit' };
    const told = (query: Query) => {
      const verdict = simulator.simulate(query);
      return { backend: verdict.backend, affinity: verdict.affinity };
    };
    assert.deepEqual(told(from('10.0.0.1')), hit);
    assert.deepEqual(told({ from: '10.0.0.1', to: vip, port: 80, device: 'eth0' }), hit);
    assert.equal(told(from('10.0.0.2')).affinity, 'new');
  });

  it('a pin holds while its backend is on offer, and takes another then', async () => {
    const simulator = await open([sticky()]);
    const { backend } = simulator.simulate({ ...from('10.0.0.1'), commit: true });
    const { backends } = sticky();
    const isPinned = ({ address }: { address: string }) => backend === `${address}:8080`;
    simulator.upsertService(sticky({ backends: [...backends].reverse() }));
    assert.equal(simulator.simulate(from('10.0.0.1')).backend, backend);
    simulator.upsertService(sticky({ backends: backends.filter((b) => !isPinned(b)) }));
    const moved = simulator.simulate({ ...from('10.0.0.1'), commit: true });
    assert.equal(moved.affinity, 'new');
    assert.notEqual(moved.backend, backend);
    simulator.upsertService(sticky());
    assert.equal(simulator.simulate(from('10.0.0.1')).backend, moved.backend);
  });

  it('a pin ends when the client stays away for longer than the timeout; coming back prolongs it', async () => {
    let now = 1000;
    const simulator = await open([sticky()], { now: () => now });
    simulator.simulate({ ...from('10.0.0.1'), commit: true });
    now += 50;
    assert.equal(simulator.simulate({ ...from('10.0.0.1'), commit: true }).affinity, 'hit');
    now += 50;
    assert.equal(simulator.simulate(from('10.0.0.1')).affinity, 'hit');
    now += 11;
    assert.equal(simulator.simulate(from('10.0.0.1')).affinity, 'new', 'a question alone prolongs nothing');
  });

  it('keeps as many clients as there is room for, the latest', async () => {
    const capacity = { frontends: 15, backends: 64, maglevSlots: 1, affinities: 3 };
    const simulator = await open([sticky()], { capacity });
    const clients = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
    for (const client of clients) simulator.simulate({ ...from(client), commit: true });
    const affinities = clients.map((client) => simulator.simulate(from(client)).affinity);
    assert.deepEqual(affinities, ['new', 'hit', 'hit', 'hit']);
  });

  it('a service that is made again remembers nobody', async () => {
    const simulator: Simulator = await open([sticky()]);
    simulator.simulate({ ...from('10.0.0.1'), commit: true });
    simulator.deleteService('default/web');
    simulator.upsertService(sticky());
    assert.equal(simulator.simulate(from('10.0.0.1')).affinity, 'new');
  });
});
