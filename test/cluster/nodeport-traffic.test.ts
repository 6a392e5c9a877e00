import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { listen, podPort, useTwoNodes } from '../support/cluster/suite';
import type { Pod } from '../support/cluster/two-nodes';
import { eventually } from '../support/eventually';
import { backendsOf, both, families, udpType } from './ways';

const nodePort = 30080;

describe('from outside: traffic', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0], { devices: ['eth0'] });
  });

  async function put(pods: readonly Pod[], leaving: readonly Pod[] = [], port = podPort): Promise<void> {
    const [node] = cluster.nodes;
    const spec: ServiceSpec = {
      name: 'web',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends: [
        ...backendsOf(pods, node).map((backend) => ({ ...backend, port })),
        ...backendsOf(leaving, node).map((backend) => ({ ...backend, port, state: 'terminating' as const })),
      ],
    };
    await lb.upsertService(spec);
  }

  const frontend = (family: 4 | 6): Endpoint => ({
    address: cluster.nodes[0].addresses[family],
    port: nodePort,
  });
  const here = () => cluster.nodes[0].pods;
  const there = () => cluster.nodes[1].pods;

  for (const family of families) {
    describe(`IPv${family}`, () => {
      for (const [where, pods] of [
        ['this node', here],
        ['the other node', there],
      ] as const) {
        it(`10 MB each way through a backend on ${where}`, async () => {
          await put(pods());
          const peer = await cluster.client.peer();
          assert.equal(await peer.transfer(frontend(family), 10_000_000), true);
        });

        it(`500 connections at a time, backends on ${where}`, async () => {
          await put(pods());
          const peer = await cluster.client.peer();
          const { served, failed } = await peer.tally(frontend(family), 500, true);
          assert.deepEqual(failed, {});
          const counts = pods().map(({ name }) => served[name] ?? 0);
          assert.equal(counts[0]! + counts[1]!, 500);
          // 250 each on average; further off than this once in a billion runs.
          assert.ok(Math.min(...counts) > 180, String(counts));
        });

        it(`a rolling update of all backends fails no connection, old ones on ${where}`, async () => {
          const [old, next] = pods === here ? [here(), there()] : [there(), here()];
          await put(old);
          const peer = await cluster.client.peer();
          const opened = await Promise.all([1, 2, 3, 4].map(() => peer.open(frontend(family))));
          await peer.startStream(frontend(family), 20_000);
          await put([...old, next[0]]);
          await put([old[1], next[0]], [old[0]]);
          await put([old[1], ...next], [old[0]]);
          await put(next, old);
          await put(next);
          const { server } = await peer.tcp(frontend(family));
          assert.ok(
            next.some(({ name }) => name === server),
            'new connections go to the new backends',
          );
          const { served, failed } = await peer.stopStream();
          assert.deepEqual(failed, {});
          assert.ok(Object.keys(served).length > 0);
          for (const { id, server } of opened) {
            assert.ok(old.some(({ name }) => name === server));
            assert.equal(await peer.echo(id, 'still here'), 'still here');
            await peer.dropConnection(id);
          }
        });

        it(`hundreds of changes under load fail no connection, backends on ${where}`, async () => {
          const [a, b] = pods();
          await put([a]);
          const peer = await cluster.client.peer();
          await peer.startStream(frontend(family), 20_000);
          for (let i = 0; i < 150; i++) await put(i % 3 === 0 ? [a, b] : i % 3 === 1 ? [b] : [a]);
          const { served, failed } = await peer.stopStream();
          assert.deepEqual(failed, {});
          assert.deepEqual(Object.keys(served).sort(), [a.name, b.name].sort());
        });

        it(`a client may use its port again after a reset, backend on ${where}`, async () => {
          const peer = await cluster.client.peer();
          const localPort = 31_123;
          for (const pod of [pods()[0], pods()[1], pods()[0]]) {
            await put([pod]);
            const { id, server, local } = await peer.open(frontend(family), { localPort });
            assert.equal(local.port, localPort);
            assert.equal(server, pod.name, 'the connection is a new one');
            assert.equal(await peer.echo(id, 'hello'), 'hello');
            await peer.dropConnection(id, true);
          }
        });

        it(`a client may use its port again after the server has closed, backend on ${where}`, async () => {
          const port = 9100;
          const peer = await cluster.client.peer();
          for (const pod of pods()) {
            await listen(cluster.cleanupEach, pod, { port, name: pod.name, hangUp: true });
          }
          const localPort = 31_124;
          for (const pod of [pods()[0], pods()[1], pods()[0], pods()[0]]) {
            await put([pod], [], port);
            const { server } = await peer.tcp(frontend(family), { localPort, closeLast: true });
            assert.equal(server, pod.name);
          }
        });

        it(`a datagram flow stays on its backend, on ${where}, while that terminates, and leaves it when it is gone`, async () => {
          const [a, b] = pods();
          const peer = await cluster.client.peer();
          const type = udpType(frontend(family).address);
          await put([a]);
          const id = await peer.openUdp({ type });
          cluster.cleanupEach.add(() => peer.closeUdp(id));
          const askFlow = async () => (await peer.sendUdp(id, [frontend(family)]))[0];
          assert.equal((await askFlow())?.server, a.name);
          await put([b], [a]);
          for (let i = 0; i < 10; i++) assert.equal((await askFlow())?.server, a.name);
          const { server } = (await peer.unconnectedUdp([frontend(family)], { type }))[0]!;
          assert.equal(server, b.name, 'a new flow goes to the new backend');
          await put([b]);
          await eventually(async () => assert.equal((await askFlow())?.server, b.name));
        });
      }

      for (const [where, pods] of [
        ['this node', here],
        ['the other node', there],
      ] as const) {
        it(`one client port to two frontends of one backend, on ${where}: nothing is mixed up`, async () => {
          const [node] = cluster.nodes;
          const second = { ...frontend(family), port: nodePort + 1 };
          await put([pods()[0]]);
          await lb.upsertService({
            name: 'second',
            frontends: both({ type: 'NodePort', port: second.port }),
            backends: backendsOf([pods()[0]], node),
          });
          cluster.cleanupEach.add(() => lb.deleteService('second'));
          const peer = await cluster.client.peer();
          const localPort = 20_011;
          const one = await peer.open(frontend(family), { localPort });
          const two = await peer.open(second, { localPort });
          assert.notEqual(one.client.port, two.client.port, 'the backend can tell them apart');
          assert.deepEqual([one.peer, two.peer], [frontend(family), second]);
          for (const { id } of [one, two, one]) assert.equal(await peer.echo(id, `word ${id}`), `word ${id}`);
          for (const { id } of [one, two]) await peer.dropConnection(id, true);
          const type = udpType(second.address);
          const answers = await peer.unconnectedUdp([frontend(family), second, frontend(family)], {
            type,
            localPort,
          });
          assert.deepEqual(
            answers.map(({ peer }) => peer),
            [frontend(family), second, frontend(family)],
          );
        });
      }

      it('many datagram flows at a time', async () => {
        await put(cluster.pods);
        const peer = await cluster.client.peer();
        const type = udpType(frontend(family).address);
        const asked = Array.from({ length: 200 }, () => peer.connectedUdp(frontend(family), { type }));
        const answers = await Promise.all(asked);
        for (const { source } of answers) assert.deepEqual(source, frontend(family));
        assert.equal(new Set(answers.map(({ server }) => server)).size, cluster.pods.length);
      });
    });
  }

  it('connections that are open go on when their service is deleted', async () => {
    await put(cluster.pods);
    const peer = await cluster.client.peer();
    const opened = await Promise.all(
      Array.from({ length: 16 }, (_, i) => peer.open(frontend(i % 2 ? 4 : 6))),
    );
    await lb.deleteService('web');
    for (const { id } of opened) {
      assert.equal(await peer.echo(id, 'still here'), 'still here');
      await peer.dropConnection(id);
    }
  });
});

