import assert from 'node:assert/strict';

import type { BackendSpec, ServiceSpec } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { backendsOf, families, udpType } from './ways';

const nodePort = 30086;
const otherPort = 30087;

describe('UDP flows from outside, when backends go', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;
  let lastPort = 21_000;

  beforeEach(async () => {
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['eth0'],
      socketLB: false,
    });
  });

  const frontend = (family: 4 | 6, port = nodePort): Endpoint => ({
    address: cluster.nodes[0].addresses[family],
    port,
  });

  const put = (backends: BackendSpec[], more: Partial<ServiceSpec> = {}) =>
    lb.upsertService({
      name: 'dns',
      frontends: [{ type: 'NodePort', port: nodePort, protocol: 'UDP' }],
      backends,
      ...more,
    });

  /** Backends of both families, on one pod of each node. */
  const backends = (index: number) =>
    backendsOf(
      cluster.nodes.map(({ pods }) => pods[index as 0]),
      cluster.nodes[0],
    );

  /** A client that sends from one port, again and again. */
  function client(family: 4 | 6, to = frontend(family)) {
    const localPort = ++lastPort;
    return async () => {
      const peer = await cluster.client.peer();
      return (await peer.connectedUdp(to, { type: udpType(to.address), localPort, timeout: 1000 })).server;
    };
  }

  const named = (index: number) => cluster.nodes.map(({ pods }) => pods[index as 0].name);

  for (const family of families) {
    it(`leave one that is removed, and stay with one that terminates: IPv${family}`, async () => {
      await put(backends(0));
      const clients = Array.from({ length: 4 }, () => client(family));
      const first = await Promise.all(clients.map((ask) => ask()));
      assert.ok(first.every((server) => named(0).includes(server)));
      /* Those that serve no new client any more keep their old ones. */
      await put([...backends(0).map((b) => ({ ...b, state: 'terminating' as const })), ...backends(1)]);
      for (let i = 0; i < 3; i++) assert.deepEqual(await Promise.all(clients.map((ask) => ask())), first);
      await put(backends(1));
      await eventually(async () => {
        const servers = await Promise.all(clients.map((ask) => ask()));
        assert.ok(
          servers.every((server) => named(1).includes(server)),
          servers.join(),
        );
      });
    });
  }

  it('end with their service, and are not those of another one', async () => {
    await put(backends(0));
    await lb.upsertService({
      name: 'other',
      frontends: [{ type: 'NodePort', port: otherPort, protocol: 'UDP' }],
      backends: backends(0),
    });
    const [ask, askOther] = [client(4), client(4, frontend(4, otherPort))];
    const [server, other] = [await ask(), await askOther()];
    assert.ok(named(0).includes(server));
    await lb.deleteService('dns');
    await eventually(() => assert.rejects(ask()));
    for (let i = 0; i < 5; i++) assert.equal(await askOther(), other);
  });

  it('move to the service that has taken their frontend', async () => {
    await put(backends(0));
    const ask = client(4);
    assert.ok(named(0).includes(await ask()));
    await lb.apply([
      {
        name: 'successor',
        frontends: [{ type: 'NodePort', port: nodePort, protocol: 'UDP' }],
        backends: backends(1),
      },
    ]);
    await eventually(async () => assert.ok(named(1).includes(await ask())));
  });
});
