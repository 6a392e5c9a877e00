import assert from 'node:assert/strict';

import type { BackendSpec, ServiceSpec } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { backendsOf, both, families, udpType } from './ways';

const frontend = {
  4: { address: '10.96.8.1', port: 80 },
  6: { address: 'fd00:96::8:1', port: 80 },
};
const otherFrontend: Endpoint = { address: '10.96.8.2', port: 80 };

for (const [title, slots] of [
  ['in the slots', smallCapacity.sockets],
  ['in socket storage', 1],
] as const) {
  describe(`sockets on backends that go, kept ${title}`, () => {
    const cluster = useTwoNodes();
    let lb: RemoteLoadBalancer;

    beforeEach(async () => {
      const [node] = cluster.nodes;
      lb = await openLoadBalancer(cluster.cleanupEach, node, {
        capacity: { ...smallCapacity, sockets: slots },
        socketReconcilePeriod: 0,
      });
    });

    /** Backends of both families, on one pod of the first node. */
    const on = (pod: 0 | 1): BackendSpec[] => backendsOf([cluster.nodes[0].pods[pod]], cluster.nodes[0]);

    const put = (backends: BackendSpec[], more: Partial<ServiceSpec> = {}) =>
      lb.upsertService({
        name: 'web',
        frontends: families.flatMap((family) => both({ type: 'ClusterIP', ...frontend[family] })),
        backends,
        ...more,
      });

    /** Connections of the node and of a pod, to wherever the service sends them, that answer. */
    async function clients(family: 4 | 6, to: Endpoint = frontend[family]) {
      return Promise.all(
        [cluster.nodes[0], cluster.nodes[0].pods[1]].map(async (host) => {
          const peer = await host.peer();
          const tcp = await peer.open(to);
          const udp = await peer.connectUdp(to, { type: udpType(to.address) });
          cluster.cleanupEach.add(() => peer.closeUdp(udp));
          cluster.cleanupEach.add(() => peer.dropConnection(tcp.id).catch(() => undefined));
          const askTcp = () => peer.echo(tcp.id, 'ping');
          const askUdp = async () => (await peer.askUdp(udp, 1000)).server;
          await askUdp();
          return { askTcp, askUdp };
        }),
      );
    }

    type Client = Awaited<ReturnType<typeof clients>>[number];

    async function udpIsCut(some: readonly Client[]) {
      for (const { askUdp } of some) await eventually(() => assert.rejects(askUdp()));
    }

    async function tcpGoesOn(some: readonly Client[]) {
      for (const { askTcp } of some) assert.equal(await askTcp(), 'ping');
    }

    for (const family of families) {
      it(`UDP is told, TCP goes on: IPv${family}`, async () => {
        await put(on(0));
        const some = await clients(family);
        /* Those that serve no new client any more keep their old ones. */
        await put([...on(0).map((backend) => ({ ...backend, state: 'terminating' as const })), ...on(1)]);
        for (const { askUdp } of some) assert.equal(await askUdp(), cluster.nodes[0].pods[0].name);
        await put(on(1));
        await udpIsCut(some);
        await tcpGoesOn(some);
        const expected = {
          protocol: 'UDP',
          frontend: frontend[family],
          backend: { address: cluster.nodes[0].pods[0].addresses[family], port: podPort },
          service: 'web',
          count: 2,
        };
        await eventually(async () => assert.deepEqual(await lb.destroyedSockets(), [expected]));
      });

      it(`TCP is reset where the service says so: IPv${family}`, async () => {
        await put(on(0), { resetOnRemoval: true });
        const some = await clients(family);
        await put([], { resetOnRemoval: true });
        for (const { askTcp } of some) await eventually(() => assert.rejects(askTcp()));
        await udpIsCut(some);
      });
    }

    it('when the service is deleted; others and direct ones are left alone', async () => {
      await put(on(0), { resetOnRemoval: true });
      await lb.upsertService({
        name: 'other',
        frontends: both({ type: 'ClusterIP', ...otherFrontend }),
        backends: on(0).filter(({ address }) => !address.includes(':')),
        resetOnRemoval: true,
      });
      const direct = { address: cluster.nodes[0].pods[0].addresses[4], port: podPort };
      const [some, others, straight] = [
        await clients(4),
        await clients(4, otherFrontend),
        await clients(4, direct),
      ];
      await lb.deleteService('web');
      await udpIsCut(some);
      for (const { askTcp } of some) await eventually(() => assert.rejects(askTcp()));
      for (const { askUdp, askTcp } of [...others, ...straight]) {
        assert.equal(await askUdp(), cluster.nodes[0].pods[0].name);
        assert.equal(await askTcp(), 'ping');
      }
    });

    it('an unconnected datagram socket goes on with those that are left', async () => {
      await put(on(0));
      const peer = await cluster.nodes[0].pods[1].peer();
      const id = await peer.openUdp({ type: 'udp4' });
      cluster.cleanupEach.add(() => peer.closeUdp(id));
      const ask = async () => (await peer.sendUdp(id, [frontend[4]]))[0]?.server;
      assert.equal(await ask(), cluster.nodes[0].pods[0].name);
      await put(on(1));
      for (let i = 0; i < 5; i++) assert.equal(await ask(), cluster.nodes[0].pods[1].name);
      await put([]);
      await assert.rejects(ask(), { code: 'ECONNREFUSED' });
    });
  });
}
