import { Cleanup } from '../cleanup';
import { skip } from '../skip';
import { cgroupMount } from './cgroup';
import type { ListenOptions } from './server';
import { type Host, makeTwoNodes, type Pod, type TwoNodes } from './two-nodes';

/** Two nodes, and what a suite does to them. */
export interface ClusterSuite extends TwoNodes {
  /** Of both nodes. Each serves on {@link podPort}. */
  readonly pods: readonly Pod[];
  /** Runs after the suite. */
  readonly cleanup: Cleanup;
  /** Runs after each test. */
  readonly cleanupEach: Cleanup;
}

/** The port on which every pod serves, TCP and UDP, by its own name. */
export const podPort = 8080;

/* Suites share the cluster, because its processes take seconds to start; their LoadBalancers are their own. */
const sharedCleanup = new Cleanup();
let shared: Promise<TwoNodes> | undefined;

/** For a root hook. */
export async function removeSharedCluster(): Promise<void> {
  shared = undefined;
  await sharedCleanup.run();
}

async function makeShared(): Promise<TwoNodes> {
  const cluster = makeTwoNodes(sharedCleanup);
  const pods = cluster.nodes.flatMap((node) => node.pods);
  await Promise.all([
    ...pods.map((pod) => listen(sharedCleanup, pod, { port: podPort, name: pod.name })),
    cluster.client.peer(),
    cluster.nodes[0].peer(),
    cluster.nodes[0].agent(),
  ]);
  return cluster;
}

/** Registers the hooks that a suite with a cluster needs. It is skipped where there can be none. */
export function useTwoNodes(): ClusterSuite {
  const suite = { cleanup: new Cleanup(), cleanupEach: new Cleanup() } as ClusterSuite;
  before('make the cluster', async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (cgroupMount() === undefined) skip(this, 'needs a cgroup v2 mount');
    const cluster = await (shared ??= makeShared());
    Object.assign(suite, cluster, { pods: cluster.nodes.flatMap((node) => node.pods) });
  });
  afterEach(() => suite.cleanupEach.run());
  after(() => suite.cleanup.run());
  return suite;
}

/** Starts servers of both protocols until the cleanup. */
export async function listen(
  cleanup: Cleanup,
  host: Host,
  options: Omit<ListenOptions, 'protocol'>,
): Promise<void> {
  const peer = await host.peer();
  for (const protocol of ['TCP', 'UDP'] as const) {
    await peer.listen({ ...options, protocol });
    cleanup.add(() => peer.stopListening(protocol, options.port, options.address));
  }
}
