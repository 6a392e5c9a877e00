import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { run } from '../support/cluster/shell';
import { useTwoNodes } from '../support/cluster/suite';
import type { Node } from '../support/cluster/two-nodes';
import { skip } from '../support/skip';
import { programsOnDevicesOf } from './kernel';
import { ask, assertBalanced, backendsOf, both, families, ways } from './ways';

const programs = ['bpf_lb_egress', 'bpf_lb_ingress'];

/** What a device carries, as bpftool tells it. */
function programsOnDevices(node: Node): { devname: string; kind: string; name: string }[] {
  const [net] = JSON.parse(node.namespace.run('bpftool', '-j', 'net')) as {
    tc: { devname: string; kind: string; name: string }[];
  }[];
  return net?.tc ?? [];
}

/** tcx is listed from bpftool 7.3 on, clsact by all. */
function knowsTcx(): boolean {
  const [, major = 0, minor = 0] = /v(\d+)\.(\d+)/.exec(run(['bpftool', 'version'])) ?? [];
  return Number(major) > 7 || (Number(major) === 7 && Number(minor) >= 3);
}

describe('devices: attachment', () => {
  const cluster = useTwoNodes();

  async function serveWeb(lb: RemoteLoadBalancer, port: number): Promise<void> {
    await lb.upsertService({
      name: 'web',
      frontends: both({ type: 'NodePort', port }),
      backends: backendsOf(cluster.pods, cluster.nodes[0]),
    });
  }

  async function assertServed(port: number): Promise<void> {
    const peer = await cluster.client.peer();
    for (const family of families) {
      const to = { address: cluster.nodes[0].addresses[family], port };
      for (const way of ways) assertBalanced(await ask(peer, way, to), to, cluster.pods);
    }
  }

  async function assertClosed(port: number): Promise<void> {
    const peer = await cluster.client.peer();
    for (const family of families) {
      const to = { address: cluster.nodes[0].addresses[family], port };
      await assert.rejects(peer.tcp(to), { code: 'ECONNREFUSED' });
    }
  }

  it('both programs are on every selected device', async () => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { devices: ['eth0', 'lxc+'] });
    const devices = await lb.devices();
    assert.deepEqual(
      devices.map(({ name, role, selected }) => ({ name, role, selected })),
      [
        { name: 'eth0', role: 'external', selected: true },
        { name: 'lxc1', role: 'pod', selected: true },
        { name: 'lxc2', role: 'pod', selected: true },
      ],
    );
    for (const device of devices) {
      assert.deepEqual(device.programs.map(({ name }) => name).sort(), programs);
      assert.ok(device.programs.every(({ attached }) => attached));
    }
    assert.deepEqual(devices[0]?.addresses, ['10.100.0.1', 'fd00:100::1']);
    const status = await lb.status();
    assert.deepEqual(status.devices[0], {
      name: 'eth0',
      addresses: ['10.100.0.1', 'fd00:100::1'],
      directRouting: true,
      attached: true,
      lost: [],
    });
    assert.match(
      await lb.formatStatus(),
      /^ {2}Devices: +eth0 10\.100\.0\.1 fd00:100::1 \(Direct Routing\), lxc1 /m,
    );
  });

  it('the kernel knows them by name, and has a link for each on each device', async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanupEach, node, { devices: ['eth0', 'lxc+'] });
    assert.deepEqual(
      programsOnDevicesOf(node.cgroup),
      programs.flatMap((name) => [name, name, name]),
    );
    await lb.selectDevices(['lxc1']);
    assert.deepEqual(programsOnDevicesOf(node.cgroup), programs);
    await lb.selectDevices([]);
    assert.deepEqual(programsOnDevicesOf(node.cgroup), []);
  });

  it('bpftool net names them', async function () {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { devices: ['eth0', 'lxc1'] });
    const [device] = await lb.devices();
    const attachment = device?.programs[0]?.attachment;
    if (attachment === 'tcx' && !knowsTcx()) skip(this, 'this bpftool does not list tcx: needs 7.3');
    const listed = programsOnDevices(cluster.nodes[0]).filter(({ name }) => programs.includes(name));
    assert.deepEqual(
      listed.map(({ devname, name, kind }) => `${devname} ${name} ${kind}`).sort(),
      ['eth0', 'lxc1'].flatMap((name) =>
        programs.map((program) => `${name} ${program} ${attachment}/${program.replace('bpf_lb_', '')}`),
      ),
    );
  });

  it('auto selects the devices of the node, not those of pods', async () => {
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0]);
    const { namespace } = cluster.nodes[0];
    const auto = async (...others: string[]) =>
      (await lb.selectDevices(['auto', ...others])).map(({ name }) => name);
    assert.deepEqual(await auto(), [], 'a veth without a default route leads to a pod');
    namespace.ip('route add default via 10.100.0.2');
    cluster.cleanupEach.add(() => namespace.ip('route del default via 10.100.0.2'));
    assert.deepEqual(await auto(), ['eth0']);
    assert.deepEqual(await auto('lxc1'), ['eth0', 'lxc1']);
    assert.deepEqual(await auto('!eth+'), []);
  });

  it('a device that is gone is not shown as attached', async () => {
    const { namespace } = cluster.nodes[0];
    namespace.ip('link add extra0 type veth peer name extra1', 'link set extra0 up');
    const options = { devices: ['eth0', 'extra0'], followDevices: false };
    const lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], options);
    assert.equal((await lb.status()).devices.find(({ name }) => name === 'extra0')?.attached, true);
    namespace.ip('link del extra0');
    assert.equal((await lb.status()).devices.find(({ name }) => name === 'extra0')?.attached, false);
    await assert.rejects(lb.selectDevices(['eth0', 'extra0']), { code: 'ERR_BPF_NO_DEVICE' });
    const devices = await lb.selectDevices(['eth0', 'extra+']);
    assert.deepEqual(
      devices.map(({ name }) => name),
      ['eth0'],
    );
  });

  describe('beside programs of others', () => {
    /** A program that drops what is for port 30099; removed after the test. */
    function addForeign(): void {
      const { cleanupEach, nodes } = cluster;
      const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-test-'));
      cleanupEach.add(() => rmSync(directory, { recursive: true }));
      const object = path.join(directory, 'foreign.o');
      const source = path.join(__dirname, 'foreign.bpf.c');
      const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
      run(['clang-19', '-target', 'bpf', '-O2', '-g', '-idirafter', include, '-c', source, '-o', object]);
      const tc = (...args: string[]) => nodes[0].namespace.run('tc', ...args);
      tc('qdisc', 'add', 'dev', 'eth0', 'clsact');
      cleanupEach.add(() => tc('qdisc', 'del', 'dev', 'eth0', 'clsact'));
      tc('filter', 'add', 'dev', 'eth0', 'ingress', 'bpf', 'da', 'obj', object, 'sec', 'tc');
    }

    /** The foreign program is on the device and does its work. */
    async function assertForeign(): Promise<void> {
      const [node] = cluster.nodes;
      assert.ok(
        programsOnDevices(node).some(({ devname, name }) => devname === 'eth0' && /foreign/.test(name)),
      );
      const peer = await cluster.client.peer();
      const asked = peer.tcp({ address: node.addresses[4], port: 30099 }, { timeout: 300 });
      await assert.rejects(asked, { code: 'NO_ANSWER' });
      await assertClosed(30098);
    }

    for (const order of ['before', 'after']) {
      it(`a clsact program that was attached ${order} ours does its work, and outlives us`, async () => {
        const { cleanupEach, nodes } = cluster;
        if (order === 'before') addForeign();
        const lb = await openLoadBalancer(cleanupEach, nodes[0], { devices: ['eth0'] });
        if (order === 'after') addForeign();
        await serveWeb(lb, 30080);
        await assertServed(30080);
        await assertForeign();
        await lb.selectDevices([]);
        await assertForeign();
        await assertClosed(30080);
        await lb.selectDevices(['eth0']);
        await assertServed(30080);
        await lb.close();
        await assertForeign();
        await assertClosed(30080);
      });
    }

    it('tcx programs that were there before, and that come after, serve on', async () => {
      const { cleanupEach, nodes } = cluster;
      const options = { devices: ['eth0'], socketLB: false };
      const before = await openLoadBalancer(cleanupEach, nodes[0], options);
      await serveWeb(before, 30081);
      const own = await openLoadBalancer(cleanupEach, nodes[0], options);
      await serveWeb(own, 30080);
      const after = await openLoadBalancer(cleanupEach, nodes[0], options);
      await serveWeb(after, 30082);
      for (const port of [30080, 30081, 30082]) await assertServed(port);
      await own.close();
      await assertClosed(30080);
      for (const port of [30081, 30082]) await assertServed(port);
      for (const lb of [before, after]) {
        assert.ok((await lb.devices())[0]?.programs.every(({ attached }) => attached));
      }
    });
  });
});
