import assert from 'node:assert/strict';

import type { OpenOptions, ServiceSpec } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { connect } from '../support/cluster/namespace';
import { useTwoNodes } from '../support/cluster/suite';
import { ask, assertBalanced, backendsOf, both, families, type Way } from './ways';

const nodePort = 30080;
const hostPort = 8081;
const clusterIP = { 4: '10.96.0.1', 6: 'fd00:96::1' };
const virtual = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
/** Addresses of the first node, besides those that it has on its first device. */
const secondary = { 4: '10.100.0.77', 6: 'fd00:100::77' };
const onSecond = { 4: '10.101.0.1', 6: 'fd00:101::1' };

/** Those that are told when nobody listens. */
const someWays = ['TCP', 'connected UDP'] satisfies Way[];

describe('exposure', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  const service = (changes: Partial<ServiceSpec> = {}): ServiceSpec => ({
    name: 'web',
    frontends: both({ type: 'NodePort', port: nodePort }),
    backends: backendsOf(cluster.nodes[0].pods, cluster.nodes[0]),
    ...changes,
  });

  before(() => {
    const { client, nodes, cleanup } = cluster;
    connect(
      {
        namespace: nodes[0].namespace,
        device: 'eth1',
        addresses: [`${onSecond[4]}/24`, `${onSecond[6]}/64`],
      },
      { namespace: client.namespace, device: 'eth1', addresses: ['10.101.0.100/24', 'fd00:101::100/64'] },
    );
    cleanup.add(() => client.namespace.ip('link del eth1'));
    nodes[0].namespace.ip(`addr add ${secondary[4]}/24 dev eth0`, `addr add ${secondary[6]}/64 dev eth0`);
    cleanup.add(() =>
      nodes[0].namespace.ip(`addr del ${secondary[4]}/24 dev eth0`, `addr del ${secondary[6]}/64 dev eth0`),
    );
  });

  async function open(options: OpenOptions, spec = service()): Promise<void> {
    await lb?.close();
    lb = await openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { socketLB: false, ...options });
    await lb.upsertService(spec);
  }

  async function isServed(way: Way, to: Endpoint): Promise<boolean> {
    try {
      assertBalanced(await ask(await cluster.client.peer(), way, to, 300), to, cluster.nodes[0].pods);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const isSilence = code === 'NO_ANSWER' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH';
      if (code === 'ECONNREFUSED' || isSilence) return false;
      throw error;
    }
  }

  /** Makes the client send what is for an address through one device of the node. */
  async function through(device: string, address: string, call: () => Promise<void>): Promise<void> {
    const { client, nodes } = cluster;
    const family = address.includes(':') ? 6 : 4;
    const gateway = (device === 'eth0' ? nodes[0].addresses : onSecond)[family];
    if (address === gateway) return call();
    const route = `${address}/${family === 4 ? 32 : 128}`;
    client.namespace.ip(`route add ${route} via ${gateway}`);
    try {
      await call();
    } finally {
      client.namespace.ip(`route del ${route}`);
    }
  }

  /** Addresses of the node that answer on a port, by TCP and UDP alike. */
  async function answering(port: number): Promise<string[]> {
    const found: string[] = [];
    for (const addresses of [cluster.nodes[0].addresses, secondary, onSecond]) {
      for (const family of families) {
        const to = { address: addresses[family], port };
        const served = await Promise.all(someWays.map((way) => isServed(way, to)));
        assert.equal(new Set(served).size, 1, `TCP and UDP at ${to.address}`);
        if (served[0]) found.push(to.address);
      }
    }
    return found;
  }

  const first = () => cluster.nodes[0].addresses;

  describe('of NodePorts, by addresses', () => {
    const devices = ['eth0', 'eth1'];

    it('the first one of each family of each device', async () => {
      await open({ devices });
      assert.deepEqual(await answering(nodePort), [first()[4], first()[6], onSecond[4], onSecond[6]]);
    });

    it('all', async () => {
      await open({ devices, nodePortAddresses: ['all'] });
      assert.deepEqual(await answering(nodePort), [
        ...Object.values(first()),
        ...Object.values(secondary),
        ...Object.values(onSecond),
      ]);
    });

    it('ranges', async () => {
      await open({ devices, nodePortAddresses: ['10.100.0.64/26', 'fd00:101::/64'] });
      assert.deepEqual(await answering(nodePort), [secondary[4], onSecond[6]]);
      await open({ devices, nodePortAddresses: ['10.101.0.0/16'] });
      assert.deepEqual(await answering(nodePort), [first()[6], secondary[6], onSecond[4], onSecond[6]]);
    });

    it('none but loopback', async () => {
      await open({ devices, nodePortAddresses: ['localhost'] });
      assert.deepEqual(await answering(nodePort), []);
      assert.deepEqual(await lb.exposure(), []);
    });
  });

  it('of a HostPort without hostIP: every address of every external device', async () => {
    await open(
      { devices: ['eth0', 'eth1'] },
      service({ frontends: both({ type: 'HostPort', port: hostPort }) }),
    );
    assert.deepEqual(await answering(hostPort), [
      ...Object.values(first()),
      ...Object.values(secondary),
      ...Object.values(onSecond),
    ]);
  });

  it('is listed: what is on the list answers through its device, and nothing else does', async () => {
    const frontends = [
      ...both({ type: 'NodePort', port: nodePort }),
      ...families.flatMap((f) => [
        ...both({ type: 'ClusterIP', address: clusterIP[f], port: 80 }),
        ...both({ type: 'LoadBalancer', address: virtual[f], port: 80 }),
        ...both({ type: 'HostPort', address: secondary[f], port: 8082 }),
      ]),
      ...both({ type: 'HostPort', address: '127.0.0.1', port: 8083 }),
    ];
    for (const options of [
      { devices: ['eth0', 'lxc+'] },
      { devices: ['eth0', 'lxc+'], externalClusterIP: true },
      { devices: ['eth0', 'eth1', 'lxc+'] },
    ]) {
      await open(options, service({ frontends }));
      const listed = await lb.exposure();
      const all = [
        ...[first(), secondary, onSecond].flatMap((addresses) =>
          families.flatMap((f) => [nodePort, 8082, 8083].map((port) => ({ address: addresses[f], port }))),
        ),
        ...[clusterIP, virtual].flatMap((addresses) =>
          families.map((f) => ({ address: addresses[f], port: 80 })),
        ),
      ];
      for (const device of ['eth0', 'eth1']) {
        for (const to of all) {
          await through(device, to.address, async () => {
            for (const way of someWays) {
              const expected = listed.some(
                (each) =>
                  each.device === device &&
                  each.address === to.address &&
                  each.port === to.port &&
                  each.protocol === (way === 'TCP' ? 'TCP' : 'UDP'),
              );
              const title = `${way} to ${to.address} port ${to.port} through ${device}: ${JSON.stringify(options)}`;
              assert.equal(await isServed(way, to), expected, title);
            }
          });
        }
      }
      assert.ok(listed.every(({ service: name }) => name === 'web'));
    }
    assert.match(await lb.formatExposure(), /^198\.51\.100\.1:80\/TCP +eth1 +all +LoadBalancer +web$/m);
  });

  it('is told before a change and with it', async () => {
    await open({ devices: ['eth0'] });
    const exposure = { service: 'web', type: 'NodePort', port: nodePort, device: 'eth0' };
    const of = (changes: object) =>
      (['TCP', 'UDP'] as const).flatMap((protocol) =>
        families.map((f) => ({ ...exposure, address: first()[f], protocol, ...changes })),
      );
    const desired = [service({ frontends: both({ type: 'NodePort', port: nodePort + 1 }) })];
    const before = await lb.exposure();
    const planned = await lb.plan(desired);
    assert.deepEqual(await lb.exposure(), before, 'a plan changes nothing');
    assert.deepEqual(planned.withdrawn, of({}));
    assert.deepEqual(planned.exposed, of({ port: nodePort + 1 }));
    assert.deepEqual(await lb.apply(desired), planned);
    assert.deepEqual(await lb.exposure(), planned.exposed);
    await lb.selectDevices([]);
    assert.deepEqual(await lb.exposure(), []);
  });
});

