import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { release } from 'node:os';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import { LoadBalancer, type ServiceSpec } from 'bpf-lb';

import { cgroup, client, families, other, pod, start, stop } from './network';
import { ask, port as webPort } from './talk';

// Runs inside the machine that run.sh boots. The machine is a node of a cluster; nothing else runs on it.

const stateDir = '/sys/fs/bpf/bpf-lb';
const devices = [client, pod, other].map(({ device }) => device);
/** connect, sendmsg, recvmsg, getpeername and post_bind of both families, sock_release. */
const socketPrograms = 11;
const iteratorPrograms = 4;
/** ingress, egress; and the same for devices without link headers, of which there are none here. */
const devicePrograms = 2;

const clusterIP = { 4: '10.96.0.10', 6: 'fd00:96::10' };
const echoPort = 7;

/** Where the backend of a NodePort is, and which client it sees. */
const nodePorts = [
  { port: 30001, server: 'pod', backend: pod.address, local: true, sees: client.address },
  { port: 30002, server: 'node', backend: client.node, local: true, sees: client.address },
  { port: 30003, server: 'other', backend: other.address, local: false, sees: other.node },
] as const;

const services: ServiceSpec[] = [
  {
    name: 'web',
    frontends: families.map((family) => ({ type: 'ClusterIP', address: clusterIP[family], port: webPort })),
    backends: families.map((family) => ({ address: pod.address[family], port: webPort, local: true })),
  },
  {
    name: 'echo',
    frontends: families.map((family) => ({
      type: 'ClusterIP',
      address: clusterIP[family],
      port: echoPort,
      protocol: 'UDP',
    })),
    backends: families.map((family) => ({ address: client.node[family], port: echoPort, local: true })),
  },
  ...nodePorts.map(({ port, server, backend, local }): ServiceSpec => ({
    name: `web on ${server}`,
    frontends: [{ type: 'NodePort', port }],
    backends: families.map((family) => ({ address: backend[family], port: webPort, local })),
  })),
];

const [major = 0, minor = 0] = release().split('.').map(Number);
/** Linux 6.6 brought tcx. */
const attachment = major > 6 || (major === 6 && minor >= 6) ? 'tcx' : 'clsact';

async function bpftool<T>(...args: string[]): Promise<T> {
  return JSON.parse((await promisify(execFile)('bpftool', ['--json', ...args])).stdout) as T;
}

interface Named {
  name: string;
}

const isOurs = ({ name }: Named) => name.startsWith('bpf_lb_');

const loaded = async () => (await bpftool<(Named & { run_cnt?: number })[]>('prog', 'show')).filter(isOurs);

/** As `device kind program`. A filter's name ends in its program's id. */
async function filters(): Promise<string[]> {
  const [net] = await bpftool<[{ tc: (Named & { devname: string; kind: string })[] }]>('net', 'show');
  return net.tc
    .filter(isOurs)
    .map(({ devname, kind, name }) => `${devname} ${kind} ${name.replace(/:.*/, '')}`);
}

/** The event, or an error after half a minute: a lost packet is a failure and not a hang. */
const event = (emitter: NodeJS.EventEmitter, name: string): Promise<unknown[]> =>
  once(emitter, name, { signal: AbortSignal.timeout(30_000) });

/** Opened by the first test, which the others build on. */
let lb: LoadBalancer;

before(async () => {
  writeFileSync('/proc/sys/kernel/bpf_stats_enabled', '1');
  await start();
});
after(stop);

test(`loads every program on Linux ${release()} and attaches it, by ${attachment} to devices`, async () => {
  lb = await LoadBalancer.open({ cgroup, devices, stateDir, shadow: true });
  await lb.apply(services);
  const { socketLB, devices: shown } = lb.status().data;
  assert.deepEqual(socketLB.verified, { ipv4: 'verified', ipv6: 'verified' });
  assert.equal(socketLB.enabled, true);
  assert.deepEqual(
    shown.map(({ name, attached }) => ({ name, attached })),
    devices.map((name) => ({ name, attached: true })),
  );
  assert.ok(lb.devices.every(({ programs }) => programs.every((p) => p.attachment === attachment)));

  assert.equal((await loaded()).length, socketPrograms + iteratorPrograms + 2 * devicePrograms);
  const onCgroup = await bpftool<{ attach_type: string }[]>('cgroup', 'show', cgroup);
  assert.equal(new Set(onCgroup.map(({ attach_type }) => attach_type)).size, socketPrograms);
  const clsact = devices.flatMap((device) => [
    `${device} clsact/ingress bpf_lb_ingress`,
    `${device} clsact/egress bpf_lb_egress`,
  ]);
  assert.deepEqual((await filters()).sort(), attachment === 'clsact' ? clsact.sort() : []);
});

