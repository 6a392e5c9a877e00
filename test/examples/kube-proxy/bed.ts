import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { makeCertificates } from '../../support/api-server/certificates';
import type { ApiServerFunctions } from '../../support/api-server/process';
import type { Endpoint } from '../../support/cluster/exchange';
import { start } from '../../support/cluster/process';
import type { Remote } from '../../support/cluster/rpc';
import { type ClusterSuite, useTwoNodes } from '../../support/cluster/suite';
import type { Host, Node, Pod } from '../../support/cluster/two-nodes';
import { eventually } from '../../support/eventually';
import { ask, type Way } from '../../cluster/ways';
import { KubeProxy } from './proxy';
import { type Spec, TestService } from './test-service';

/** Two nodes on which examples/kube-proxy runs against one API server, and questions to what they serve. */
export class Bed {
  readonly cluster: ClusterSuite;
  api!: Remote<ApiServerFunctions>;
  proxies!: readonly [KubeProxy, KubeProxy];
  #zones: Record<string, string> = {};
  #services = new Set<TestService>();
  #count = 0;

  constructor(cluster: ClusterSuite) {
    this.cluster = cluster;
  }

  get nodes(): readonly [Node, Node] {
    return this.cluster.nodes;
  }

  get pods(): readonly [Pod, Pod, Pod, Pod] {
    const [node1, node2] = this.nodes;
    return [...node1.pods, ...node2.pods];
  }

  /** Brings up the API server, and a kube-proxy on each node. */
  async open(): Promise<void> {
    const { cleanup, client } = this.cluster;
    const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-certificates-'));
    const certificates = makeCertificates(directory, Object.values(client.addresses));
    rmSync(directory, { recursive: true });
    const token = 'a-bearer';
    const place = { namespace: client.namespace };
    this.api = await start<ApiServerFunctions>(cleanup, place, '../api-server/process.ts');
    const url = await this.api.open(client.addresses[4], { certificates, token });
    await this.setZones('zone-a', 'zone-b');
    const access = { url, certificates, token };
    this.proxies = [
      new KubeProxy(cleanup, this.nodes[0], { ...access, how: 'kubeconfig' }),
      new KubeProxy(cleanup, this.nodes[1], { ...access, how: 'in-cluster' }),
    ];
    await this.startProxies();
  }

  /** Those that do not run; until they serve. */
  async startProxies(): Promise<void> {
    await Promise.all(
      this.proxies.map(async (proxy) => {
        if (!proxy.start()) return;
        await eventually(() => assert.ok(proxy.logged('synced').length > 0, proxy.output), 50_000);
      }),
    );
  }

  async setZones(...zones: readonly [string, string]): Promise<void> {
    for (const [i, node] of this.nodes.entries()) {
      const zone = zones[i] ?? '';
      this.#zones[node.name] = zone;
      const addresses = Object.values(node.addresses).map((address) => ({ type: 'InternalIP', address }));
      await this.api.put('nodes', {
        metadata: { name: node.name, labels: { 'topology.kubernetes.io/zone': zone } },
        status: { addresses },
      });
    }
  }

  /** A Service that is gone after the test; of IPv4 alone unless it says otherwise. */
  async service(spec: Partial<Spec> = {}, families: readonly (4 | 6)[] = [4]): Promise<TestService> {
    const number = ++this.#count;
    const suffix = [1 + (number >> 8), number & 255] as const;
    const clusterIPs = families.map((family) =>
      family === 4 ? `10.96.${suffix.join('.')}` : `fd00:96::${suffix.join(':')}`,
    );
    const service = new TestService(this.api, (node) => this.#zones[node] ?? '', `service-${number}`, {
      type: 'ClusterIP',
      clusterIPs,
      ports: [{ port: 80, ...(spec.type && spec.type !== 'ClusterIP' && { nodePort: this.freeNodePort() }) }],
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ...spec,
    });
    await service.put();
    this.#services.add(service);
    return service;
  }

  freeNodePort(): number {
    return 30_000 + this.next();
  }

  /** A number that was not given before. */
  next(): number {
    return ++this.#count;
  }

  /** A Pod with host ports, that is gone after the test. */
  async putPod(pod: Pod, ports: readonly object[]): Promise<void> {
    this.cluster.cleanupEach.add(() => this.api.remove('pods', pod.name));
    await this.api.put('pods', {
      metadata: { name: pod.name, namespace: 'default' },
      spec: { nodeName: pod.node.name, containers: [{ ports }] },
      status: {
        phase: 'Running',
        podIP: pod.addresses[4],
        podIPs: Object.values(pod.addresses).map((ip) => ({ ip })),
      },
    });
  }

  async remove(service: TestService): Promise<void> {
    this.#services.delete(service);
    await service.remove();
  }

  async removeServices(): Promise<void> {
    for (const service of this.#services) await this.remove(service);
  }

  /**
   * Until many requests in a row are answered, and by exactly these servers. With twenty for each, none is left out by
   * chance.
   */
  async isServed(from: Host, to: Endpoint, by: readonly Host[], way: Way = 'TCP'): Promise<void> {
    const peer = await from.peer();
    const names = by.map(({ name }) => name).sort();
    await eventually(async () => {
      const seen = new Set<string>();
      for (let i = 0; i < 20 * by.length; i++) {
        const { server } = await ask(peer, way, to, 500);
        assert.ok(
          names.includes(server),
          `${from.name} was answered by ${server}, which is not of ${names.join()}`,
        );
        seen.add(server);
      }
      assert.deepEqual([...seen].sort(), names, `who answered ${from.name}`);
    }, 20_000);
  }

  /** Until a connection fails, in whatever way; silence takes its time. */
  async isUnserved(from: Host, to: Endpoint, way: Way = 'TCP'): Promise<void> {
    const peer = await from.peer();
    await eventually(() => assert.rejects(ask(peer, way, to, 300), `${from.name} is answered`), 20_000);
  }

  /** Until a connection is refused. */
  async isRefused(from: Host, to: Endpoint, way: Way = 'TCP'): Promise<void> {
    const peer = await from.peer();
    await eventually(() => assert.rejects(ask(peer, way, to, 1000), { code: 'ECONNREFUSED' }), 20_000);
  }

  /** Until an HTTP server of the node has answered the client outside with this status. */
  async answersStatus(node: Node, port: number, status: number): Promise<void> {
    const url = `http://${node.addresses[4]}:${port}/`;
    const curl = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '2', url];
    await eventually(() => assert.equal(Number(this.cluster.client.namespace.run(...curl)), status), 20_000);
  }

  /** Until fifteen requests in a row are answered by one server; returns its name. */
  async isPinned(from: Host, to: Endpoint, way: Way = 'TCP'): Promise<string> {
    const peer = await from.peer();
    const seen = new Set<string>();
    await eventually(async () => {
      seen.clear();
      for (let i = 0; i < 15; i++) seen.add((await ask(peer, way, to, 500)).server);
      assert.equal(seen.size, 1);
    }, 20_000);
    return [...seen].join();
  }
}

/** Registers the hooks that a suite with kube-proxies needs. */
export function useKubeProxies(): Bed {
  const bed = new Bed(useTwoNodes());
  before('start the API server and the kube-proxies', () => bed.open());
  afterEach(function () {
    if (this.currentTest?.state === 'failed') for (const { output } of bed.proxies) console.error(output);
  });
  afterEach(() => bed.removeServices());
  return bed;
}
