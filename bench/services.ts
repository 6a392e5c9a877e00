import type { Capacity, Protocol, ServiceSpec } from 'bpf-lb';

/** Backends of a service in every measurement that does not say otherwise. */
export const backendsPerService = 10;

/** What backends listen on. */
export const backendPort = 8080;

/** What services listen on. */
export const servicePort = 80;

/** Where the addresses begin; they count upwards. */
export const first = { service: '10.96.0.1', backend: '10.128.0.1' } as const;

/** The address that is `offset` after `base`. */
export function addressAfter(base: string, offset: number): string {
  const bits = base.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0) + offset;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}

/** The ClusterIP of a service, by its number from 0. */
export function serviceAddress(index: number): string {
  return addressAfter(first.service, index);
}

/** A backend's address; no two services share one. */
export function backendAddress(service: number, backend: number): string {
  return addressAfter(first.backend, service * backendsPerService + backend);
}

/** One ClusterIP with ten backends, as Kubernetes users would name it. */
export function makeService(index: number, protocol: Protocol): ServiceSpec {
  return {
    name: `default/service-${index}:http`,
    frontends: [{ type: 'ClusterIP', address: serviceAddress(index), port: servicePort, protocol }],
    backends: Array.from({ length: backendsPerService }, (_, i) => ({
      address: backendAddress(index, i),
      port: backendPort,
    })),
  };
}

/** The first `count` services. */
export function makeServices(count: number, protocol: Protocol): ServiceSpec[] {
  return Array.from({ length: count }, (_, i) => makeService(i, protocol));
}

/** Table sizes for so many services: the defaults, or what they need where those are too small. */
export function capacityFor(services: number): Partial<Capacity> {
  const capacity: Partial<Capacity> = { flows: 1 };
  if (services > 65_535) capacity.frontends = 2 ** Math.ceil(Math.log2(services)) - 1;
  if (services * backendsPerService > 200_000) capacity.backends = services * backendsPerService * 1.25;
  return capacity;
}
