import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Context } from 'mocha';

import type { OpenOptions } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { connect } from '../support/cluster/namespace';
import { run } from '../support/cluster/shell';
import { useTwoNodes } from '../support/cluster/suite';
import { eventually } from '../support/eventually';
import { skip } from '../support/skip';
import { ask, assertBalanced, backendsOf, both, families, type Way } from './ways';

const nodePort = 30080;
/** An address of the node, on a link of its own to the client. */
const extra = { 4: '10.102.0.1', 6: 'fd00:102::1' };
const added = { 4: '10.100.0.77', 6: 'fd00:100::77' };

/** One of each protocol: what a device does to packets does not depend on how a socket sends them. */
const someWays = ['TCP', 'unconnected UDP'] satisfies Way[];

const on = (addresses: Readonly<Record<4 | 6, string>>) =>
  families.map((family) => ({ address: addresses[family], port: nodePort }));

describe('devices that come and go', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  async function open(options: OpenOptions): Promise<void> {
    const { cleanupEach, nodes } = cluster;
    lb = await openLoadBalancer(cleanupEach, nodes[0], { socketLB: false, ...options });
    await lb.upsertService({
      name: 'web',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends: backendsOf(nodes[0].pods, nodes[0]),
    });
  }

  async function assertServed(...endpoints: Endpoint[]): Promise<void> {
    const peer = await cluster.client.peer();
    for (const to of endpoints) {
      for (const way of someWays) assertBalanced(await ask(peer, way, to, 500), to, cluster.nodes[0].pods);
    }
  }

  /** The node itself answers: nobody listens. */
  async function assertClosed(...endpoints: Endpoint[]): Promise<void> {
    const peer = await cluster.client.peer();
    for (const to of endpoints) {
      for (const way of ['TCP', 'connected UDP'] satisfies Way[]) {
        await assert.rejects(ask(peer, way, to, 500), { code: 'ECONNREFUSED' }, `${way} to ${to.address}`);
      }
    }
  }

  /** A link between the client and the first node, with addresses; removed after the test. */
  function link(device: string): void {
    const { client, nodes, cleanupEach } = cluster;
    connect(
      { namespace: nodes[0].namespace, device, addresses: [`${extra[4]}/24`, `${extra[6]}/64`] },
      { namespace: client.namespace, device: 'extra', addresses: ['10.102.0.100/24', 'fd00:102::100/64'] },
    );
    cleanupEach.add(() => client.namespace.run('sh', '-c', 'ip link del extra 2>/dev/null || true'));
  }

  const unlink = () => cluster.client.namespace.ip('link del extra');
  const names = async () => (await lb.devices()).map(({ name }) => name);

  /** The device has programs, and they are where they were attached. Packets may be served a moment before it is known. */
  async function assertArmed(name: string): Promise<void> {
    const device = (await lb.devices()).find((each) => each.name === name);
    assert.equal(device?.programs.length, 2);
    assert.ok(device.programs.every(({ attached }) => attached));
  }

  for (const family of families) {
    it(`an IPv${family} address of a selected device answers as soon as it is there, and as long`, async () => {
      await open({ devices: ['eth0'], nodePortAddresses: ['all'] });
      const { namespace } = cluster.nodes[0];
      const [host, lan] = family === 4 ? [32, 24] : [128, 64];
      const to = { address: added[family], port: nodePort };
      await assertClosed(...on(cluster.nodes[0].addresses).map((each) => ({ ...each, port: nodePort + 1 })));
      namespace.ip(`addr add ${to.address}/${lan} dev eth0`);
      cluster.cleanupEach.add(() =>
        namespace.run('sh', '-c', `ip addr flush to ${to.address}; ip addr flush dev lo scope global`),
      );
      await eventually(() => assertServed(to));
      assert.deepEqual(await lb.deviceChanges(), [{ added: [], removed: [], changed: ['eth0'] }]);
      // On another device it still is the node's, but nobody's NodePort.
      namespace.ip(`addr del ${to.address}/${lan} dev eth0`, `addr add ${to.address}/${host} dev lo`);
      await eventually(() => assertClosed(to));
      await assertServed(...on(cluster.nodes[0].addresses));
    });
  }

  it('a device that appears and matches is served, one that goes is forgotten, again and again', async () => {
    await open({ devices: ['eth0', 'extra+'] });
    assert.deepEqual(await names(), ['eth0']);
    const indexes = new Set<number>();
    for (let round = 0; round < 2; round++) {
      link('extra0');
      await eventually(() => assertServed(...on(extra)));
      await eventually(() => assertArmed('extra0'));
      indexes.add((await lb.devices())[1]?.ifindex ?? 0);
      unlink();
      await eventually(async () => assert.deepEqual(await names(), ['eth0']));
    }
    assert.equal(indexes.size, 2, 'another device of the same name');
    await assertServed(...on(cluster.nodes[0].addresses));
    const changes = await lb.deviceChanges();
    assert.equal(changes.filter((change) => change.added.includes('extra0')).length, 2);
    assert.equal(changes.filter((change) => change.removed.includes('extra0')).length, 2);
  });

  it('a device that is named is waited for when it has gone', async () => {
    link('extra0');
    await open({ devices: ['eth0', 'extra0'] });
    await assertServed(...on(extra));
    const [, before] = await lb.devices();
    // In one go: there may be no time in which it was seen to be missing.
    unlink();
    link('extra0');
    await eventually(() => assertServed(...on(extra)));
    await eventually(() => assertArmed('extra0'));
    const [, after] = await lb.devices();
    assert.notEqual(after?.ifindex, before?.ifindex);
    unlink();
    await eventually(async () => assert.deepEqual(await names(), ['eth0']));
    assert.deepEqual(
      (await lb.status()).devices.map(({ name, attached }) => ({ name, attached })),
      [{ name: 'eth0', attached: true }],
    );
    await assert.rejects(lb.selectDevices(['eth0', 'extra0']), { code: 'ERR_BPF_NO_DEVICE' });
  });

  it('a device keeps its programs under another name that matches, and loses them under one that does not', async () => {
    link('extra0');
    await open({ devices: ['eth0', 'extra+'] });
    const { namespace } = cluster.nodes[0];
    const [, { ifindex } = { ifindex: 0 }] = await lb.devices();
    const to = { address: extra[4], port: nodePort };
    const rename = (from: string, name: string) =>
      namespace.ip(`link set ${from} down`, `link set ${from} name ${name}`, `link set ${name} up`);
    rename('extra0', 'extra9');
    await eventually(async () => assert.deepEqual(await names(), ['eth0', 'extra9']));
    assert.equal((await lb.devices())[1]?.ifindex, ifindex);
    await eventually(() => assertArmed('extra9'));
    await eventually(() => assertServed(to));
    rename('extra9', 'other9');
    await eventually(async () => assert.deepEqual(await names(), ['eth0']));
    await eventually(() => assertClosed(to));
    rename('other9', 'extra1');
    await eventually(() => assertServed(to));
    const changes = await lb.deviceChanges();
    assert.ok(changes.some(({ changed }) => changed.includes('extra9')));
    assert.ok(!changes.some((change) => change.removed.includes('extra0')), 'it has not gone');
  });

  it("a pod's device that appears has programs, too", async () => {
    await open({ devices: ['eth0', 'lxc+'] });
    const { namespace } = cluster.nodes[0];
    namespace.ip('link add lxc9 type veth peer name peer9');
    cluster.cleanupEach.add(() => namespace.run('sh', '-c', 'ip link del lxc9 2>/dev/null || true'));
    await eventually(() => assertArmed('lxc9'));
    assert.equal((await lb.devices()).find(({ name }) => name === 'lxc9')?.role, 'pod');
    namespace.ip('link del lxc9');
    await eventually(async () => assert.deepEqual(await names(), ['eth0', 'lxc1', 'lxc2']));
  });

  it('a device without Ethernet headers has programs that expect none', async () => {
    const { namespace } = cluster.nodes[0];
    namespace.ip('tuntap add dev tun9 mode tun', 'addr add 10.103.0.1/24 dev tun9', 'link set tun9 up');
    cluster.cleanupEach.add(() => namespace.ip('link del tun9'));
    await open({ devices: ['eth0', 'tun+'] });
    const programs = Object.fromEntries(
      (await lb.devices()).map((device) => [device.name, device.programs.map(({ name }) => name)]),
    );
    assert.deepEqual(programs, {
      eth0: ['bpf_lb_egress', 'bpf_lb_ingress'],
      tun9: ['bpf_lb_egress_l3', 'bpf_lb_ingress_l3'],
    });
    await assertArmed('tun9');
  });

  it('auto follows routes', async () => {
    const { namespace } = cluster.nodes[0];
    await open({ devices: ['auto'] });
    assert.deepEqual(await names(), [], 'a veth without a default route leads to a pod');
    namespace.ip('route add default via 10.100.0.2');
    cluster.cleanupEach.add(() => namespace.run('sh', '-c', 'ip route del default 2>/dev/null || true'));
    await eventually(() => assertServed(...on(cluster.nodes[0].addresses)));
    namespace.ip('route del default');
    await eventually(() => assertClosed(...on(cluster.nodes[0].addresses)));
    assert.deepEqual(await names(), []);
  });

  it('the direct routing device is that of the default route, or the one that was named', async () => {
    link('extra0');
    const { namespace } = cluster.nodes[0];
    const direct = async () =>
      (await lb.status()).devices.filter(({ directRouting }) => directRouting).map(({ name }) => name);
    await open({ devices: ['eth0', 'extra0'] });
    assert.deepEqual(await direct(), []);
    namespace.ip('route add default via 10.102.0.100 metric 200');
    await eventually(async () => assert.deepEqual(await direct(), ['extra0']));
    namespace.ip('route add default via 10.100.0.2 metric 100');
    cluster.cleanupEach.add(() => namespace.ip('route del default via 10.100.0.2 metric 100'));
    await eventually(async () => assert.deepEqual(await direct(), ['eth0']));
    assert.match(await lb.formatStatus(), /eth0 10\.100\.0\.1 fd00:100::1 \(Direct Routing\), extra0/);
    await lb.close();
    await open({ devices: ['eth0', 'extra0'], directRoutingDevice: 'extra+' });
    assert.deepEqual(await direct(), ['extra0']);
    await assert.rejects(open({ devices: ['eth0', 'extra0'], directRoutingDevice: 'eth9' }), {
      code: 'ERR_BPF_INVALID_OPTION',
      message: /directRoutingDevice: 'eth9'.*eth0, extra0: none is/,
    });
  });

  it('nothing is followed without followDevices, and after close()', async () => {
    await open({ devices: ['eth0', 'extra+'], followDevices: false });
    link('extra0');
    const watching = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], {
      devices: ['extra+'],
      socketLB: false,
    });
    unlink();
    link('extra0');
    // By the time that one that follows has noticed, the other could have.
    await eventually(async () => assert.equal((await watching.deviceChanges()).length > 0, true));
    assert.deepEqual(await names(), ['eth0']);
    await assertClosed(...on(extra));
    await watching.close();
    await lb.selectDevices();
    await assertServed(...on(extra));
  });

  describe('when the kernel refuses', () => {
    let stateDir: string;

    beforeEach(() => {
      const made = mkdtempSync(path.join(tmpdir(), 'bpf-lb-devices-'));
      cluster.cleanupEach.add(() => {
        run(['sh', '-c', 'umount "$1" 2>/dev/null || true', 'sh', made]);
        rmSync(made, { recursive: true });
      });
      stateDir = made;
    });

    /** Skipped where a device has no links that are pinned by a name that can be foretold. */
    async function openWithState(this: void, test: Context, options: OpenOptions): Promise<void> {
      await open({ devices: ['eth0'], stateDir, ...options });
      const [eth0] = await lb.devices();
      if (eth0?.programs[0]?.attachment !== 'tcx') skip(test, 'needs tcx links');
    }

    const pin = (program: string, ifindex: number) =>
      path.join(stateDir, '1', `link_bpf_lb_${program}_${ifindex}`);

    it('a selection leaves every device with what it had', async function () {
      await openWithState(this, { followDevices: false });
      const [eth0] = await lb.devices();
      const programs = async () =>
        Object.fromEntries((await lb.devices())[0]?.programs.map((p) => [p.name, p.attached]) ?? []);
      // Somebody takes one program off, and another device cannot be pinned.
      run(['bpftool', 'link', 'detach', 'pinned', pin('ingress', eth0?.ifindex ?? 0)]);
      assert.deepEqual(await programs(), { bpf_lb_egress: true, bpf_lb_ingress: false });
      const inTheWay = pin('ingress', deviceIndex('lxc1'));
      mkdirSync(inTheWay);
      await assert.rejects(lb.selectDevices(['eth0', 'lxc1']), { code: 'ERR_BPF_SYSCALL', message: /pin/ });
      assert.deepEqual(await names(), ['eth0']);
      assert.equal((await programs()).bpf_lb_egress, true);
      rmdirSync(inTheWay);
      await lb.selectDevices(['eth0', 'lxc1']);
      for (const name of ['eth0', 'lxc1']) await assertArmed(name);
      await assertServed(...on(cluster.nodes[0].addresses));
      // The same again, with nothing taken off.
      await lb.selectDevices(['eth0']);
      mkdirSync(inTheWay);
      const before = await lb.devices();
      await assert.rejects(lb.selectDevices(['eth0', 'lxc1']), { code: 'ERR_BPF_SYSCALL' });
      assert.deepEqual(await lb.devices(), before);
      await assertServed(...on(cluster.nodes[0].addresses));
      rmdirSync(inTheWay);
    });

    it('a change that cannot be followed is told, and tried again', async function () {
      await openWithState(this, { devices: ['eth0', 'extra+'] });
      const { namespace } = cluster.nodes[0];
      const inTheWay = pin('ingress', 900);
      mkdirSync(inTheWay);
      namespace.ip('link add extra0 index 900 type veth peer name peer0');
      cluster.cleanupEach.add(() => namespace.ip('link del extra0'));
      await eventually(async () => assert.match((await lb.deviceFailures())[1] ?? '', /pin .*_900/));
      assert.deepEqual(await names(), ['eth0']);
      await assertServed(...on(cluster.nodes[0].addresses));
      rmdirSync(inTheWay);
      await eventually(() => assertArmed('extra0'), 30_000);
      // The first device is not the only one any more, so it is not known to be that of direct routing.
      assert.deepEqual(await lb.deviceChanges(), [{ added: ['extra0'], removed: [], changed: ['eth0'] }]);
    });
  });

  function deviceIndex(name: string): number {
    const shown = cluster.nodes[0].namespace.run('ip', '-j', 'link', 'show', 'dev', name);
    return (JSON.parse(shown) as [{ ifindex: number }])[0].ifindex;
  }
});
