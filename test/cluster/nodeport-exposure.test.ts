import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { connect } from '../support/cluster/namespace';
import { useTwoNodes } from '../support/cluster/suite';
import { ask, assertBalanced, backendsOf, both, families, type Way, ways } from './ways';

const nodePort = 30080;
const hostPort = 8081;
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };
/** The node's address on its second device. */
const second = { 4: '10.101.0.1', 6: 'fd00:101::1' };

describe('what is exposed to the outside', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  function service(): ServiceSpec {
    return {
      name: 'web',
      frontends: [
        ...both({ type: 'NodePort', port: nodePort }),
        ...both({ type: 'HostPort', port: hostPort }),
        ...families.flatMap((f) => [
          ...both({ type: 'ClusterIP', address: clusterIP[f], port: 80 }),
          ...both({ type: 'LoadBalancer', address: virtual[f], port: 80 }),
        ]),
        ...both({ type: 'HostPort', address: '127.0.0.1', port: 8083 }),
        ...both({ type: 'HostPort', address: '::1', port: 8083 }),
      ],
      // Those of the other node would need SNAT, and that the device to there is selected.
      backends: backendsOf(cluster.nodes[0].pods, cluster.nodes[0]),
    };
  }

  before(() => {
    const { client, nodes } = cluster;
    connect(
      { namespace: nodes[0].namespace, device: 'eth1', addresses: [`${second[4]}/24`, `${second[6]}/64`] },
      { namespace: client.namespace, device: 'eth1', addresses: ['10.101.0.100/24', 'fd00:101::100/64'] },
    );
    cluster.cleanup.add(() => client.namespace.ip('link del eth1'));
    // The address of a device that leads to pods.
    client.namespace.ip(`route add 10.244.1.1/32 via ${nodes[0].addresses[4]}`);
    cluster.cleanup.add(() => client.namespace.ip('route del 10.244.1.1/32'));
  });

  beforeEach(async () => {
    const { cleanupEach, nodes } = cluster;
    lb = await openLoadBalancer(cleanupEach, nodes[0], { nodePortAddresses: ['all'], followDevices: false });
    await lb.upsertService(service());
  });

  async function assertServed(...endpoints: Endpoint[]): Promise<void> {
    const peer = await cluster.client.peer();
    for (const to of endpoints) {
      for (const way of ways) assertBalanced(await ask(peer, way, to), to, cluster.nodes[0].pods);
    }
  }

  /**
   * Nobody answers. For an address of the node its kernel says that the port is closed; for others that it knows no
   * way, which a datagram socket does not report. Packets to a ClusterIP are dropped.
   */
  async function assertClosed(...endpoints: Endpoint[]): Promise<void> {
    const peer = await cluster.client.peer();
    for (const to of endpoints) {
      const isVirtual = [...Object.values(virtual), ...Object.values(clusterIP)].includes(to.address);
      for (const way of ['TCP', 'connected UDP'] satisfies Way[]) {
        const isSilent = Object.values(clusterIP).includes(to.address) || (isVirtual && way !== 'TCP');
        const codes = isSilent ? /^NO_ANSWER$/ : isVirtual ? /^E(HOST|NET)UNREACH$/ : /^ECONNREFUSED$/;
        await assert.rejects(
          ask(peer, way, to, isSilent ? 300 : undefined),
          (error: NodeJS.ErrnoException) => {
            assert.match(error.code ?? '', codes, `${way} to ${to.address}: ${error.message}`);
            return true;
          },
        );
      }
    }
  }

  async function flowsCreated(): Promise<bigint> {
    return (await lb.metrics()).counters.FLOW_CREATED;
  }

  const first = () => cluster.nodes[0].addresses;
  const on = (addresses: Readonly<Record<4 | 6, string>>, port: number) =>
    families.map((family) => ({ address: addresses[family], port }));

  it('nothing, while no device is selected', async () => {
    await assertClosed(...on(first(), nodePort), ...on(first(), hostPort), ...on(virtual, 80));
    assert.equal(await flowsCreated(), 0n);
    const { enabled, devices } = await lb.status();
    assert.equal(enabled, true, 'sockets are served');
    assert.deepEqual(devices, []);
  });

  it('frontends on the selected device, and on no other', async () => {
    await lb.selectDevices(['eth0']);
    await assertServed(...on(first(), nodePort), ...on(first(), hostPort), ...on(virtual, 80));
    const before = await flowsCreated();
    await assertClosed(...on(second, nodePort), ...on(second, hostPort));
    assert.equal(await flowsCreated(), before);
  });

  it('nothing to packets that enter through another device, whatever their address', async () => {
    await lb.selectDevices(['eth0']);
    const { client } = cluster;
    client.namespace.ip(
      `route add ${first()[4]}/32 via ${second[4]}`,
      `route add ${first()[6]}/128 via ${second[6]}`,
    );
    try {
      await assertClosed(...on(first(), nodePort));
    } finally {
      client.namespace.ip(`route del ${first()[4]}/32`, `route del ${first()[6]}/128`);
    }
    await assertServed(...on(first(), nodePort));
  });

  it('devices that are selected while it runs', async () => {
    await assertClosed(...on(first(), nodePort), ...on(second, nodePort));
    await lb.selectDevices(['eth+']);
    await assertServed(...on(first(), nodePort), ...on(second, nodePort));
    await lb.selectDevices(['eth+', '!eth0']);
    await assertClosed(...on(first(), nodePort));
    await assertServed(...on(second, nodePort));
    assert.deepEqual(
      (await lb.status()).devices.map(({ name, attached }) => ({ name, attached })),
      [{ name: 'eth1', attached: true }],
    );
    await lb.selectDevices([]);
    await assertClosed(...on(first(), nodePort), ...on(second, nodePort), ...on(virtual, 80));
    assert.deepEqual((await lb.status()).devices, []);
    await lb.selectDevices(['eth0']);
    await assertServed(...on(first(), nodePort), ...on(virtual, 80));
  });

  it('no ClusterIP', async () => {
    await lb.selectDevices(['eth0', 'eth1', 'lxc+']);
    await assertClosed(...on(clusterIP, 80));
    assert.equal(await flowsCreated(), 0n);
  });

  it('no loopback HostPort', async () => {
    await lb.selectDevices(['eth0']);
    await assertClosed(...on(first(), 8083));
  });

  it('no NodePort on an address that belongs to pods', async () => {
    await lb.selectDevices(['eth0', 'lxc+']);
    await assertClosed({ address: '10.244.1.1', port: nodePort });
    assert.equal(await flowsCreated(), 0n);
  });

  it('no other port of a selected device', async () => {
    await lb.selectDevices(['eth0']);
    await assertClosed(...on(first(), nodePort + 1));
  });

  it('nothing after the service is deleted, and nothing after close()', async () => {
    await lb.selectDevices(['eth0']);
    await assertServed(...on(first(), nodePort));
    await lb.deleteService('web');
    await assertClosed(...on(first(), nodePort));
    await lb.upsertService(service());
    await assertServed(...on(first(), nodePort));
    await lb.close();
    await assertClosed(...on(first(), nodePort), ...on(virtual, 80));
  });

  it('an address that a selected device was given later, after another look', async () => {
    await lb.selectDevices(['eth0']);
    const { namespace } = cluster.nodes[0];
    namespace.ip('addr add 10.100.0.77/24 dev eth0', 'addr add fd00:100::77/64 dev eth0');
    cluster.cleanupEach.add(() =>
      namespace.ip('addr del 10.100.0.77/24 dev eth0', 'addr del fd00:100::77/64 dev eth0'),
    );
    const added = { 4: '10.100.0.77', 6: 'fd00:100::77' };
    await assertClosed(...on(added, nodePort));
    await lb.selectDevices();
    await assertServed(...on(added, nodePort), ...on(first(), nodePort));
  });
});
