import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ApiServerFunctions } from '../support/api-server/process';
import type { Endpoint } from '../support/cluster/exchange';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host, Pod } from '../support/cluster/two-nodes';
import { Informer } from './informer';

/** Milliseconds in which a change has to take effect. Far more than it takes: time decides nothing here. */
const patience = 30_000;

/** Tries until it no longer throws. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const end = performance.now() + patience;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(100);
    }
  }
}

describe('informer (examples/informer)', () => {
  const suite = useTwoNodes();
  let api: Remote<ApiServerFunctions>;
  let informers: Informer[];
  let pod1: Pod;
  let pod2: Pod;

  const clusterIP: Endpoint = { address: '10.96.0.10', port: 80 };
  const other: Endpoint = { address: '10.96.0.11', port: 80 };
  const nodePort = 30080;

  /** What is in `changes` replaces parts of `spec`. */
  const service = (name: string, { address, port }: Endpoint, changes: object = {}, status: object = {}) => ({
    metadata: { name, namespace: 'default' },
    spec: {
      type: 'ClusterIP',
      clusterIP: address,
      clusterIPs: [address],
      ports: [{ name: 'http', port, protocol: 'TCP' }],
      ...changes,
    },
    status,
  });
  /** `unready` are in it, too, but are not to be used. */
  const slice = (name: string, ready: readonly Pod[], unready: readonly Pod[] = []) => ({
    metadata: { name: `${name}-a`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: podPort, protocol: 'TCP' }],
    endpoints: [...ready, ...unready].map((pod) => ({
      addresses: [pod.addresses[4]],
      nodeName: pod.node.name,
      conditions: { ready: ready.includes(pod) },
    })),
  });

  const tally = async (from: Host, to: Endpoint) => (await from.peer()).tally(to, 40);
  /** Every request is answered, and by exactly these pods. With 40 requests, none of two pods is left out by chance. */
  const isServed = async (from: Host, to: Endpoint, by: readonly Pod[]) => {
    const { served, failed } = await tally(from, to);
    const expected = by.map(({ name }) => name).sort();
    assert.deepEqual({ served: Object.keys(served).sort(), failed }, { served: expected, failed: {} });
  };
  const becomesServed = (from: Host, to: Endpoint, by: readonly Pod[]) =>
    eventually(() => isServed(from, to, by));
  /** One question is enough, and its answer may be silence. */
  const becomesUnserved = (from: Host, to: Endpoint) =>
    eventually(async () => {
      const peer = await from.peer();
      await assert.rejects(peer.tcp(to, { timeout: 1000 }));
    });

  before('start the API server and an informer on each node', async () => {
    const [node1, node2] = suite.nodes;
    [pod1, pod2] = [node1.pods[0], node2.pods[0]];
    api = await start<ApiServerFunctions>(
      suite.cleanup,
      { namespace: suite.client.namespace },
      '../api-server/process.ts',
    );
    const url = await api.start(suite.client.addresses[4]);
    informers = suite.nodes.map((node) => new Informer(suite.cleanup, node, url));
  });

  beforeEach('make a service', async () => {
    await api.put('services', service('web', clusterIP));
    await api.put('endpointslices', slice('web', [pod1, pod2]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod1, pod2]);
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') for (const { output } of informers) console.error(output);
  });

  it('serves pods and hosts through the ClusterIP', async () => {
    for (const node of suite.nodes) {
      for (const pod of node.pods) await isServed(pod, clusterIP, [pod1, pod2]);
    }
  });

  it('serves the outside through NodePort, external IP and the address of the load balancer', async () => {
    const [vip, externalIP] = ['198.51.100.7', '198.51.100.8'];
    await api.put(
      'services',
      service(
        'web',
        clusterIP,
        {
          type: 'LoadBalancer',
          externalIPs: [externalIP],
          ports: [{ name: 'http', port: 80, nodePort, protocol: 'TCP' }],
        },
        { loadBalancer: { ingress: [{ ip: vip }] } },
      ),
    );
    const nodes = suite.nodes.map(({ addresses }) => ({ address: addresses[4], port: nodePort }));
    const addresses = [vip, externalIP].map((address) => ({ address, port: 80 }));
    for (const to of [...nodes, ...addresses]) await becomesServed(suite.client, to, [pod1, pod2]);
    await api.put('services', service('web', clusterIP));
    for (const to of [...nodes, ...addresses]) await becomesUnserved(suite.client, to);
    await isServed(suite.nodes[0], clusterIP, [pod1, pod2]);
  });

  it('follows endpoints that become unready, move and vanish', async () => {
    const [node1, node2] = suite.nodes;
    await api.put('endpointslices', slice('web', [pod2], [pod1]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod2]);
    await api.put('endpointslices', slice('web', [node1.pods[1]]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [node1.pods[1]]);
    await api.remove('endpointslices', 'web-a');
    await eventually(async () => {
      assert.deepEqual(await tally(node2, clusterIP), { served: {}, failed: { ECONNREFUSED: 40 } });
    });
  });

  it('keeps to the endpoints of its node where the traffic policy says so', async () => {
    await api.put('services', service('web', clusterIP, { internalTrafficPolicy: 'Local' }));
    await becomesServed(suite.nodes[0], clusterIP, [pod1]);
    await becomesServed(suite.nodes[1], clusterIP, [pod2]);
  });

  it('serves both families of a dual-stack service', async () => {
    const address = 'fd00:96::10';
    await api.put('services', service('web', clusterIP, { clusterIPs: [clusterIP.address, address] }));
    const six = slice('web', [pod1, pod2]);
    await api.put('endpointslices', {
      ...six,
      metadata: { ...six.metadata, name: 'web-6' },
      addressType: 'IPv6',
      endpoints: [pod1, pod2].map((pod) => ({ addresses: [pod.addresses[6]], nodeName: pod.node.name })),
    });
    await becomesServed(suite.nodes[0], { address, port: 80 }, [pod1, pod2]);
    await isServed(suite.nodes[0], clusterIP, [pod1, pod2]);
    await api.remove('endpointslices', 'web-6');
  });

  it('stops serving a service that is deleted, or that another proxy takes over', async () => {
    await api.put('services', service('other', other));
    await api.put('endpointslices', slice('other', [pod1]));
    await becomesServed(suite.nodes[0], other, [pod1]);
    const { metadata, ...rest } = service('other', other);
    const labels = { 'service.kubernetes.io/service-proxy-name': 'another' };
    await api.put('services', { metadata: { ...metadata, labels }, ...rest });
    await becomesUnserved(suite.nodes[0], other);
    await api.put('services', service('other', other));
    await becomesServed(suite.nodes[0], other, [pod1]);
    await api.remove('services', 'other');
    await becomesUnserved(suite.nodes[0], other);
    await api.remove('endpointslices', 'other-a');
    await isServed(suite.nodes[0], clusterIP, [pod1, pod2]);
  });

  it('lets a service take the frontends of one that is deleted at the same time', async () => {
    await api.remove('services', 'web');
    await api.put('services', service('other', clusterIP));
    await api.put('endpointslices', slice('other', [pod2]));
    await becomesServed(suite.nodes[0], clusterIP, [pod2]);
    await api.remove('services', 'other');
    await api.remove('endpointslices', 'other-a');
  });

  it('goes on after connections were reset', async () => {
    await api.resetConnections();
    await api.put('endpointslices', slice('web', [pod2]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod2]);
  });

  it('goes on after watches were closed, without listing again', async () => {
    const lists = async () => (await api.requests()).filter((request) => request.startsWith('LIST')).length;
    const before = await lists();
    await api.sendBookmarks();
    await api.closeWatches();
    await api.put('endpointslices', slice('web', [pod2]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod2]);
    assert.equal(await lists(), before);
  });

  it('lists again when the past is gone, in the middle of a watch and at its beginning', async () => {
    await api.expireWatches();
    await api.put('endpointslices', slice('web', [pod2]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod2]);

    await api.put('services', service('other', other));
    await api.put('endpointslices', slice('other', [pod1]));
    await becomesServed(suite.nodes[0], other, [pod1]);
    await api.stop();
    await api.put('endpointslices', slice('web', [pod1]));
    await api.remove('services', 'other');
    await api.remove('endpointslices', 'other-a');
    await api.compact();
    await api.start();
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod1]);
    await becomesUnserved(suite.nodes[0], other);
  });

  it('serves on while the API server is away, and catches up when it is back', async () => {
    await api.stop();
    await api.put('endpointslices', slice('web', [pod2]));
    for (const node of suite.nodes) await isServed(node, clusterIP, [pod1, pod2]);
    await api.start();
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod2]);
  });

  it('goes on after refusals', async () => {
    await api.failNext(403, 2);
    await api.failNext(429, 2);
    await api.failNext(500, 2);
    await api.resetConnections();
    await api.put('endpointslices', slice('web', [pod1]));
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod1]);
  });

  it('serves the others when one service cannot be served, and that one when it can', async () => {
    const ports = [{ name: 'http', port: 80, nodePort, protocol: 'TCP' }];
    await api.put('services', service('web', clusterIP, { ports }));
    const at = { address: suite.nodes[0].addresses[4], port: nodePort };
    await becomesServed(suite.client, at, [pod1, pod2]);
    /* The API server itself would not give a NodePort twice. */
    await api.put('services', service('other', other, { ports }));
    await api.put('endpointslices', slice('other', [pod1]));
    await api.put('endpointslices', slice('web', [pod2]));
    await becomesServed(suite.client, at, [pod2]);
    await becomesUnserved(suite.nodes[0], other);
    await api.put('services', service('web', clusterIP));
    await becomesServed(suite.client, at, [pod1]);
    await api.remove('services', 'other');
    await api.remove('endpointslices', 'other-a');
  });

  it('does nothing until it knows Services and slices, and nothing any more once it is stopped', async () => {
    assert.deepEqual(await Promise.all(informers.map((informer) => informer.stop())), [0, 0]);
    for (const node of suite.nodes) await becomesUnserved(node, clusterIP);
    await api.holdLists('endpointslices');
    const url = await api.url();
    informers = suite.nodes.map((node) => new Informer(suite.cleanup, node, url));
    const watches = async () => (await api.requests()).filter((r) => r.startsWith('WATCH services')).length;
    const before = await watches();
    await eventually(async () => assert.ok((await watches()) >= before + 2));
    /* Served without endpoints, it would be refused. */
    for (const node of suite.nodes) {
      const { failed } = await tally(node, clusterIP);
      assert.deepEqual(Object.keys(failed), ['ENETUNREACH']);
    }
    await api.releaseLists('endpointslices');
    for (const node of suite.nodes) await becomesServed(node, clusterIP, [pod1, pod2]);
  });
});
