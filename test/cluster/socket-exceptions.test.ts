import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { makeCgroup } from '../support/cluster/cgroup';
import { openLoadBalancer, type RemoteLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { Namespace } from '../support/cluster/namespace';
import type { PeerFunctions } from '../support/cluster/peer';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { run } from '../support/cluster/shell';
import { useTwoNodes } from '../support/cluster/suite';
import type { Node } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { ask, assertBalanced, backendsOf, both, families, ways } from './ways';

const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };

describe('sockets that are left alone, by cgroup and by network namespace', () => {
  const cluster = useTwoNodes();
  /** In a cgroup below the node's, in the namespace of its first pod. */
  let inner: Remote<PeerFunctions>;
  let innerCgroup: string;
  let node: Node;

  before(async () => {
    [node] = cluster.nodes;
    innerCgroup = makeCgroup(cluster.cleanup, 'inner', node.cgroup);
    const place = { namespace: node.pods[0].namespace, cgroup: innerCgroup };
    inner = await start<PeerFunctions>(cluster.cleanup, place, 'peer.ts');
  });

  async function open(except?: { cgroups?: string[]; netns?: string[] }): Promise<RemoteLoadBalancer> {
    const lb = await openLoadBalancer(cluster.cleanupEach, node, {
      devices: ['eth0', 'lxc+'],
      watchPeriod: 0,
      ...(except ? { socketLB: { except } } : {}),
    });
    await lb.upsertService({
      name: 'web',
      frontends: families.flatMap((f) => both({ type: 'ClusterIP', address: clusterIP[f], port: 80 })),
      backends: backendsOf(cluster.pods, node),
    });
    return lb;
  }

  /** Served in any case: where it was translated shows in the counters. */
  async function assertTranslated(
    lb: RemoteLoadBalancer,
    peer: Remote<PeerFunctions>,
    where: 'at the socket' | 'per packet',
  ): Promise<void> {
    for (const family of families) {
      const to = { address: clusterIP[family], port: 80 };
      for (const way of ways) {
        const growth = await counted(lb, async () =>
          assertBalanced(await ask(peer, way, to), to, cluster.pods),
        );
        assert.deepEqual(
          [growth.SOCKET_TRANSLATED, growth.FLOW_CREATED],
          where === 'at the socket' ? [1, 0] : [0, 1],
          `${way} to ${to.address}`,
        );
      }
    }
  }

  const netnsOf = (pod: { namespace: { name: string } }) => `/run/netns/${pod.namespace.name}`;

  it("opened with a pod's network namespace: its packets are translated, and the sockets of others", async () => {
    const [pod, other] = node.pods;
    const lb = await open({ netns: [netnsOf(pod)] });
    await assertTranslated(lb, await pod.peer(), 'per packet');
    await assertTranslated(lb, inner, 'per packet');
    await assertTranslated(lb, await other.peer(), 'at the socket');
    await assertTranslated(lb, await node.peer(), 'at the socket');
  });

  it('opened with a cgroup: the packets of its processes are translated, and the sockets of others', async () => {
    const lb = await open({ cgroups: [innerCgroup] });
    await assertTranslated(lb, inner, 'per packet');
    await assertTranslated(lb, await node.pods[0].peer(), 'at the socket');
  });

  it('a cgroup stands for all that are below it', async () => {
    const lb = await open({ cgroups: [node.cgroup] });
    await assertTranslated(lb, inner, 'per packet');
    await assertTranslated(lb, await node.pods[0].peer(), 'per packet');
  });

  it('exceptSockets() changes it at run time, and what is translated stays so', async () => {
    const [pod, other] = node.pods;
    const lb = await open();
    const peer = await pod.peer();
    const before = await peer.open({ address: clusterIP[4], port: 80 });
    await assertTranslated(lb, peer, 'at the socket');
    await lb.exceptSockets({ netns: [netnsOf(pod)] });
    await assertTranslated(lb, peer, 'per packet');
    await assertTranslated(lb, await other.peer(), 'at the socket');
    assert.equal(await peer.echo(before.id, 'still here'), 'still here');
    assert.deepEqual(await peer.peerName(before.id), before.peer);
    const between = await peer.open({ address: clusterIP[6], port: 80 });
    await lb.exceptSockets({ cgroups: [innerCgroup] });
    await assertTranslated(lb, peer, 'at the socket');
    await assertTranslated(lb, inner, 'per packet');
    await lb.exceptSockets();
    await assertTranslated(lb, inner, 'at the socket');
    assert.equal(await peer.echo(between.id, 'still here'), 'still here');
    for (const { id } of [before, between]) await peer.dropConnection(id);
  });

  it('a path that is none is an error, and changes nothing', async () => {
    const [pod] = node.pods;
    const lb = await open({ netns: [netnsOf(pod)] });
    for (const wrong of [
      { cgroups: ['/no/such/cgroup'] },
      /* Their inodes may be the numbers of other cgroups. */
      { cgroups: [tmpdir()] },
      { cgroups: [join(innerCgroup, 'cgroup.procs')] },
      { netns: ['/no/such/netns'] },
      { netns: ['relative'] },
    ]) {
      await assert.rejects(lb.exceptSockets(wrong), (error: NodeJS.ErrnoException) =>
        /^ERR_BPF_/.test(error.code ?? ''),
      );
    }
    await assertTranslated(lb, await pod.peer(), 'per packet');
  });

  describe('made again under the same path', () => {
    /** Whether connect() is translated, whatever comes of it: asked of a process in a cgroup below the node's. */
    async function isTranslated(
      lb: Pick<RemoteLoadBalancer, 'metrics'>,
      namespace: Namespace,
      cgroup: string,
    ): Promise<boolean> {
      const inside = new Cleanup();
      try {
        const peer = await start<PeerFunctions>(inside, { namespace, cgroup }, 'peer.ts');
        const { SOCKET_TRANSLATED } = await counted(lb, () =>
          peer.connectUdp({ address: clusterIP[4], port: 80 }, { type: 'udp4' }).catch(() => undefined),
        );
        return SOCKET_TRANSLATED > 0;
      } finally {
        await inside.run();
      }
    }

    function temporary(): string {
      const directory = mkdtempSync(join(tmpdir(), 'bpf-lb-except-'));
      cluster.cleanupEach.add(() => rmSync(directory, { recursive: true }));
      return directory;
    }

    const places = {
      cgroups: (cleanup: Cleanup) => {
        const path = makeCgroup(cleanup, 'again', node.cgroup);
        return {
          path,
          namespace: node.namespace,
          cgroup: path,
          remove: `rmdir ${path}`,
          make: `mkdir ${path}`,
        };
      },
      netns: (cleanup: Cleanup) => {
        const namespace = Namespace.make(cleanup, 'again');
        const { name } = namespace;
        const [remove, make] = [`ip netns del ${name}`, `ip netns add ${name}`];
        return { path: `/run/netns/${name}`, namespace, cgroup: node.cgroup, remove, make };
      },
    };

    for (const kind of ['cgroups', 'netns'] as const) {
      it(`${kind}: excepted again, after the loss was told`, async () => {
        const { path, namespace, cgroup, remove, make } = places[kind](cluster.cleanupEach);
        const lb = await open({ [kind]: [path] });
        assert.equal(await isTranslated(lb, namespace, cgroup), false);
        run(remove.split(' '));
        assert.deepEqual((await lb.verify()).socketLB.exceptionsLost, [path]);
        run(make.split(' '));
        assert.equal(await isTranslated(lb, namespace, cgroup), true, 'it is another one');
        assert.deepEqual((await lb.verify()).socketLB.exceptionsLost, []);
        assert.equal(await isTranslated(lb, namespace, cgroup), false);
        run(remove.split(' '));
        run(make.split(' '));
        await lb.verify();
        assert.equal(await isTranslated(lb, namespace, cgroup), false, 'also when nobody looked meanwhile');
        assert.deepEqual(await lb.told(), [
          { event: 'exceptionsLost', paths: [path] },
          { event: 'exceptionsRepaired', paths: [path] },
          { event: 'exceptionsRepaired', paths: [path] },
        ]);
      });
    }

    it('a namespace without its name stays excepted', async () => {
      const { path, namespace, cgroup, remove } = places.netns(new Cleanup());
      const lb = await open({ netns: [path] });
      const peer = await start<PeerFunctions>(cluster.cleanupEach, { namespace, cgroup }, 'peer.ts');
      run(remove.split(' '));
      assert.deepEqual((await lb.verify()).socketLB.exceptionsLost, [path]);
      const { SOCKET_TRANSLATED } = await counted(lb, () =>
        peer.connectUdp({ address: clusterIP[4], port: 80 }, { type: 'udp4' }).catch(() => undefined),
      );
      assert.equal(SOCKET_TRANSLATED, 0);
    });

    it('what is no cgroup is not excepted in the place of one', async () => {
      const directory = temporary();
      const [link, cgroup] = [
        join(directory, 'link'),
        makeCgroup(cluster.cleanupEach, 'linked', node.cgroup),
      ];
      symlinkSync(cgroup, link);
      const lb = await open({ cgroups: [link] });
      unlinkSync(link);
      mkdirSync(link);
      assert.deepEqual((await lb.verify()).socketLB.exceptionsLost, [link]);
      assert.equal(await isTranslated(lb, node.namespace, cgroup), false, 'as before');
      assert.deepEqual(await lb.told(), [{ event: 'exceptionsLost', paths: [link] }]);
    });

    it('while nobody looks, because the process was killed', async () => {
      const stateDir = temporary();
      cluster.cleanupEach.add(() => run(['umount', stateDir]));
      const { path, namespace, cgroup, remove, make } = places.cgroups(cluster.cleanupEach);
      const begin = async () => {
        const killed = new Cleanup();
        cluster.cleanupEach.add(() => killed.run());
        const agent = await start<NodeFunctions>(killed, { namespace: node.namespace }, 'agent.ts');
        const except = { cgroups: [path] };
        const options = { cgroup: node.cgroup, capacity: smallCapacity, stateDir, watchPeriod: 0 };
        const id = await agent.open({ ...options, socketLB: { except } });
        await agent.upsertService(id, {
          name: 'web',
          frontends: both({ type: 'ClusterIP', address: clusterIP[4], port: 80 }),
          backends: backendsOf(cluster.pods, node, 4),
        });
        return { agent, id, kill: () => killed.run() };
      };
      const translated = ({ agent, id }: Awaited<ReturnType<typeof begin>>) =>
        isTranslated({ metrics: () => agent.metrics(id) }, namespace, cgroup);
      const first = await begin();
      assert.equal(await translated(first), false);
      await first.kill();
      run(remove.split(' '));
      await assert.rejects(begin(), { code: 'ERR_BPF_INVALID_OPTION' });
      run(make.split(' '));
      const second = await begin();
      assert.equal(await translated(second), false);
      await second.agent.exceptSockets(second.id, {});
      assert.equal(await translated(second), true);
      await second.agent.close(second.id);
    });
  });
});