test('tells in shadow mode what it would do, and does it when activated', async () => {
  const [{ port }] = nodePorts;
  for (const family of families) {
    await assert.rejects(ask(clusterIP[family], webPort));
    await assert.rejects(client.ask(client.node[family], port));
  }
  const told = (await lb.shadowDecisions()).filter(({ protocol }) => protocol === 'TCP');
  const expected = families.flatMap((family) => {
    const at = (address: string, port: number) =>
      family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
    const backend = at(pod.address[family], webPort);
    return [
      `socket web ${at(clusterIP[family], webPort)} forward ${backend}`,
      `outside web on pod ${at(client.node[family], port)} forward ${backend}`,
    ];
  });
  assert.deepEqual(
    told
      .map(({ via, service, frontend, verdict, backend }) =>
        [via, service, frontend, verdict, backend].join(' '),
      )
      .sort(),
    expected.sort(),
  );
  assert.equal(lb.metrics().counters.FLOW_CREATED, 0n);
  await lb.activate();
  assert.equal(lb.status().data.enabled, true);
});

for (const [name, address] of [
  ['IPv4', clusterIP[4]],
  ['IPv6', clusterIP[6]],
  ['IPv4 on an IPv6 socket', `::ffff:${clusterIP[4]}`],
] as const) {
  test(`serves a TCP connection to a ClusterIP, ${name}`, async () => {
    let peer: unknown;
    const answer = await ask(
      address,
      webPort,
      ({ remoteAddress, remotePort }) => (peer = [remoteAddress, remotePort]),
    );
    assert.deepEqual(peer, [address, webPort]);
    assert.equal(answer, `pod for ${address.includes('.') ? pod.node[4] : pod.node[6]}`);
  });
}

for (const family of families) {
  const type = `udp${family}` as const;

  test(`answers datagrams to a ClusterIP, IPv${family}`, async () => {
    const server = createSocket(type, (message, { address, port }) => server.send(message, port, address));
    const [connected, unconnected] = [createSocket(type), createSocket(type)];
    try {
      server.bind(echoPort, client.node[family]);
      await event(server, 'listening');

      connected.connect(echoPort, clusterIP[family]);
      await event(connected, 'connect');
      const { address, port } = connected.remoteAddress();
      assert.deepEqual([address, port], [clusterIP[family], echoPort]);
      connected.send('connected');
      assert.equal(String((await event(connected, 'message'))[0]), 'connected');

      unconnected.send('unconnected', echoPort, clusterIP[family]);
      const [message, from] = (await event(unconnected, 'message')) as [Buffer, RemoteInfo];
      assert.deepEqual(
        [String(message), from.address, from.port],
        ['unconnected', clusterIP[family], echoPort],
      );
    } finally {
      for (const socket of [server, connected, unconnected]) socket.close();
    }
  });

  test(`keeps sockets off the ports of NodePorts, IPv${family}`, async () => {
    const server = createServer().unref().listen(nodePorts[0].port, client.node[family]);
    await assert.rejects(event(server, 'listening'), { code: 'EADDRINUSE' });
  });

  for (const { port, server, sees } of nodePorts) {
    const where = { pod: 'a pod', node: 'the node itself', other: 'another node' }[server];
    test(`serves a TCP connection to a NodePort from outside by ${where}, IPv${family}`, async () => {
      const answer = await client.ask(client.node[family], port);
      assert.equal(answer, `${server} for ${sees[family]}`);
    });
  }
}

test('ran every program', async () => {
  const ran = (await loaded()).filter(({ run_cnt = 0 }) => run_cnt > 0);
  assert.equal(ran.length, socketPrograms + devicePrograms);
});

test('takes over from a predecessor, and looks into the kernel’s connections', async () => {
  await promisify(execFile)('modprobe', ['nf_conntrack']);
  const before = await filters();
  await lb.close({ keep: true });
  assert.deepEqual(await filters(), before);
  lb = await LoadBalancer.open({ cgroup, devices, stateDir, existingConnections: 'leave' });
  await lb.apply(services);
  assert.deepEqual(await filters(), before);
  for (const family of families) {
    assert.match(await ask(clusterIP[family], webPort), /^pod for /);
    for (const { port, server } of nodePorts) {
      assert.match(await client.ask(client.node[family], port), new RegExp(`^${server} for `));
    }
  }
});

test('probe() tells what this kernel has, and what happened bears it out', async () => {
  const { kernel, features } = (await LoadBalancer.probe({ cgroup, stateDir })).data;
  const least = (from: number) => major > 6 || (major === 6 && minor >= from);
  assert.equal(kernel.supported, true);
  for (const name of ['sockets', 'devices', 'stateDirectory', 'portReservation', 'gracePeriods'] as const)
    assert.deepEqual(features[name], { available: true }, name);
  assert.equal(features.tcx.available, attachment === 'tcx');
  assert.equal(features.socketClients.available, least(2));
  assert.equal(features.socketDestruction.available, least(5));
  if (!features.tcx.available) assert.match(features.tcx.reason, /^Linux 6\.\S+ lacks tcx$/);
});

test('leaves nothing behind when it is closed', async () => {
  await lb.close();
  assert.deepEqual(await filters(), []);
  assert.deepEqual(await bpftool('link', 'show'), []);
  assert.deepEqual(readdirSync(stateDir), []);
  /* The kernel frees programs a little later. */
  for (let i = 0; (await loaded()).length > 0 && i < 50; i++) await setTimeout(100);
  assert.deepEqual(await loaded(), []);
});
