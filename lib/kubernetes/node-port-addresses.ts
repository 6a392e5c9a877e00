import { families } from '../address';
import { type Cidr, contains, parseCidr } from '../cidr';
import { Place } from '../place';

/**
 * When kube-proxy answers NodePorts on loopback addresses: where the addresses include them, only where they are named,
 * or never.
 */
export type LocalhostNodePorts = 'included' | 'named' | 'never';

const range = (text: string): Cidr => parseCidr(text, new Place('nodePortAddresses'));
const loopback = { 4: range('127.0.0.0/8'), 6: range('::1/128') };
const all = { 4: range('0.0.0.0/0'), 6: range('::/0') };
/** No device has it. */
const none = { 4: range('0.0.0.0/32'), 6: range('::/128') };

/**
 * The option `nodePortAddresses` that means what kube-proxy's list means: to the option, loopback addresses answer if
 * they are named, and only then. Where including them is enough, kube-proxy serves those of IPv4 alone.
 */
export function nodePortAddressesOf(list: readonly string[], localhost: LocalhostNodePorts): string[] {
  const words = list.filter((element) => !element.includes('/'));
  const ranges = list.filter((element) => element.includes('/')).map(range);
  const has = (of: readonly Cidr[], family: 4 | 6) => of.some((r) => r.family === family);
  /* A family of which nothing is said is open. */
  const open = words.length > 0 ? [] : families.filter((family) => !has(ranges, family)).map((f) => all[f]);
  const served = [...ranges.filter((r) => !isLoopback(r)), ...open];
  const isNamed = (family: 4 | 6) =>
    words.includes('localhost') || ranges.some((r) => r.family === family && isLoopback(r));
  const included = isNamed(4) || words.includes('all') || served.some((r) => contains(r, '127.0.0.1'));
  const answering = { included: included ? ([4] as const) : [], named: families.filter(isNamed), never: [] };
  const onLoopback = answering[localhost].map((family) => loopback[family]);
  const keptWords = words.filter((word) => word !== 'localhost');
  const kept = [...served, ...onLoopback];
  const closed =
    keptWords.length > 0 ? [] : families.filter((family) => !has(kept, family)).map((f) => none[f]);
  return [...keptWords, ...[...kept, ...closed].map(({ text }) => text)];
}

function isLoopback({ family, text, prefixLength }: Cidr): boolean {
  const own = loopback[family];
  return prefixLength >= own.prefixLength && contains(own, text.replace(/\/.*/, ''));
}
