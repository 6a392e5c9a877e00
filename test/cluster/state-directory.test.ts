import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { openLoadBalancer, type RemoteLoadBalancer, smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import { useTwoNodes } from '../support/cluster/suite';
import { programsAtCgroup } from './kernel';
import { ask, assertBalanced, backendsOf, both, ways } from './ways';

describe('state directory', () => {
  const cluster = useTwoNodes();
  const clusterIP = { address: '10.96.0.1', port: 80 };
  const nodePort = 30080;
  let stateDir: string;

  /** Not on bpffs: the LoadBalancer mounts one. */
  beforeEach(() => {
    const made = mkdtempSync(path.join(tmpdir(), 'bpf-lb-state-'));
    stateDir = made;
    cluster.cleanupEach.add(() => {
      if (mountOf(made)) execFileSync('umount', [made]);
      rmSync(made, { recursive: true });
    });
  });

  const spec = () => ({
    name: 'web',
    frontends: [...both({ type: 'ClusterIP', ...clusterIP }), ...both({ type: 'NodePort', port: nodePort })],
    backends: backendsOf(cluster.pods, cluster.nodes[0], 4),
  });

  async function assertServed(): Promise<void> {
    const outside = { address: cluster.nodes[0].addresses[4], port: nodePort };
    for (const way of ways) {
      assertBalanced(
        await ask(await cluster.nodes[0].pods[0].peer(), way, clusterIP),
        clusterIP,
        cluster.pods,
      );
      assertBalanced(await ask(await cluster.client.peer(), way, outside), outside, cluster.pods);
    }
  }

  function open(cleanup = cluster.cleanupEach): Promise<RemoteLoadBalancer> {
    return openLoadBalancer(cleanup, cluster.nodes[0], { stateDir, devices: ['eth0'] });
  }

  function generations(): string[] {
    return readdirSync(stateDir).filter((name) => /^\d+$/.test(name));
  }

  it('mounts a bpf file system that other mount namespaces do not see', async () => {
    await open();
    const mount = mountOf(stateDir);
    assert.match(String(mount), / - bpf /);
    assert.doesNotMatch(String(mount), /shared:/);
  });

  it('close({ keep: true }) leaves the datapath running; the next LoadBalancer takes its place', async () => {
    const first = await open();
    await first.upsertService(spec());
    await first.close({ keep: true });
    await assertServed();
    const second = await open();
    await second.upsertService(spec());
    await assertServed();
    assert.deepEqual(generations(), ['2']);
    await second.close();
    assert.deepEqual(generations(), []);
    assert.deepEqual(programsAtCgroup(cluster.nodes[0].cgroup), []);
  });

  it('the datapath goes on when the process is killed', async () => {
    const [node] = cluster.nodes;
    const process = new Cleanup();
    const agent = await start<NodeFunctions>(process, { namespace: node.namespace }, 'agent.ts');
    const options = { cgroup: node.cgroup, capacity: smallCapacity, stateDir, devices: ['eth0'] };
    const id = await agent.open(options);
    await agent.upsertService(id, spec());
    await process.run();
    await assertServed();
    await (await open()).close();
    assert.deepEqual(programsAtCgroup(node.cgroup), []);
  });

  it('close({ keep: true }) without a state directory is an error, and closes nothing', async () => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0]);
    await assert.rejects(lb.close({ keep: true }), { code: 'ERR_BPF_INVALID_OPTION' });
    assert.equal((await lb.status()).enabled, true);
  });
});

/** The line of mountinfo about a mount point. */
function mountOf(point: string): string | undefined {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[4] === point);
}
