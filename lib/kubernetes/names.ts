import type { Protocol } from '../spec';
import { protocols } from './fields';

/**
 * The name of the service of a port: `namespace/name:port`; `namespace/name` of a port without a name. Where `alike`
 * ports of other protocols have the same one, all but the first of TCP, UDP, SCTP add `/UDP` or `/SCTP`.
 */
export function serviceName(
  object: string,
  port: string,
  protocol: Protocol,
  alike: readonly { readonly protocol: Protocol }[],
): string {
  const name = port === '' ? object : `${object}:${port}`;
  const first = protocols.find((p) => alike.some((other) => other.protocol === p));
  return protocol === first ? name : `${name}/${protocol}`;
}
