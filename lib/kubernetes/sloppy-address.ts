import { type Address, isLoopback, parseAddress } from '../address';
import { type Cidr, parseCidr } from '../cidr';
import { Place } from '../place';

/*
 * Old clients of the API wrote numbers with leading zeros, which the control plane has always read as decimal. Whoever
 * read them as octal sent traffic elsewhere (CVE-2021-29923). What is made of them here is canonical.
 */
const leadingZeros = /(^|[:.])0+(?=[0-9a-fA-F])/g;

const place = new Place('');

function orUndefined<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

/** The canonical form of an address; undefined for what is none, or cannot be anybody's. */
export function parseSloppyAddress(text: string): Address | undefined {
  return orUndefined(() => parseAddress(text.replace(leadingZeros, '$1'), place));
}

/** As {@link parseSloppyAddress}, and not of this host alone. */
export function parseSharedAddress(text: string): Address | undefined {
  const address = parseSloppyAddress(text);
  return address && !isLoopback(address.text) ? address : undefined;
}

/** The canonical form of a CIDR range; undefined for what is none. */
export function parseSloppyRange(text: string): Cidr | undefined {
  const plain = text
    .trim()
    .replace(leadingZeros, '$1')
    .replace(/\/0+(?=\d)/, '/');
  return orUndefined(() => parseCidr(plain, place));
}
