import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { OpenOptions } from '../../lib';
import { type Capability, required } from '../../lib/capabilities';
import type { NodeFunctions } from '../support/cluster/agent';
import { makeCgroup } from '../support/cluster/cgroup';
import { smallCapacity } from '../support/cluster/load-balancer';
import type { PeerFunctions } from '../support/cluster/peer';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { useTwoNodes } from '../support/cluster/suite';
import { sourcesAreReadable, unprivilegedUser, withCapabilities } from '../support/cluster/unprivileged';
import { skip } from '../support/skip';
import { programsAtCgroup } from './kernel';
import { ask, assertBalanced, backendsOf, both, ways } from './ways';

describe('privileges: as another user than root', () => {
  const cluster = useTwoNodes();
  /** What is given to the user: a cgroup for the library's process and one for those that are served, and a bpffs. */
  let delegated: string, own: string, served: string, bpffs: string;
  let application: Remote<PeerFunctions>;

  before(async function () {
    if (!sourcesAreReadable()) skip(this, 'needs the repository where other users may read it');
    const { cleanup, nodes } = cluster;
    const give = (directory: string) => chownSync(directory, unprivilegedUser, unprivilegedUser);
    delegated = makeCgroup(cleanup, 'delegated');
    own = makeCgroup(cleanup, 'own', delegated);
    served = makeCgroup(cleanup, 'served', delegated);
    for (const directory of [delegated, own, served]) {
      give(directory);
      give(path.join(directory, 'cgroup.procs'));
    }
    bpffs = mkdtempSync(path.join(tmpdir(), 'bpf-lb-privileges-'));
    cleanup.add(() => rmdirSync(bpffs));
    execFileSync('mount', ['-t', 'bpf', '-o', 'mode=0700', 'bpf-lb-test', bpffs]);
    cleanup.add(() => execFileSync('umount', [bpffs]));
    give(bpffs);
    application = await start<PeerFunctions>(
      cleanup,
      { namespace: nodes[0].namespace, cgroup: served },
      'peer.ts',
    );
  });

  function node(...capabilities: Capability[]): Promise<Remote<NodeFunctions>> {
    const { namespace } = cluster.nodes[0];
    const place = { namespace, cgroup: own, through: withCapabilities(...capabilities) };
    return start<NodeFunctions>(cluster.cleanupEach, place, 'agent.ts');
  }

  const all = (): OpenOptions => ({
    cgroup: delegated,
    devices: ['eth0', 'lxc+'],
    stateDir: path.join(bpffs, 'state'),
    nodePortRange: [40_000, 40_100],
    snatPorts: [50_000, 60_000],
    capacity: smallCapacity,
  });

  function assertNothingIsLeft(): void {
    assert.deepEqual(programsAtCgroup(delegated), []);
    assert.deepEqual(
      readdirSync(delegated).filter((name) => name.includes('canary')),
      [],
    );
  }

  it(`serves sockets and packets with nothing but ${required.join(', ')}, also after a restart`, async () => {
    const [here] = cluster.nodes;
    const reserved = '/proc/sys/net/ipv4/ip_local_reserved_ports';
    const clusterIP = { address: '10.96.0.1', port: 80 };
    const outside = { address: here.addresses[4], port: 40_080 };
    const agent = await node(...required);
    for (const last of [false, true]) {
      const lb = await agent.open(all());
      const { socketLB, devices } = await agent.status(lb);
      assert.deepEqual(socketLB.verified, { ipv4: 'verified', ipv6: 'verified' });
      assert.deepEqual(
        devices.map(({ attached }) => attached),
        [true, true, true],
      );
      assert.match(here.namespace.run('cat', reserved), /40000-40100/);
      await agent.upsertService(lb, {
        name: 'web',
        frontends: [
          ...both({ type: 'ClusterIP', ...clusterIP }),
          ...both({ type: 'NodePort', port: outside.port }),
        ],
        backends: backendsOf(cluster.pods, here, 4),
      });
      for (const way of ways) {
        assertBalanced(await ask(application, way, clusterIP), clusterIP, cluster.pods);
        assertBalanced(await ask(await cluster.client.peer(), way, outside), outside, cluster.pods);
      }
      const query = {
        socket: true,
        from: outside.address,
        to: clusterIP.address,
        port: clusterIP.port,
      } as const;
      assert.equal((await agent.explain(lb, query)).candidates.length, cluster.pods.length);
      await agent.metrics(lb);
      await agent.close(lb, { keep: !last });
    }
    assertNothingIsLeft();
  });

  for (const missing of required) {
    it(`names ${missing} when it is the one that is missing`, async () => {
      const agent = await node(...required.filter((capability) => capability !== missing));
      await assert.rejects(agent.open(all()), {
        code: 'ERR_BPF_PERMISSION',
        message: new RegExp(`The process lacks ${missing}: `),
      });
      assertNothingIsLeft();
    });
  }

  it('names all that are missing', async () => {
    const agent = await node();
    await assert.rejects(agent.open(all()), {
      code: 'ERR_BPF_PERMISSION',
      message: /The process lacks CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN: /,
    });
  });

  it('needs CAP_SYS_ADMIN to look into namespaces that are left alone', async () => {
    const netns = [`/run/netns/${cluster.nodes[1].namespace.name}`];
    const options = { ...all(), socketLB: { except: { netns } } };
    await assert.rejects((await node(...required)).open(options), {
      code: 'ERR_BPF_PERMISSION',
      message: /setns.* The process lacks CAP_SYS_ADMIN: /,
    });
    const agent = await node(...required, 'CAP_SYS_ADMIN');
    const lb = await agent.open(options);
    assert.equal((await agent.status(lb)).enabled, true);
    await agent.close(lb);
  });

  it('needs CAP_SYS_ADMIN to mount bpffs, which is then closed to others', async () => {
    const stateDir = mkdtempSync(path.join(tmpdir(), 'bpf-lb-privileges-'));
    cluster.cleanupEach.add(() => rmSync(stateDir, { recursive: true }));
    chownSync(stateDir, unprivilegedUser, unprivilegedUser);
    const options = { ...all(), stateDir };
    await assert.rejects((await node(...required)).open(options), {
      code: 'ERR_BPF_PERMISSION',
      message: /mount .* The process lacks CAP_SYS_ADMIN: /,
    });
    const agent = await node(...required, 'CAP_SYS_ADMIN', 'CAP_DAC_OVERRIDE');
    cluster.cleanupEach.add(() => execFileSync('umount', [stateDir]));
    const lb = await agent.open(options);
    assert.equal(statSync(stateDir).mode & 0o777, 0o700);
    await agent.close(lb);
  });

  it('needs the cgroup, or CAP_DAC_OVERRIDE', async () => {
    const options = { ...all(), cgroup: cluster.nodes[0].cgroup };
    await assert.rejects((await node(...required)).open(options), {
      code: 'ERR_BPF_PERMISSION',
      message: /Give the process the directory .* or CAP_DAC_OVERRIDE\.$/,
    });
    assert.deepEqual(programsAtCgroup(cluster.nodes[0].cgroup), []);
    const agent = await node(...required, 'CAP_DAC_OVERRIDE');
    const lb = await agent.open(options);
    assert.equal((await agent.status(lb)).socketLB.enabled, true);
    await agent.close(lb);
  });

  it('probe() tells what is missing for what', async () => {
    const where = { cgroup: delegated, stateDir: path.join(bpffs, 'state') };
    const missing = async (agent: Remote<NodeFunctions>) => {
      const { features, privileges } = await agent.probe(where);
      const present = privileges.capabilities.filter((each) => each.present).map(({ name }) => name);
      const reasons = Object.entries(features).flatMap(([name, feature]) =>
        feature.available ? [] : [[name, feature.reason] as const],
      );
      return { present, reasons: Object.fromEntries(reasons) };
    };
    const { present, reasons } = await missing(await node(...required));
    assert.deepEqual(present, required);
    assert.deepEqual(reasons, { namespaceExceptions: 'the process lacks CAP_SYS_ADMIN' });

    const less = (await missing(await node('CAP_BPF', 'CAP_PERFMON'))).reasons;
    const lacks = 'the process lacks CAP_NET_ADMIN';
    assert.deepEqual([less.sockets, less.devices, less.stateDirectory], [lacks, lacks, lacks]);
    assert.ok(less.portReservation);

    const elsewhere = await (
      await node(...required)
    ).probe({ cgroup: cluster.nodes[0].cgroup, stateDir: '/proc/state' });
    const { sockets, stateDirectory } = elsewhere.features;
    assert.match(JSON.stringify(sockets), /may not make cgroups in .* CAP_DAC_OVERRIDE/);
    assert.match(JSON.stringify(stateDirectory), /may not write to \/proc/);
  });
});
