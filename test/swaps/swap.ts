import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';

import type { LoadBalancer, ServiceSpec } from '../../lib';

/** Services on one set of backends after the other. */
export interface Swaps {
  /** Without backends. */
  readonly services: readonly Omit<ServiceSpec, 'backends'>[];
  readonly port: number;
  /** The weight of each place of a set, by the position of the service; 1 where it says nothing. */
  readonly weights: readonly (readonly number[])[];
  /** See choose.c. */
  readonly file: string;
  readonly milliseconds: number;
}

/** Generations have 16 bits of an address. */
const lastGeneration = 0xffff;

/** Sets have one to so many backends. */
const largestSet = 4;

/** Backends of a service in a generation: see choose.c. */
function setOf(service: number, generation: number, port: number, weights: readonly number[] = []) {
  return Array.from({ length: 1 + (generation % largestSet) }, (_, place) => ({
    address: `10.${generation >> 8}.${generation & 0xff}.${service * largestSet + place + 1}`,
    port,
    weight: weights[place] ?? 1,
  }));
}

/** The services with the sets of a generation. */
export function specsOf({ services, port, weights }: Swaps, generation: number): ServiceSpec[] {
  return services.map((service, i) => ({ ...service, backends: setOf(i, generation, port, weights[i]) }));
}

/** Says in the file what is served for certain, and what may be. */
export function tell(file: string, served: number, begun: number): void {
  writeFileSync(file, new BigUint64Array([served, begun].map(BigInt)));
}

/**
 * Gives all services the next set, in one commit, again and again, and says in the file how far it is. They have generation 1.
 * Resolves with the number of sets that were put.
 */
export async function swap(lb: LoadBalancer, swaps: Swaps): Promise<number> {
  const fd = openSync(swaps.file, 'r+');
  const write = (position: number, generation: number) =>
    writeSync(fd, new BigUint64Array([BigInt(generation)]), 0, 8, position);
  try {
    let generation = 1;
    const end = performance.now() + swaps.milliseconds;
    while (performance.now() < end && generation < lastGeneration) {
      generation++;
      write(8, generation);
      await Promise.all(specsOf(swaps, generation).map((spec) => lb.upsertService(spec)));
      write(0, generation);
    }
    return (generation - 1) * swaps.services.length;
  } finally {
    closeSync(fd);
  }
}
