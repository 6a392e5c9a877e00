import { inspect } from 'node:util';

import { type Address, type Family, families } from './address';
import { type Cidr, contains, parseCidr } from './cidr';
import { LoadBalancerError } from './errors';
import type { Place } from './place';

/** Which addresses of selected external devices answer NodePorts: `nodePortAddresses` as it is understood. */
export interface NodePortAddresses {
  /** The first address of each family of each device. */
  readonly primary: boolean;
  /** Any in these ranges. */
  readonly ranges: readonly Cidr[];
  /** Of which loopback addresses answer sockets of the host, too. */
  readonly localhost: readonly Family[];
}

const list = 'nodePortAddresses';
const loopback: Record<Family, string> = { 4: '127.0.0.1', 6: '::1' };
const everything: Record<Family, string> = { 4: '0.0.0.0/0', 6: '::/0' };

/**
 * Understands a list of `'primary'`, `'all'`, `'localhost'` and CIDR ranges; what any of them names answers. By default
 * `['primary']`. As kube-proxy does, a list of ranges of one family leaves the other family open. Loopback addresses
 * answer when they are asked for: by `'localhost'`, or by a range that has them and is not that of all addresses.
 *
 * @throws LoadBalancerError `ERR_BPF_INVALID_OPTION` when it is no list or an empty one, `ERR_BPF_INVALID_ADDRESS` for
 *   an element that is neither a word nor a range.
 */
export function parseNodePortAddresses(value: unknown, place: Place): NodePortAddresses {
  const words: unknown = value === undefined ? ['primary'] : value;
  if (!Array.isArray(words) || words.length === 0) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      `${list}: ${inspect(value)} is not a list of 'primary', 'all', 'localhost' and CIDR ranges.`,
    );
  }
  const isWord = (word: unknown) => word === 'primary' || word === 'all' || word === 'localhost';
  const given = words.flatMap((word, i) => (isWord(word) ? [] : parseCidr(word, place.at(list, i))));
  const open = families.filter(
    (family) =>
      words.includes('all') || (!words.some(isWord) && !given.some((range) => range.family === family)),
  );
  return {
    primary: words.includes('primary'),
    ranges: [...given, ...open.map((family) => parseCidr(everything[family], place))],
    localhost: families.filter(
      (family) =>
        words.includes('localhost') || given.some((range) => range.family === family && hasLoopback(range)),
    ),
  };
}

function hasLoopback(range: Cidr): boolean {
  return range.prefixLength > 0 && contains(range, loopback[range.family]);
}

/** Whether an address of a selected external device answers NodePorts. `isPrimary`: it is the first of its family. */
export function answersNodePorts(
  { primary, ranges }: NodePortAddresses,
  { text }: Address,
  isPrimary: boolean,
): boolean {
  return (primary && isPrimary) || ranges.some((range) => contains(range, text));
}
