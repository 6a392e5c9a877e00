import type { CounterName } from '../../lib/metrics';
import type { RemoteLoadBalancer } from '../support/cluster/load-balancer';

/** Does something, and returns how much each counter of the LoadBalancer has grown meanwhile. */
export async function counted(
  lb: Pick<RemoteLoadBalancer, 'metrics'>,
  action: () => Promise<unknown>,
): Promise<Record<CounterName, number>> {
  const { counters: before } = await lb.metrics();
  await action();
  const { counters: after } = await lb.metrics();
  const names = Object.keys(after) as CounterName[];
  const growth = names.map((name) => [name, Number(after[name] - before[name])] as const);
  return Object.fromEntries(growth) as Record<CounterName, number>;
}
