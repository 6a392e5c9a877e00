import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';

import type { ReachReport } from '../../lib';
import { cgroupMount, makeCgroup } from '../support/cluster/cgroup';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { Namespace } from '../support/cluster/namespace';
import { useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { attachForeign, loadForeignProgram } from './foreign-sockets';

describe('workloads that socket translation does not reach', () => {
  const cluster = useTwoNodes();
  /** Attached to this, which holds cgroups of the tests' own only. */
  let outer: string;
  let lb: RemoteLoadBalancer;

  /** A process in a cgroup and a network namespace, until the cleanup. `code` is Python, and goes first. */
  async function run(cgroup: string, namespace: Namespace, code = ''): Promise<ChildProcess> {
    const script = `${code}\nimport sys\nprint(flush=True)\nsys.stdin.read()`;
    const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
    const child = spawn('sh', ['-c', enter, cgroup, ...namespace.enter('python3', '-c', script)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    cluster.cleanupEach.add(async () => {
      const exit = once(child, 'exit');
      child.stdin.end();
      if (child.exitCode === null && child.signalCode === null) await exit;
    });
    await once(child.stdout, 'data');
    return child;
  }

  const netnsOf = (namespace: Namespace) => statSync(`/run/netns/${namespace.name}`).ino;
  const pathOf = (cgroup: string) => cgroup.slice((cgroupMount() ?? '').length);

  /** What the report says of a process. */
  const entriesOf = (report: ReachReport, { pid }: ChildProcess) =>
    report.unreached.filter(({ pids }) => pids.includes(pid ?? 0));

  beforeEach(() => {
    outer = makeCgroup(cluster.cleanupEach, 'outer');
  });

  async function open(options = {}): Promise<void> {
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      cgroup: outer,
      watchPeriod: 0,
      ...options,
    });
  }

  it('are those in other cgroups; those below are reached, in every namespace', async () => {
    const { cleanupEach, nodes } = cluster;
    const inner = makeCgroup(cleanupEach, 'inner', outer);
    const beside = makeCgroup(cleanupEach, 'beside');
    const [pod] = nodes[0].pods;
    const reached = [await run(inner, nodes[0].namespace), await run(inner, pod.namespace)];
    const elsewhere = await run(beside, pod.namespace);
    await open();
    const report = await lb.unreached();
    // A process with more capabilities than this one, as PID 1 of a sandbox, is not to be looked at.
    assert.deepEqual(
      report.missing.filter((what) => !what.includes('CAP_SYS_PTRACE')),
      [],
    );
    assert.deepEqual(entriesOf(report, elsewhere), [
      {
        reason: 'cgroup',
        cgroup: pathOf(beside),
        netns: netnsOf(pod.namespace),
        processes: 1,
        pids: [elsewhere.pid],
        failure: undefined,
        others: [],
        devices: [],
      },
    ]);
    for (const process of reached) assert.deepEqual(entriesOf(report, process), []);
  });

  it('are those that were excepted', async () => {
    const { cleanupEach, nodes } = cluster;
    const mesh = makeCgroup(cleanupEach, 'mesh', outer);
    const below = makeCgroup(cleanupEach, 'below', mesh);
    const [one, other] = nodes[0].pods;
    const byCgroup = await run(below, one.namespace);
    const byNamespace = await run(outer, other.namespace);
    const host = await run(outer, nodes[0].namespace);
    const reasons = async () => {
      const report = await lb.unreached();
      return [byCgroup, byNamespace, host].map((process) =>
        entriesOf(report, process).map(({ reason }) => reason),
      );
    };
    await open({ socketLB: { except: { cgroups: [mesh], netns: [`/run/netns/${other.namespace.name}`] } } });
    assert.deepEqual(await reasons(), [['excepted'], ['excepted'], []]);
    await lb.exceptSockets();
    assert.deepEqual(await reasons(), [[], [], []]);
    await lb.close();
    await open({ socketLB: { hostNamespaceOnly: true } });
    assert.deepEqual(await reasons(), [['excepted'], ['excepted'], []]);
  });

  it('are those in a cgroup with a program that refuses what ours has translated, which is named', async () => {
    const { cleanupEach, nodes } = cluster;
    const foreign = loadForeignProgram(cleanupEach);
    const blocked = makeCgroup(cleanupEach, 'blocked', outer);
    const free = makeCgroup(cleanupEach, 'free', outer);
    const [pod] = nodes[0].pods;
    const processes = [await run(blocked, pod.namespace), await run(free, pod.namespace)];
    await open();
    attachForeign(cleanupEach, blocked, foreign, 'multi');
    const report = await lb.unreached();
    const [of, ...rest] = processes.map((process) => entriesOf(report, process));
    assert.deepEqual(rest, [[]]);
    assert.deepEqual(
      of?.map(({ reason, cgroup, failure, others }) => ({
        reason,
        cgroup,
        failure,
        others: others.map(({ hook, name }) => `${hook} ${name}`),
      })),
      [
        {
          reason: 'failed',
          cgroup: pathOf(blocked),
          failure: 'IPv4: connect() failed with EPERM',
          others: ['connect4 refuse'],
        },
      ],
    );
    assert.equal((await lb.status()).socketLB.enabled, true, 'where ours is attached it works');
  });

  it('are virtual machines: who is behind a tap device', async () => {
    const { cleanupEach } = cluster;
    const namespace = Namespace.make(cleanupEach, 'vm');
    const monitor = await run(outer, namespace, openTap);
    const other = await run(outer, namespace);
    await open();
    const report = await lb.unreached();
    assert.deepEqual(
      entriesOf(report, monitor).map(({ reason, netns, devices, pids }) => ({
        reason,
        netns,
        devices,
        pids,
      })),
      [{ reason: 'guests', netns: netnsOf(namespace), devices: ['tap5'], pids: [monitor.pid] }],
    );
    assert.deepEqual(entriesOf(report, other), []);
  });

  it('the search ends in time, and says so', async () => {
    await open();
    const { missing } = await lb.unreached({ timeout: 0.001 });
    assert.deepEqual(missing, ['processes that were left when the time was over']);
  });

  it('is an error where sockets are not translated at all', async () => {
    await open({ socketLB: false });
    await assert.rejects(lb.unreached(), { code: 'ERR_BPF_INVALID_OPTION' });
    await assert.rejects(lb.unreached({ timeout: -1 }), { code: 'ERR_BPF_INVALID_OPTION' });
  });

  it('are told when there are others than before, where it is searched regularly', async () => {
    const { cleanupEach, nodes } = cluster;
    const beside = makeCgroup(cleanupEach, 'beside');
    await open({ reachPeriod: 50 });
    const reports = async () => {
      const path = pathOf(beside);
      const all = (await lb.told()).flatMap((told) => (told.event === 'unreached' ? [told.report] : []));
      return all.map(({ unreached }) => unreached.filter(({ cgroup }) => cgroup === path).length);
    };
    await eventually(async () => assert.notEqual((await reports()).length, 0));
    assert.equal((await reports()).at(-1), 0);
    const elsewhere = await run(beside, nodes[0].namespace);
    await eventually(async () => assert.equal((await reports()).at(-1), 1));
    const exit = once(elsewhere, 'exit');
    elsewhere.stdin?.end();
    await exit;
    await eventually(async () => assert.equal((await reports()).at(-1), 0));
  });
});

/** TUNSETIFF with IFF_TAP | IFF_NO_PI. */
const openTap = `
import fcntl, struct
tap = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', b'tap5', 0x1002))
`;
