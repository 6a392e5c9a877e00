import type { BackendSpec, OpenOptions, ServiceSpec } from '../../lib';
import type { Family } from '../../lib/address';
import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { mountBpffs } from '../support/cluster/bpffs';
import { smallCapacity } from '../support/cluster/load-balancer';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { makeTwoNodes, type Pod, type TwoNodes } from '../support/cluster/two-nodes';
import { variant } from './build';
import { Load } from './load';

/** Of each pod, on which it serves; index 0 to 3. */
const firstPort = 8080;
export const portCount = 4;

const families = [4, 6] as const satisfies readonly Family[];

/** Where the services are: that of new connections and TCP flows, and that of datagrams. */
const frontends = {
  web: { clusterIP: { 4: '10.96.7.1', 6: 'fd00:96::7:1' }, nodePort: 30_090 },
  steady: { clusterIP: { 4: '10.96.7.2', 6: 'fd00:96::7:2' }, nodePort: 30_091 },
} as const;

/** The kinds of process that a LoadBalancer may live in. */
export type Release = 'this' | 'other';

/** A process with a LoadBalancer, or without one yet. */
export interface Balancer {
  readonly agent: Remote<NodeFunctions>;
  readonly release: Release;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
}

/** Node 1 is the one that balances. The other one only has pods. */
export class World {
  readonly #cleanup: Cleanup;
  readonly #cluster: TwoNodes;
  readonly #stateDir: string;
  readonly pods: readonly Pod[];

  constructor(cleanup: Cleanup) {
    this.#cleanup = cleanup;
    this.#cluster = makeTwoNodes(cleanup);
    this.pods = this.#cluster.nodes.flatMap((node) => node.pods);
    this.#stateDir = mountBpffs(cleanup, 'chaos');
    const [node] = this.#cluster.nodes;
    const { addresses } = this.#cluster.client;
    /* Answers to invented addresses go where they came from. */
    node.namespace.ip(
      `route add 198.18.0.0/15 via ${addresses[4]}`,
      `route add 2001:db8:f100::/40 via ${addresses[6]}`,
    );
  }

  get cgroup(): string {
    return this.#cluster.nodes[0].cgroup;
  }

  get options(): OpenOptions {
    return { cgroup: this.cgroup, stateDir: this.#stateDir, devices: ['eth0'], capacity: smallCapacity };
  }

  async startProcess(cleanup: Cleanup, release: Release = 'this'): Promise<Balancer> {
    const own = new Cleanup();
    cleanup.add(() => own.run());
    const { namespace } = this.#cluster.nodes[0];
    const through = release === 'other' ? ['env', `BPF_LB_PREBUILD=${variant}`] : [];
    const agent = await start<NodeFunctions>(own, { namespace, through }, 'agent.ts');
    return { agent, release, kill: () => own.run() };
  }

  /** Port `indices[pod]` of each pod, or more. */
  backends(indices: readonly number[], more: readonly BackendSpec[] = []): BackendSpec[] {
    return [...this.pods.flatMap((_, pod) => this.backendsOf(pod, indices[pod] ?? 0)), ...more];
  }

  /** One of each family. */
  backendsOf(pod: number, index: number, rest: Partial<BackendSpec> = {}): BackendSpec[] {
    const { addresses, node } = this.pods[pod]!;
    const local = node === this.#cluster.nodes[0];
    return families.map((family) => ({
      address: addresses[family],
      port: firstPort + index,
      local,
      ...rest,
    }));
  }

  web(backends: readonly BackendSpec[] = this.backends([])): ServiceSpec {
    return service('web', ['TCP', 'UDP'], backends);
  }

  /** All services, with the backends that there are at first. */
  services(): ServiceSpec[] {
    return [this.web(), service('steady', ['UDP'], this.backends([]))];
  }

  /** From the node itself, from a pod of it, and from outside; each of both families. */
  startLoad(cleanup: Cleanup): Promise<Load> {
    const { nodes, client } = this.#cluster;
    const [node] = nodes;
    const servers = this.pods.map(
      ({ namespace }, id) => `serve=${fileOf(namespace)},${id},${firstPort},${portCount}`,
    );
    const clients = [node, node.pods[0], client].flatMap((host) =>
      families.map((family) => {
        const [web, steady] = [frontends.web, frontends.steady].map(({ clusterIP, nodePort }) =>
          host === client ? `${node.addresses[family]}/${nodePort}` : `${clusterIP[family]}/80`,
        );
        const place = `${fileOf(host.namespace)},${host.cgroup ?? '-'}`;
        /* Six clients: 200 connections a second. */
        return `client=${place},${web},${steady},30,4`;
      }),
    );
    return Load.start(cleanup, [...servers, ...clients]);
  }

  /** 1500 packets a second of each family. */
  startFlood(cleanup: Cleanup): Promise<Load> {
    const { nodes, client } = this.#cluster;
    const parts = families.map(
      (family) =>
        `flood=${fileOf(client.namespace)},${nodes[0].addresses[family]}/${frontends.web.nodePort},10,15`,
    );
    return Load.start(cleanup, parts);
  }

  close(): Promise<void> {
    return this.#cleanup.run();
  }
}

function service(
  name: keyof typeof frontends,
  protocols: readonly ('TCP' | 'UDP')[],
  backends: readonly BackendSpec[],
): ServiceSpec {
  const { clusterIP, nodePort } = frontends[name];
  return {
    name,
    frontends: protocols.flatMap((protocol) => [
      ...families.map(
        (family) => ({ type: 'ClusterIP', address: clusterIP[family], port: 80, protocol }) as const,
      ),
      { type: 'NodePort', port: nodePort, protocol } as const,
    ]),
    backends,
  };
}

function fileOf({ name }: { name: string }): string {
  return `/run/netns/${name}`;
}
