import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';

import { type Family, formatEndpoint } from '../../lib/address';
import type { OpenOptions, ServiceSpec, ShadowDecision } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { installRules, type RuleMode } from '../support/cluster/kube-proxy-rules';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { eventually } from '../support/eventually';
import { counted } from './counters';
import { backendsOf, both, families, udpType } from './ways';

const nodePort = 30080;
const port = 80;
const clusterIP = { 4: '10.96.0.80', 6: 'fd00:96::80' } as const;

describe('taking over from kube-proxy, and giving back', () => {
  const cluster = useTwoNodes();

  /** Who asks whom, by which way. Sockets of pods are not translated, so that their packets are. */
  const ways = (family: Family): [name: string, host: Host, to: Endpoint][] => {
    const [node] = cluster.nodes;
    return [
      ['outside', cluster.client, { address: node.addresses[family], port: nodePort }],
      ['pod', node.pods[0], { address: clusterIP[family], port }],
    ];
  };

  const service = (): ServiceSpec => ({
    name: 'web',
    frontends: [
      ...families.flatMap((family) => both({ type: 'ClusterIP', address: clusterIP[family], port })),
      ...both({ type: 'NodePort', port: nodePort }),
    ],
    backends: backendsOf(cluster.pods, cluster.nodes[0]),
  });

  const open = async (options: OpenOptions = {}): Promise<RemoteLoadBalancer> => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['eth0', 'lxc+'],
      socketLB: { hostNamespaceOnly: true },
      existingConnections: 'leave',
      ...options,
    });
    await lb.upsertService(service());
    return lb;
  };

  /** Connections and datagram sockets that have been answered, and go on to ask. */
  async function talk(host: Host, to: Endpoint, datagramSockets = 3) {
    const peer = await host.peer();
    const connections = await Promise.all([1, 2, 3, 4].map(() => peer.open(to)));
    const sockets: number[] = [];
    for (let i = 0; i < datagramSockets; i++) {
      const id = await peer.openUdp({ type: udpType(to.address) });
      cluster.cleanupEach.add(() => peer.closeUdp(id));
      sockets.push(id);
    }
    const ask = async () => Promise.all(sockets.map(async (id) => (await peer.sendUdp(id, [to]))[0]?.server));
    const servers = await ask();
    return {
      async goesOn() {
        for (const { id } of connections) {
          const word = randomBytes(20_000).toString('hex');
          assert.equal(await peer.echo(id, word), word);
        }
        assert.deepEqual(await ask(), servers);
      },
      async end() {
        for (const { id } of connections) await peer.dropConnection(id);
      },
    };
  }

  /** What 20 new connections and a datagram count as. */
  async function countNew(lb: RemoteLoadBalancer, name: string, host: Host, to: Endpoint) {
    const peer = await host.peer();
    return counted(lb, async () => {
      const { failed } = await peer.tally(to, 20);
      assert.deepEqual(failed, {}, name);
      await peer.unconnectedUdp([to], { type: udpType(to.address) });
    });
  }

  /** Acknowledgements of what was said last may come late. */
  async function silence(lb: RemoteLoadBalancer): Promise<void> {
    await eventually(async () => {
      const { PACKET_LEFT } = await counted(lb, () => setTimeout(250));
      assert.equal(PACKET_LEFT, 0);
    });
  }

  for (const mode of ['iptables', 'nftables'] satisfies RuleMode[]) {
    describe(`rules of ${mode}`, () => {
      beforeEach(() => {
        const [node] = cluster.nodes;
        installRules(cluster.cleanupEach, node.namespace, mode, {
          clusterIP,
          port,
          nodePort,
          pods: cluster.pods,
          targetPort: podPort,
        });
      });

      it('given back, ours go on, and new ones are kube-proxy’s', async () => {
        const all = families.flatMap(ways);
        const lb = await open();
        const talks = await Promise.all(all.map(([, host, to]) => talk(host, to, 0)));
        const released = lb.release();
        await eventually(async () => assert.equal((await lb.status()).enabled, false));
        for (const [name, host, to] of all) {
          const counts = await countNew(lb, name, host, to);
          assert.equal(counts.FLOW_CREATED, 0, name);
          assert.ok(counts.PACKET_LEFT > 21, name);
        }
        await silence(lb);
        for (const ours of talks) {
          const counts = await counted(lb, () => ours.goesOn());
          assert.equal(counts.PACKET_LEFT, 0);
          await ours.end();
        }
        assert.deepEqual(await released, { flows: 0, sockets: 0 });
        for (const [name, host, to] of all) {
          const { failed } = await (await host.peer()).tally(to, 5);
          assert.deepEqual(failed, {}, name);
        }
      });

      it('existing connections go on, new ones are ours', async () => {
        const all = families.flatMap(ways);
        const talks = await Promise.all(all.map(([, host, to]) => talk(host, to)));
        const lb = await open();
        for (const old of talks) {
          const counts = await counted(lb, () => old.goesOn());
          assert.equal(counts.FLOW_CREATED, 0);
          assert.ok(counts.PACKET_LEFT > 4, 'the kernel translates them on');
        }
        await silence(lb);
        for (const [name, host, to] of all) {
          const counts = await countNew(lb, name, host, to);
          assert.equal(counts.FLOW_CREATED, 21, name);
          assert.equal(counts.PACKET_LEFT, 0, name);
        }
        for (const old of talks) {
          await old.goesOn();
          await old.end();
        }
      });

      it('in shadow mode the rules serve, and it tells what it would do; activated, it does that', async () => {
        const [node] = cluster.nodes;
        const devices = families.flatMap(ways);
        const sockets = families.map((family): (typeof devices)[number] => [
          'socket',
          node,
          { address: node.addresses[family], port: nodePort },
        ]);
        const lb = await open({ shadow: true });
        const { enabled, shadow } = await lb.status();
        assert.deepEqual({ enabled, shadow }, { enabled: false, shadow: true });
        for (const [name, host, to] of [...devices, ...sockets]) {
          const counts = await countNew(lb, name, host, to);
          assert.deepEqual([counts.FLOW_CREATED, counts.PACKET_LEFT], [0, 0], name);
          assert.deepEqual((await lb.sockets()).sockets, [], name);
        }

        const backends = cluster.pods.flatMap(({ addresses }) =>
          families.map((family) => formatEndpoint(addresses[family], podPort)),
        );
        const isRight = ({ service, verdict, reason, backend = '' }: ShadowDecision) =>
          service === 'web' && verdict === 'forward' && reason === 'chosen' && backends.includes(backend);
        const told = await lb.shadowDecisions();
        assert.deepEqual(
          told.filter((decision) => !isRight(decision)),
          [],
        );
        const sums = new Map<string, number>();
        for (const { via, frontend, protocol, count } of told) {
          const asked = `${via} ${frontend} ${protocol}`;
          sums.set(asked, (sums.get(asked) ?? 0) + Number(count));
        }
        assert.deepEqual(
          Object.fromEntries(sums),
          Object.fromEntries(
            [...devices, ...sockets].flatMap(([via, , to]) => {
              const asked = `${via} ${formatEndpoint(to.address, to.port)}`;
              return [
                [`${asked} TCP`, 20],
                [`${asked} UDP`, 1],
              ];
            }),
          ),
        );
        const observed = await lb.decisions();
        assert.ok(observed.length > 0 && observed.every(isRight));
        const outside = observed.filter(({ via }) => via === 'outside');
        const clients = families.map((family) => cluster.client.addresses[family]);
        assert.ok(outside.length > 0 && outside.every(({ client }) => clients.includes(client)));

        const owner = await node.peer();
        assert.equal((await owner.bind('TCP', '0.0.0.0', nodePort)).port, nodePort);
        await lb.activate();
        assert.equal((await lb.status()).enabled, true);
        await assert.rejects(owner.bind('TCP', '0.0.0.0', nodePort), { code: 'EADDRINUSE' });
        for (const [name, host, to] of devices) {
          const counts = await countNew(lb, name, host, to);
          assert.deepEqual([counts.FLOW_CREATED, counts.PACKET_LEFT], [21, 0], name);
        }
        for (const [name, host, to] of sockets) {
          const counts = await countNew(lb, name, host, to);
          assert.ok(counts.SOCKET_TRANSLATED >= 21, 'a canary may be among them');
        }
      });
    });
  }

  it('giving back ends at the deadline, with the flows that are open', async () => {
    const lb = await open();
    for (const [, host, to] of families.flatMap(ways)) await talk(host, to);
    assert.deepEqual(await lb.release({ deadline: 0 }), { flows: 4 * (4 + 3), sockets: 0 });
    await assert.rejects(lb.metrics(), { code: 'ERR_BPF_CLOSED' });
  });

  it('giving back waits for sockets, too, and tells how many are left at the deadline', async () => {
    const lb = await open();
    const [node] = cluster.nodes;
    const peer = await node.peer();
    const sockets = await Promise.all(
      families.map(async (family) => {
        const to = { address: clusterIP[family], port };
        const { id } = await peer.open(to);
        const udp = await peer.connectUdp(to, { type: udpType(to.address) });
        cluster.cleanupEach.add(() => peer.closeUdp(udp));
        return { to, id, udp };
      }),
    );
    await assert.rejects(lb.release({}, 600), { name: 'TimeoutError' });
    const released = lb.release({ deadline: 2000 });
    await eventually(async () => assert.equal((await lb.status()).enabled, false));
    for (const { to, udp } of sockets) assert.deepEqual((await peer.askUdp(udp)).peer, to);
    for (const { id } of sockets) await peer.dropConnection(id);
    assert.deepEqual(await released, { flows: 0, sockets: families.length });
  });

  it('giving back may be called off', async () => {
    const lb = await open();
    const [, host, to] = ways(4)[0]!;
    const ours = await talk(host, to);
    await assert.rejects(lb.release({}, 300), { name: 'TimeoutError' });
    assert.equal((await lb.status()).enabled, true);
    const counts = await counted(lb, async () => (await host.peer()).tally(to, 5));
    assert.equal(counts.FLOW_CREATED, 5);
    await ours.goesOn();
    await ours.end();
  });
});
