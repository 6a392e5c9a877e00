import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import { openLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { listen, useTwoNodes } from '../support/cluster/suite';
import { families, udpType } from './ways';

const numbers = Array.from({ length: 12 }, (_, i) => i + 1);

/** The frontend of service `n`, TCP and UDP. */
const frontend = {
  4: (n: number) => ({ address: `10.96.1.${n}`, port: 80 }),
  6: (n: number) => ({ address: `fd00:96::1:${n}`, port: 80 }),
};

for (const [title, sockets] of [
  ['in the slots', smallCapacity.sockets],
  ['in socket storage, as the only slot is taken', 1],
] as const) {
  describe(`socket layer: names of frontends, kept ${title}`, () => {
    const cluster = useTwoNodes();

    before(async () => {
      const { cleanup } = cluster;
      const [node] = cluster.nodes;
      const [pod] = node.pods;
      const services: ServiceSpec[] = [];
      for (const n of numbers) {
        await listen(cleanup, pod, { port: 9000 + n, name: `server ${n}` });
        for (const protocol of ['TCP', 'UDP'] as const) {
          services.push({
            name: `service ${n} ${protocol}`,
            frontends: families.map((f) => ({ type: 'ClusterIP', ...frontend[f](n), protocol })),
            backends: families.map((f) => ({ address: pod.addresses[f], port: 9000 + n })),
          });
        }
      }
      const lb = await openLoadBalancer(cleanup, node, { capacity: { ...smallCapacity, sockets } });
      await lb.apply(services);
      if (sockets > 1) return;
      // Takes the slot for as long as the suite runs.
      const holder = await node.peer();
      const { id } = await holder.open(frontend[4](1));
      cleanup.add(() => holder.dropConnection(id));
    });

    for (const family of families) {
      const type = udpType(frontend[family](1).address);

      it(`of many connections at a time, IPv${family}`, async () => {
        for (const host of [cluster.nodes[0], cluster.nodes[0].pods[1]]) {
          const peer = await host.peer();
          const opened = await Promise.all(
            [...numbers, ...numbers].map(async (n) => ({ n, ...(await peer.open(frontend[family](n))) })),
          );
          for (const { n, id, server, peer: name } of opened) {
            assert.equal(server, `server ${n}`);
            assert.deepEqual(name, frontend[family](n));
            assert.deepEqual(await peer.peerName(id), frontend[family](n));
          }
          for (const { id } of opened) await peer.dropConnection(id);
        }
      });

      it(`of many connections one after the other, IPv${family}`, async () => {
        const peer = await cluster.nodes[0].peer();
        for (let i = 0; i < 5; i++) {
          for (const n of numbers) {
            assert.deepEqual((await peer.tcp(frontend[family](n))).peer, frontend[family](n));
          }
        }
      });

      it(`of connected datagram sockets, IPv${family}`, async () => {
        const peer = await cluster.nodes[0].pods[1].peer();
        const answers = await Promise.all(
          numbers.map((n) => peer.connectedUdp(frontend[family](n), { type })),
        );
        for (const [i, { server, peer, source }] of answers.entries()) {
          const n = numbers[i] as number;
          assert.equal(server, `server ${n}`);
          assert.deepEqual(peer, frontend[family](n));
          assert.deepEqual(source, frontend[family](n));
        }
      });

      it(`of ${numbers.length} services that one datagram socket asks in turn, IPv${family}`, async () => {
        const peer = await cluster.nodes[0].peer();
        const round = [...numbers, ...numbers];
        const answers = await peer.unconnectedUdp(round.map(frontend[family]), { type });
        assert.deepEqual(
          answers.map(({ server, peer }) => ({ server, peer })),
          round.map((n) => ({ server: `server ${n}`, peer: frontend[family](n) })),
        );
      });

      it(`of 8 services that one datagram socket asks at once, IPv${family}`, async () => {
        const peer = await cluster.nodes[0].pods[1].peer();
        const id = await peer.openUdp({ type });
        cluster.cleanupEach.add(() => peer.closeUdp(id));
        for (const eight of [numbers.slice(0, 8), numbers.slice(4)]) {
          const answers = await peer.sendUdp(id, eight.map(frontend[family]));
          assert.deepEqual(
            answers.map(({ server, peer }) => ({ server, peer })),
            eight.map((n) => ({ server: `server ${n}`, peer: frontend[family](n) })),
          );
        }
      });
    }

    it('of services of both families that one IPv6 socket asks', async () => {
      const peer = await cluster.nodes[0].peer();
      const asked = numbers.map((n) =>
        n % 2 ? frontend[6](n) : { ...frontend[4](n), address: `::ffff:${frontend[4](n).address}` },
      );
      const answers = await peer.unconnectedUdp(asked, { type: 'udp6' });
      assert.deepEqual(
        answers.map(({ peer }) => peer),
        asked,
      );
    });

    it('leaves the name of a server that is asked directly alone', async () => {
      const [pod] = cluster.nodes[0].pods;
      const peer = await cluster.nodes[0].peer();
      const direct = { address: pod.addresses[4], port: 9001 };
      const answers = await peer.unconnectedUdp([direct, frontend[4](2), direct], { type: 'udp4' });
      assert.deepEqual(
        answers.map(({ peer }) => peer),
        [direct, frontend[4](2), direct],
      );
      assert.deepEqual((await peer.tcp(direct)).peer, direct);
    });
  });
}

describe('socket layer: two frontends of one backend', () => {
  const cluster = useTwoNodes();

  it('a datagram socket is answered by the one that it asked last', async () => {
    const [node] = cluster.nodes;
    const [pod] = node.pods;
    const lb = await openLoadBalancer(cluster.cleanup, node);
    await lb.upsertService({
      name: 'web',
      frontends: [1, 2].map((n) => ({ type: 'ClusterIP', ...frontend[4](n), protocol: 'UDP' })),
      backends: [{ address: pod.addresses[4], port: 8080 }],
    });
    const peer = await node.peer();
    const asked = [1, 2, 2, 1, 2].map(frontend[4]);
    const answers = await peer.unconnectedUdp(asked, { type: 'udp4' });
    assert.deepEqual(
      answers.map(({ peer }) => peer),
      asked,
    );
  });
});