describe('the NodePort range', () => {
  const cluster = useTwoNodes();
  const ephemeral = 'ipv4/ip_local_port_range';
  const reserved = 'ipv4/ip_local_reserved_ports';
  const read = (name: string) => cluster.nodes[0].namespace.run('cat', `/proc/sys/net/${name}`).trim();
  const open = (options: OpenOptions = {}) =>
    openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { socketLB: false, ...options });

  beforeEach(() => {
    const { namespace } = cluster.nodes[0];
    const before = read(ephemeral).replace(/\s+/, ' ');
    namespace.sysctl({ [ephemeral]: '"20000 60999"', [reserved]: '8080,31000-31010' });
    cluster.cleanupEach.add(() => namespace.sysctl({ [ephemeral]: `"${before}"`, [reserved]: '""' }));
  });

  it('is reserved while it is among the ephemeral ports, and what others reserved stays', async () => {
    const lb = await open();
    assert.equal(read(reserved), '8080,30000-32767');
    // Somebody else's change in between stays, too.
    cluster.nodes[0].namespace.sysctl({ [reserved]: '8080,9090,30000-32767' });
    await lb.close();
    assert.equal(read(reserved), '8080,9090,31000-31010');
  });

  it('is not reserved where there is no need', async () => {
    cluster.nodes[0].namespace.sysctl({ [ephemeral]: '"32768 60999"' });
    const lb = await open();
    assert.equal(read(reserved), '8080,31000-31010');
    await lb.close();
    assert.equal(read(reserved), '8080,31000-31010');
  });

  it('no socket is given a port of it', async () => {
    const { namespace } = cluster.nodes[0];
    namespace.sysctl({ [ephemeral]: '"30000 30099"' });
    const peer = await cluster.nodes[0].peer();
    assert.ok((await peer.bind('TCP', '0.0.0.0', 0)).port >= 30000);
    const lb = await open({ nodePortRange: [30000, 30097], snatPorts: [40000, 50000] });
    for (let i = 0; i < 100; i++) assert.ok((await peer.bind('TCP', '0.0.0.0', 0)).port >= 30098);
    await lb.close();
  });

  it('that is not to be protected, or cannot be, is an error, and nothing has changed', async () => {
    await assert.rejects(open({ protectNodePorts: false }), {
      code: 'ERR_BPF_INVALID_OPTION',
      message: /30000-32767.*20000-60999: add 30000-32767 to net\.ipv4\.ip_local_reserved_ports/,
    });
    await assert.rejects(open({ nodePortRange: [61000, 61100], snatPorts: [62000, 65535] }), {
      code: 'ERR_BPF_INVALID_OPTION',
      message: /61000-61100 lies above the ephemeral ports, 20000-60999/,
    });
    assert.equal(read(reserved), '8080,31000-31010');
    cluster.nodes[0].namespace.sysctl({ [reserved]: '30000-32767' });
    await open({ protectNodePorts: false });
  });

  it('is given back when open() fails later', async () => {
    await assert.rejects(open({ devices: ['eth9'] }), { code: 'ERR_BPF_NO_DEVICE' });
    assert.equal(read(reserved), '8080,31000-31010');
  });
});
