import { families } from './address';
import type { Cidr } from './cidr';
import { encodeRange } from './encode';
import type { NetworkHints } from './network-hints';
import type { MapOperation } from '../types/native';

/** Under this id are the ranges that cluster IPs are taken from; those of services have others. */
export const serviceRanges = 0;

/** Enters the ranges that cluster IPs are taken from. Once: they do not change while the LoadBalancer is open. */
export function serviceCIDROperations(cidrs: readonly Cidr[], hints: NetworkHints): MapOperation[] {
  const entries = families.flatMap((family): MapOperation[] => {
    const keys = cidrs.filter((c) => c.family === family).map((c) => encodeRange(serviceRanges, c));
    const values = new Uint8Array(keys.length).fill(1);
    return keys.length > 0
      ? [{ map: `ranges${family}`, kind: 'update', keys: Buffer.concat(keys), values }]
      : [];
  });
  return [...entries, ...hints.reserve(cidrs)];
}
