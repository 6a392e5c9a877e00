import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';

import { LoadBalancer } from '../../lib';
import { openLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { programsAtCgroup } from './kernel';

describe('probe()', () => {
  const cluster = useTwoNodes();

  it('says of this machine what open() then bears out', async () => {
    const [node] = cluster.nodes;
    const { features, kernel, cgroup } = (await LoadBalancer.probe({ cgroup: node.cgroup })).data;
    assert.equal(cgroup, node.cgroup);
    assert.deepEqual([features.sockets, features.devices], [{ available: true }, { available: true }]);
    const lb = await openLoadBalancer(cluster.cleanupEach, node, { devices: ['eth0'] });
    assert.equal((await lb.status()).socketLB.enabled, true);
    const attachments = (await lb.devices()).flatMap(({ programs }) => programs.map((p) => p.attachment));
    assert.deepEqual(new Set(attachments), new Set([features.tcx.available ? 'tcx' : 'clsact']));
    assert.equal(kernel.missing?.includes('tcx'), !features.tcx.available);
  });

  it('leaves nothing behind', async () => {
    const [node] = cluster.nodes;
    const descriptors = () => readdirSync('/proc/self/fd').length;
    await LoadBalancer.probe();
    const before = descriptors();
    for (let i = 0; i < 3; i++) await LoadBalancer.probe({ cgroup: node.cgroup, stateDir: '/run/not/there' });
    assert.equal(descriptors(), before);
    assert.deepEqual(programsAtCgroup(node.cgroup), []);
    assert.equal(readdirSync('/run').includes('not'), false);
  });

  it('takes the options of open() that it is about', async () => {
    await assert.rejects(LoadBalancer.probe({ stateDir: 'relative' }), { code: 'ERR_BPF_INVALID_OPTION' });
    const { features, cgroup } = (await LoadBalancer.probe({ cgroup: '/proc' })).data;
    assert.equal(cgroup, undefined);
    assert.match(JSON.stringify(features.sockets), /\/proc is not in a cgroup v2 hierarchy/);
  });
});
