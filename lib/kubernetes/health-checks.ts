import type { ServiceEntry } from './service-index';

/** What load balancers ask a node about a Service with externalTrafficPolicy Local. */
export interface HealthCheck {
  namespace: string;
  name: string;
  /** The Service's healthCheckNodePort. */
  port: number;
  /**
   * Addresses of ready endpoints on this node, over all ports. Of a dual-stack Service, those of the family that has
   * more: a Pod counts once.
   */
  localEndpoints: number;
}

/** The health check of a Service, if it has one. No endpoint counts where the node does not serve it. */
export function healthCheckOf({ service, slices }: ServiceEntry, isServed: boolean): HealthCheck | undefined {
  if (!service?.healthCheckNodePort) return undefined;
  const { namespace, name, healthCheckNodePort: port } = service;
  const counts = ([4, 6] as const).map((family) => {
    const addresses = new Set<string>();
    for (const slice of slices.values()) {
      if (slice.family !== family || slice.ports.length === 0) continue;
      for (const { address, ready, local } of slice.endpoints) if (ready && local) addresses.add(address);
    }
    return addresses.size;
  });
  return { namespace, name, port, localEndpoints: isServed ? Math.max(...counts) : 0 };
}
