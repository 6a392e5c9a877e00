import { type Endpoint, type Family, formatEndpoint } from './address';
import type { Protocol } from './spec';

/** Under which a wildcard is listed. */
export const wildcardAddress: Readonly<Record<Family, string>> = { 4: '0.0.0.0', 6: '::' };

/** Identifies the table entry of a frontend. `address` is canonical. */
export function frontendKey(address: string, port: number, protocol: Protocol): string {
  return `${formatEndpoint(address, port)}/${protocol}`;
}

/** Of the frontends that a destination may be: the one of that address, and else a wildcard of its port. */
export function keysOfDestination({ address, port }: Endpoint, protocol: Protocol): [string, string] {
  const wildcard = wildcardAddress[address.includes(':') ? 6 : 4];
  return [frontendKey(address, port, protocol), frontendKey(wildcard, port, protocol)];
}
