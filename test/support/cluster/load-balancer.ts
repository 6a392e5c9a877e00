import type { OpenOptions } from '../../../lib';
import type { Cleanup } from '../cleanup';
import type { NodeFunctions } from './agent';
import type { Remote } from './rpc';
import type { Node } from './two-nodes';

type Bound<F> = F extends (id: number, ...args: infer A) => infer R ? (...args: A) => R : never;

/** A LoadBalancer in the process of a node. */
export type RemoteLoadBalancer = {
  [K in Exclude<keyof NodeFunctions, 'open' | 'inWorker'>]: Bound<Remote<NodeFunctions>[K]>;
};

/** Tables for tests: small, so that opening is quick. */
export const smallCapacity = { frontends: 1024, backends: 4096, flows: 16_384, sockets: 1024 };

/**
 * Opens a LoadBalancer on a node, for the node's cgroup. The cleanup closes it if the test has not. `inWorker` opens
 * it in a worker thread of the node's process.
 */
export async function openLoadBalancer(
  cleanup: Cleanup,
  node: Node,
  options: OpenOptions = {},
  inWorker = false,
): Promise<RemoteLoadBalancer> {
  const agent = await node.agent();
  const call = (name: string, ...args: unknown[]): Promise<unknown> =>
    inWorker
      ? agent.inWorker(name as 'open', ...args)
      : (agent[name as 'devices'] as (...args: unknown[]) => Promise<unknown>)(...args);
  const id = await call('open', { cgroup: node.cgroup, capacity: smallCapacity, ...options });
  const lb = new Proxy({} as RemoteLoadBalancer, {
    get(_, name) {
      if (typeof name !== 'string' || name === 'then') return undefined;
      return (...args: unknown[]) => call(name, id, ...args);
    },
  });
  cleanup.add(() => lb.close());
  return lb;
}
