import type { Protocol } from 'bpf-lb';

import type { Balancer } from './balancer';
import type { Lab } from './lab';
import type { Latency, Path } from './latency';
import type { PodPath } from './network';
import { backendAddress, backendPort, backendsPerService, serviceAddress, servicePort } from './services';

/** Numbers of services that are measured. */
export const [many, most] = [10_000, 100_000] as const;

/** What every figure is compared with. */
export const direct = 'direct';

/** The service that is asked for: the one in the middle, which is the average for who searches in order. */
export function middle(services: number): number {
  return Math.floor(services / 2);
}

/** `10,000 services`. */
export function count(services: number): string {
  return services === 1 ? '1 service' : `${services.toLocaleString('en')} services`;
}

/** To the backends themselves, as a service spreads its connections. */
export function toBackends(name: string, { client, server }: PodPath, cgroup: string): Path {
  const to = `${backendAddress(middle(many), 0)}:${backendPort}`;
  return { name, client, server, cgroup, to, addresses: backendsPerService, listen: backendPort };
}

/** To any backend of any service. */
export function toAnyBackend(name: string, pods: PodPath, cgroup: string): Path {
  const to = `${backendAddress(0, 0)}:${backendPort}`;
  return { ...toBackends(name, pods, cgroup), to, addresses: many * backendsPerService };
}

/** Through one ClusterIP. */
export function toService(name: string, { client, server }: PodPath, cgroup: string, services: number): Path {
  const to = `${serviceAddress(middle(services))}:${servicePort}`;
  return { name, client, server, cgroup, to, listen: backendPort };
}

/** Each time through another ClusterIP. */
export function toAnyService(name: string, pods: PodPath, cgroup: string, services: number): Path {
  const to = `${serviceAddress(0)}:${servicePort}`;
  return { ...toService(name, pods, cgroup, services), to, addresses: services };
}

/** To an address that is no service's, on a port that services have: what the filters cannot tell at once. */
export function toNoService(name: string, { client, server }: PodPath, cgroup: string): Path {
  const to = `${backendAddress(middle(many), 0)}:${servicePort}`;
  return { name, client, server, cgroup, to, addresses: backendsPerService, listen: servicePort };
}

/** Only ever to the first address. */
export function toOne(path: Path): Path {
  return { ...path, addresses: 1 };
}

/** Opens LoadBalancers of these sizes on one node, and closes them afterwards. */
export async function withBalancers<T>(
  lab: Lab,
  node: PodPath,
  protocol: Protocol,
  sizes: readonly number[],
  use: (...balancers: Balancer[]) => Promise<T>,
): Promise<T> {
  const balancers: Balancer[] = [];
  try {
    for (const size of sizes) balancers.push(await lab.openBalancer(node, size, protocol));
    return await use(...balancers);
  } finally {
    for (const balancer of balancers) await balancer.close();
  }
}

/** The result of a path. */
export function resultOf(results: ReadonlyMap<string, Latency>, name: string): Latency {
  const latency = results.get(name);
  if (!latency) throw new Error(`${name} was not measured.`);
  return latency;
}
