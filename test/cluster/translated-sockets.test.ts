import assert from 'node:assert/strict';

import type { Frontend, TranslatedSocket } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import { both, families, mapped, udpType, unmapped } from './ways';

const frontend = {
  4: { address: '10.96.7.1', port: 80 },
  6: { address: 'fd00:96::7:1', port: 80 },
};

for (const [title, slots] of [
  ['in the slots', smallCapacity.sockets],
  ['in socket storage, as the only slot is taken', 1],
] as const) {
  describe(`sockets(): translated sockets, kept ${title}`, () => {
    const cluster = useTwoNodes();
    let lb: RemoteLoadBalancer;
    let frontends: readonly Frontend[];

    before(async () => {
      const [node] = cluster.nodes;
      lb = await openLoadBalancer(cluster.cleanup, node, { capacity: { ...smallCapacity, sockets: slots } });
      const web = await lb.upsertService({
        name: 'web',
        frontends: families.flatMap((family) => both({ type: 'ClusterIP', ...frontend[family] })),
        backends: families.map((family) => ({ address: node.pods[0].addresses[family], port: podPort })),
      });
      frontends = web.frontends;
      if (slots > 1) return;
      const holder = await node.peer();
      const { id } = await holder.open(frontend[4]);
      cluster.cleanup.add(() => holder.dropConnection(id));
    });

    /** The socket with this end; undefined: it is not translated. */
    async function find(protocol: 'TCP' | 'UDP', port: number): Promise<TranslatedSocket | undefined> {
      const { sockets } = await lb.sockets();
      const found = sockets.filter((socket) => socket.protocol === protocol && socket.source.port === port);
      assert.ok(found.length <= 1, 'each is listed once');
      return found[0];
    }

    for (const family of families) {
      const backend = () => ({ address: cluster.nodes[0].pods[0].addresses[family], port: podPort });
      const ways: [string, Endpoint][] = [[`IPv${family}`, frontend[family]]];
      if (family === 4)
        ways.push(['IPv4 on an IPv6 socket', { ...frontend[4], address: mapped(frontend[4].address) }]);

      for (const [way, to] of ways) {
        it(`connections of the node and of a pod, ${way}`, async () => {
          const netns = new Set<bigint>();
          for (const host of [cluster.nodes[0], cluster.nodes[0].pods[1]]) {
            const peer = await host.peer();
            const { id, local } = await peer.open(to);
            const found = await find('TCP', local.port);
            assert.ok(found);
            const { cookie, netns: where, ...rest } = found;
            assert.ok(cookie > 0n);
            netns.add(where);
            assert.deepEqual(rest, {
              protocol: 'TCP',
              state: 1,
              frontend: frontend[family],
              frontendId: frontends.find(
                ({ address, protocol }) => address === frontend[family].address && protocol === 'TCP',
              )?.id,
              backend: backend(),
              source: { ...local, address: unmapped(local.address) },
            });
            await peer.dropConnection(id);
            assert.equal(await find('TCP', local.port), undefined);
          }
          assert.equal(netns.size, 2);
        });

        it(`connected datagram sockets of a pod, ${way}`, async () => {
          const peer = await cluster.nodes[0].pods[1].peer();
          const id = await peer.connectUdp(to, { type: udpType(to.address) });
          cluster.cleanupEach.add(() => peer.closeUdp(id));
          const { local } = await peer.askUdp(id);
          const found = await find('UDP', local.port);
          assert.deepEqual([found?.frontend, found?.backend], [frontend[family], backend()]);
        });
      }

      it(`no others, IPv${family}`, async () => {
        const peer = await cluster.nodes[0].pods[1].peer();
        const { id, local } = await peer.open(backend());
        assert.equal(await find('TCP', local.port), undefined, 'a connection to the pod itself');
        await peer.dropConnection(id);

        const datagrams = await peer.openUdp({ type: `udp${family}` });
        cluster.cleanupEach.add(() => peer.closeUdp(datagrams));
        const [answer] = await peer.sendUdp(datagrams, [frontend[family]]);
        assert.equal(await find('UDP', answer?.local.port ?? 0), undefined, 'a socket that is not connected');
      });
    }

    it('of every namespace', async () => {
      /* Two nodes, two pods of each, a client, and that of this process. */
      assert.ok((await lb.sockets()).namespaces >= 8);
    });
  });
}