describe('from outside: source ports of SNAT', () => {
  const cluster = useTwoNodes();
  const snatPorts = [61_000, 61_015] as const;
  let lb: RemoteLoadBalancer;

  before(async () => {
    const [node, other] = cluster.nodes;
    lb = await openLoadBalancer(cluster.cleanup, node, {
      devices: ['eth0'],
      snatPorts,
      flowLifetimes: { closing: 1 },
    });
    await lb.upsertService({
      name: 'web',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends: backendsOf([other.pods[0]], node),
    });
  });

  for (const family of families) {
    it(`come from the window, each once, and are free again after a connection has closed, IPv${family}`, async () => {
      const to = { address: cluster.nodes[0].addresses[family], port: nodePort };
      const peer = await cluster.client.peer();
      const opened = [];
      for (let port = snatPorts[0]; port <= snatPorts[1]; port++) opened.push(await peer.open(to));
      const seen = opened.map(({ client }) => client.port).sort();
      assert.deepEqual(
        seen,
        Array.from({ length: 16 }, (_, i) => snatPorts[0] + i),
      );

      const before = (await lb.metrics()).counters.DROP_NO_PORT;
      await assert.rejects(peer.tcp(to, { timeout: 300 }), { code: 'NO_ANSWER' });
      assert.ok((await lb.metrics()).counters.DROP_NO_PORT > before, 'the drop is counted');
      for (const { id } of opened) assert.equal(await peer.echo(id, 'undisturbed'), 'undisturbed');

      const [first, ...others] = opened;
      await peer.dropConnection(first!.id, true);
      // The kernel repeats its SYN until the port is free.
      assert.equal((await peer.tcp(to, { timeout: 10_000 })).client.port, first!.client.port);
      for (const { id } of others) await peer.dropConnection(id, true);
    });
  }
});
