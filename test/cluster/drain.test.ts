import assert from 'node:assert/strict';

import type { BackendSpec, OpenOptions, ServiceSpec } from '../../lib';
import { formatEndpoint } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { eventually } from '../support/eventually';
import { backendsOf, both, families } from './ways';

const nodePort = 30086;
const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };

/** What ends a wait where the test is broken. */
const late = 20_000;

const endpointOf = ({ address, port }: BackendSpec) => formatEndpoint(address, port);

describe('draining', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  const open = (options: OpenOptions = {}) =>
    openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { devices: ['eth0'], ...options });

  const put = (backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}) =>
    lb.upsertService({
      name: 'web',
      frontends: [
        ...families.flatMap((family) => both({ type: 'ClusterIP', address: clusterIP[family], port: 80 })),
        ...both({ type: 'NodePort', port: nodePort }),
      ],
      backends,
      ...more,
    });

  const twoOf = (family: 4 | 6) => backendsOf(cluster.pods.slice(0, 2), cluster.nodes[0], family);

  /** Who is counted through which path. */
  const paths = [
    {
      name: 'sockets of a pod',
      kind: 'sockets' as const,
      client: (): Host => cluster.nodes[0].pods[1],
      to: (family: 4 | 6): Endpoint => ({ address: clusterIP[family], port: 80 }),
    },
    {
      name: 'flows from outside',
      kind: 'flows' as const,
      client: (): Host => cluster.client,
      to: (family: 4 | 6): Endpoint => ({ address: cluster.nodes[0].addresses[family], port: nodePort }),
    },
  ];

  const counted = async (kind: 'sockets' | 'flows'): Promise<Record<string, number>> => {
    const counts = await lb.connections('web');
    return Object.fromEntries(
      counts.filter((count) => count[kind] > 0).map((count) => [count.backend, count[kind]]),
    );
  };

  beforeEach(async () => {
    lb = await open();
  });

  for (const { name, kind, client, to } of paths) {
    for (const family of families) {
      it(`waits for the connections of a backend, and gives it no more: ${name}, IPv${family}`, async () => {
        const [one, other] = twoOf(family) as [BackendSpec, BackendSpec];
        const peer = await client().peer();
        await put([one]);
        const held = await Promise.all(Array.from({ length: 5 }, () => peer.open(to(family))));
        assert.deepEqual(await counted(kind), { [endpointOf(one)]: 5 });
        await put([one, other]);

        assert.equal(await lb.drain('web', endpointOf(one), { deadline: 0 }), 5, 'the deadline has passed');
        const { served } = await peer.tally(to(family), 60);
        assert.deepEqual(Object.keys(served), [cluster.pods[1]?.name]);
        assert.match(await lb.formatServices(), /\(draining\)/);
        for (const { id } of held) assert.equal(await peer.echo(id, 'still here'), 'still here');

        let settled = false;
        const drained = lb.drain('web', one, { deadline: late }).finally(() => (settled = true));
        for (const { id } of held.slice(1)) await peer.dropConnection(id);
        await eventually(async () => assert.deepEqual((await counted(kind))[endpointOf(one)], 1));
        assert.equal(settled, false);
        await peer.dropConnection((held[0] as (typeof held)[0]).id);
        assert.equal(await drained, 0);

        await lb.undrain('web', endpointOf(one));
        assert.equal(Object.keys((await peer.tally(to(family), 60)).served).length, 2);
      });
    }
  }

  it('is not undone by a spec that lists the backend, but by one that does not', async () => {
    const [one, other] = twoOf(4) as [BackendSpec, BackendSpec];
    const draining = (service: Awaited<ReturnType<typeof put>>) =>
      service.backends.filter((b) => b.draining).map(endpointOf);
    await put([one, other]);
    assert.equal(await lb.drain('web', endpointOf(one)), 0);
    assert.deepEqual(draining(await put([one, other])), [endpointOf(one)]);
    assert.deepEqual(draining(await put([other, { ...one, weight: 3 }])), [endpointOf(one)]);
    assert.deepEqual(draining(await put([other])), []);
    assert.deepEqual(draining(await put([one, other])), []);
  });

  it('of the only backend refuses connections', async () => {
    const [one] = twoOf(4) as [BackendSpec];
    const peer = await cluster.client.peer();
    const to = { address: cluster.nodes[0].addresses[4], port: nodePort };
    await put([one]);
    assert.equal(await lb.drain('web', endpointOf(one)), 0);
    await assert.rejects(peer.tcp(to), { code: 'ECONNREFUSED' });
    await lb.undrain('web', endpointOf(one));
    await peer.tcp(to);
  });

  it('ends with its signal, and with the LoadBalancer, and leaves the backend as it is', async () => {
    const [one, other] = twoOf(4) as [BackendSpec, BackendSpec];
    const peer = await cluster.client.peer();
    await put([one]);
    const { id } = await peer.open({ address: cluster.nodes[0].addresses[4], port: nodePort });
    await assert.rejects(lb.drain('web', endpointOf(one), { deadline: Infinity, abort: 50 }), {
      name: 'TimeoutError',
    });
    const { backends } = await put([one, other]);
    assert.deepEqual(
      backends.map(({ draining }) => draining),
      [true, false],
    );
    const waiting = assert.rejects(lb.drain('web', endpointOf(one), { deadline: Infinity }), {
      code: 'ERR_BPF_CLOSED',
    });
    await lb.close();
    await waiting;
    /* Nobody translates it any more. */
    await peer.dropConnection(id).catch(() => undefined);
  });

  it('counts connections to backends that the service has no more', async () => {
    const [one, other] = twoOf(4) as [BackendSpec, BackendSpec];
    const peer = await cluster.client.peer();
    await put([one]);
    const { id } = await peer.open({ address: cluster.nodes[0].addresses[4], port: nodePort });
    await put([other]);
    assert.deepEqual(await counted('flows'), { [endpointOf(one)]: 1 });
    await peer.dropConnection(id);
    await eventually(async () => assert.deepEqual(await counted('flows'), {}));
  });

  it('counts a UDP flow until its lifetime is over', async () => {
    await lb.close();
    lb = await open({ flowLifetimes: { datagram: 1 } });
    const [one] = twoOf(4) as [BackendSpec];
    const peer = await cluster.client.peer();
    await put([one]);
    const to = { address: cluster.nodes[0].addresses[4], port: nodePort };
    await peer.connectedUdp(to, { type: 'udp4', localPort: 22_001 });
    assert.equal(await lb.drain('web', endpointOf(one), { deadline: late }), 0);
    assert.deepEqual(await counted('flows'), {});
  });

  it('says what it was not given', async () => {
    const [one] = twoOf(4) as [BackendSpec];
    await put([one]);
    await assert.rejects(lb.drain('web', '10.0.0.1:80'), { code: 'ERR_BPF_INVALID_BACKEND' });
    await assert.rejects(lb.drain('web', '10.0.0.1'), { code: 'ERR_BPF_INVALID_ADDRESS' });
    await assert.rejects(lb.drain('web', endpointOf(one), { deadline: -1 }), {
      code: 'ERR_BPF_INVALID_OPTION',
    });
  });
});
