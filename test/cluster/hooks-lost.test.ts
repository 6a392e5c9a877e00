import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { HookLossCause } from '../../lib';
import { repairPolicy } from '../../lib/hook-cases';
import { socketPrograms } from '../../lib/programs';
import { makeCgroup } from '../support/cluster/cgroup';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import type { PeerFunctions } from '../support/cluster/peer';
import { start } from '../support/cluster/process';
import { run } from '../support/cluster/shell';
import { useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { skip } from '../support/skip';
import { attachForeign, loadForeignProgram } from './foreign-sockets';
import { detachLink, linkAtCgroup, programsAtCgroup } from './kernel';
import { ask, assertBalanced, backendsOf, both, ways } from './ways';

const programs = Object.keys(socketPrograms).sort();
const clusterIP = { address: '10.96.0.1', port: 80 };
const nodePort = 30080;

describe('hooks that others interfere with', () => {
  const cluster = useTwoNodes();

  /** Pinned: a program that refuses connect() over IPv4. */
  let foreign: string;

  before(() => {
    foreign = loadForeignProgram(cluster.cleanup);
  });

  async function serveWeb(lb: RemoteLoadBalancer): Promise<void> {
    await lb.upsertService({
      name: 'web',
      frontends: [
        ...both({ type: 'ClusterIP', ...clusterIP }),
        ...both({ type: 'NodePort', port: nodePort }),
      ],
      backends: backendsOf(cluster.pods, cluster.nodes[0], 4),
    });
  }

  async function assertServed(): Promise<void> {
    const peer = await cluster.nodes[0].pods[0].peer();
    for (const way of ways) assertBalanced(await ask(peer, way, clusterIP), clusterIP, cluster.pods);
  }

  function makeStateDir(): string {
    const stateDir = mkdtempSync(path.join(tmpdir(), 'bpf-lb-state-'));
    cluster.cleanupEach.add(() => {
      run(['sh', '-c', 'umount "$1" 2>/dev/null || true', 'sh', stateDir]);
      rmSync(stateDir, { recursive: true });
    });
    return stateDir;
  }

  const linkOf = (cgroup: string, program: string) => {
    const link = linkAtCgroup(cgroup, program);
    assert.ok(link, `no link of ${program}`);
    return link;
  };

  const loss = (program: string, where: string, cause: HookLossCause, retryIn: number | undefined = 0) => ({
    program,
    where,
    cause,
    retryIn,
  });

  async function assertRepaired(lb: RemoteLoadBalancer, program: string, where: string): Promise<void> {
    await eventually(async () =>
      assert.deepEqual((await lb.hookEvents()).repaired, [[{ program, where, cause: undefined }]]),
    );
  }

  it('a program that somebody detaches is told and put back', async () => {
    const { cgroup } = cluster.nodes[0];
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { watchPeriod: 100 });
    await serveWeb(lb);
    const link = linkOf(cgroup, 'bpf_lb_connect4');
    detachLink(link);
    await assertRepaired(lb, 'bpf_lb_connect4', cgroup);
    assert.deepEqual((await lb.hookEvents()).lost, [[loss('bpf_lb_connect4', cgroup, 'detached')]]);
    assert.notEqual(linkOf(cgroup, 'bpf_lb_connect4'), link);
    assert.deepEqual(programsAtCgroup(cgroup), programs);
    assert.equal((await lb.status()).socketLB.enabled, true);
    await assertServed();
  });

  it('without a watch, status tells what was taken off, and verify() puts it back', async () => {
    const { cgroup } = cluster.nodes[0];
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { watchPeriod: 0 });
    await serveWeb(lb);
    detachLink(linkOf(cgroup, 'bpf_lb_connect6'));
    const { socketLB, services } = await lb.status();
    assert.equal(socketLB.enabled, false);
    assert.deepEqual(socketLB.lost, [{ program: 'bpf_lb_connect6', where: cgroup, cause: 'detached' }]);
    assert.equal(services.clusterIP, false);
    assert.match(await lb.formatStatus(), /^ {2}Socket LB: +Disabled$/m);
    const after = (await lb.verify()).socketLB;
    assert.deepEqual([after.enabled, after.lost], [true, []]);
    assert.deepEqual(after.verified, { ipv4: 'verified', ipv6: 'verified' });
    assert.deepEqual(programsAtCgroup(cgroup), programs);
  });

  it('a link that was given another program gets ours again, and the other one is left alone', async () => {
    const { cgroup } = cluster.nodes[0];
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { watchPeriod: 100 });
    await serveWeb(lb);
    const link = linkOf(cgroup, 'bpf_lb_connect4');
    run(['python3', path.join(__dirname, 'replace-program.py'), String(link), foreign]);
    await assertRepaired(lb, 'bpf_lb_connect4', cgroup);
    assert.deepEqual((await lb.hookEvents()).lost, [[loss('bpf_lb_connect4', cgroup, 'replaced')]]);
    assert.equal(linkOf(cgroup, 'bpf_lb_connect4'), link);
    await assertServed();
    run(['bpftool', 'prog', 'show', 'pinned', foreign]);
  });

  it('somebody who goes on removing a program is answered less and less often, then not at all', async () => {
    const { cgroup } = cluster.nodes[0];
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { watchPeriod: 5 });
    await serveWeb(lb);
    await eventually(async () => {
      const link = linkAtCgroup(cgroup, 'bpf_lb_connect4');
      if (link !== undefined) detachLink(link);
      const { lost } = await lb.hookEvents();
      assert.ok(lost.length > 0);
      assert.equal(lost.at(-1)?.[0]?.retryIn, undefined);
    }, 60_000);
    const { lost, repaired } = await lb.hookEvents();
    // Fewer, where it was taken off again before anybody saw it.
    assert.ok(repaired.length >= 1 && repaired.length <= repairPolicy.attempts, `${repaired.length} repairs`);
    assert.ok(lost.length <= repairPolicy.attempts + 1, `${lost.length} losses`);
    assert.equal((await lb.status()).socketLB.enabled, false);
    assert.equal((await lb.verify()).socketLB.enabled, true);
    await assertServed();
  });

  for (const state of ['without', 'with'] as const) {
    it(`a cgroup that goes and comes again is served again, ${state} a state directory`, async () => {
      const { cleanupEach, nodes } = cluster;
      const cgroup = makeCgroup(cleanupEach, 'goes');
      const lb = await openLoadBalancer(cleanupEach, nodes[0], {
        cgroup,
        watchPeriod: 100,
        ...(state === 'with' ? { stateDir: makeStateDir() } : {}),
      });
      await serveWeb(lb);
      rmdirSync(cgroup);
      await eventually(async () => assert.equal((await lb.hookEvents()).lost.length, 1));
      const [gone] = (await lb.hookEvents()).lost;
      assert.deepEqual(
        gone?.map(({ cause, retryIn }) => ({ cause, retryIn })),
        programs.map(() => ({ cause: 'cgroup-removed', retryIn: undefined })),
      );
      assert.equal((await lb.status()).socketLB.enabled, false);
      const { verified, failure } = (await lb.verify()).socketLB;
      assert.deepEqual(verified, { ipv4: 'failed', ipv6: 'failed' });
      assert.match(failure ?? '', /the cgroup has gone/);
      mkdirSync(cgroup);
      await eventually(async () =>
        assert.equal((await lb.hookEvents()).repaired[0]?.length, programs.length),
      );
      assert.deepEqual(programsAtCgroup(cgroup), programs);
      await eventually(async () => assert.equal((await lb.status()).socketLB.enabled, true));
      const place = { namespace: nodes[0].namespace, cgroup };
      const inside = await start<PeerFunctions>(cleanupEach, place, 'peer.ts');
      for (const way of ways) assertBalanced(await ask(inside, way, clusterIP), clusterIP, cluster.pods);
      assert.deepEqual((await lb.hookEvents()).failed, []);
    });
  }

  it('programs on a removed cgroup that sockets keep from dying are lost, although their links look well', async () => {
    const { cleanupEach, nodes } = cluster;
    const outer = makeCgroup(cleanupEach, 'outer');
    const cgroup = path.join(outer, 'dying');
    mkdirSync(cgroup);
    const lb = await openLoadBalancer(cleanupEach, nodes[0], { cgroup, watchPeriod: 0 });
    const link = linkOf(cgroup, 'bpf_lb_connect4');
    const holder = await holdSocket(cgroup);
    cleanupEach.add(async () => {
      const exit = once(holder, 'exit');
      holder.stdin?.end();
      await exit;
    });
    writeFileSync(path.join(outer, 'cgroup.procs'), String(holder.pid));
    rmdirSync(cgroup);
    const shown = JSON.parse(run(['bpftool', '-j', 'link', 'show', 'id', String(link)])) as {
      cgroup_id: number;
    };
    assert.notEqual(shown.cgroup_id, 0, 'the kernel still has it on the cgroup');
    const { socketLB } = await lb.status();
    assert.equal(socketLB.enabled, false);
    assert.deepEqual([...new Set(socketLB.lost.map(({ cause }) => cause))], ['cgroup-removed']);
    mkdirSync(cgroup);
    cleanupEach.add(() => rmdirSync(cgroup));
    assert.equal((await lb.verify()).socketLB.enabled, true);
    assert.deepEqual(programsAtCgroup(cgroup), programs);
    await lb.close();
  });

  it("a device's program, detached by somebody, is told and put back", async function () {
    const stateDir = makeStateDir();
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['eth0', 'lxc+'],
      socketLB: false,
      stateDir,
      watchPeriod: 100,
    });
    await serveWeb(lb);
    const [eth0] = await lb.devices();
    if (eth0?.programs[0]?.attachment !== 'tcx') skip(this, 'needs tcx links');
    const pin = readdirSync(stateDir, { recursive: true })
      .map(String)
      .find((name) => name.includes(`link_bpf_lb_ingress_${eth0.ifindex}`));
    run(['bpftool', 'link', 'detach', 'pinned', path.join(stateDir, pin ?? '')]);
    await assertRepaired(lb, 'bpf_lb_ingress', 'eth0');
    assert.deepEqual((await lb.hookEvents()).lost, [[loss('bpf_lb_ingress', 'eth0', 'detached')]]);
    assert.equal((await lb.devices())[0]?.ifindex, eth0?.ifindex);
    const outside = { address: cluster.nodes[0].addresses[4], port: nodePort };
    for (const way of ways) {
      assertBalanced(await ask(await cluster.client.peer(), way, outside), outside, cluster.pods);
    }
  });

  it('a device that goes is no lost hook', async () => {
    const { namespace } = cluster.nodes[0];
    namespace.ip('link add lxc8 type veth peer name peer8');
    cluster.cleanupEach.add(() => namespace.run('sh', '-c', 'ip link del lxc8 2>/dev/null || true'));
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['lxc8'],
      socketLB: false,
      followDevices: false,
      watchPeriod: 20,
    });
    namespace.ip('link del lxc8');
    await lb.verify();
    assert.deepEqual(await lb.hookEvents(), { lost: [], repaired: [], failed: [], sockets: [], pins: [] });
    assert.equal((await lb.status()).devices[0]?.attached, false);
  });

  it('a program that refuses what ours has translated is named, until it goes', async () => {
    const { cleanupEach, nodes } = cluster;
    const lb = await openLoadBalancer(cleanupEach, nodes[0], { watchPeriod: 20 });
    const detach = attachForeign(cleanupEach, nodes[0].cgroup, foreign, 'multi');
    await eventually(async () => assert.equal((await lb.hookEvents()).sockets.length, 1));
    const { socketLB } = await lb.status();
    assert.equal(socketLB.enabled, false);
    assert.deepEqual(socketLB.verified, { ipv4: 'failed', ipv6: 'verified' });
    assert.equal(socketLB.failure, 'IPv4: connect() failed with EPERM');
    assert.deepEqual(
      socketLB.others.map(({ hook, name }) => ({ hook, name })),
      [{ hook: 'connect4', name: 'refuse' }],
    );
    assert.deepEqual(socketLB.lost, [], 'ours is where it was');
    detach();
    await eventually(async () => assert.equal((await lb.hookEvents()).sockets.at(-1)?.enabled, true));
  });

  for (const flag of ['override', undefined] as const) {
    it(`a program that was attached ${flag ? `with the flag ${flag}` : 'without a flag'} keeps ours out, and is named`, async () => {
      const { cleanupEach, nodes } = cluster;
      const outer = makeCgroup(cleanupEach, 'outer');
      const cgroup = flag ? outer : makeCgroup(cleanupEach, 'inner', outer);
      attachForeign(cleanupEach, outer, foreign, flag);
      await assert.rejects(openLoadBalancer(cleanupEach, nodes[0], { cgroup }), {
        code: 'ERR_BPF_HOOK_TAKEN',
        message: new RegExp(`program \\d+ refuse was attached to ${outer} without BPF_F_ALLOW_MULTI`),
      });
      assert.deepEqual(programsAtCgroup(outer), ['refuse']);
    });
  }
});

/** A process in a cgroup with a socket; it ends when its standard input does. */
async function holdSocket(cgroup: string): Promise<ChildProcess> {
  const code = 'import socket, sys; s = socket.socket(); print(flush=True); sys.stdin.read()';
  const child = spawn('sh', ['-c', 'echo $$ > "$0/cgroup.procs" && exec python3 -c "$1"', cgroup, code], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}
