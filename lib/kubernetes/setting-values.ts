import { isIP, isIPv6 } from 'node:net';

import { type Cidr, parseCidr } from '../cidr';
import { selectDevices } from '../device-selection';
import { type OpenOptions, parseOptions } from '../options';
import { Place } from '../place';
import { refuse } from './settings';

const milliseconds: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration as Go writes it, `1m30s`, in milliseconds. */
export function duration(value: unknown): number {
  const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy;
  if (value === '0' || value === 0) return 0;
  let [sum, end] = [0, 0];
  if (typeof value === 'string') {
    for (const [text, number, unit = ''] of value.matchAll(part)) {
      sum += Number(number) * (milliseconds[unit] ?? 0);
      end += text.length;
    }
  }
  if (typeof value !== 'string' || end === 0 || end < value.length)
    refuse("not a duration such as '30s', '1m30s'");
  return sum;
}

/** A whole number of seconds, rounded up. */
export function seconds(value: unknown): number {
  return Math.ceil(duration(value) / 1000);
}

/** `address:port`, with brackets around IPv6, from what kube-proxy and Cilium take for it. */
export function bindAddress(text: string, defaultPort?: number): string {
  const alone = text.replace(/^\[(.*)\]$/, '$1');
  const [, host = '', port = ''] =
    isIP(alone) && defaultPort ? ['', alone, `${defaultPort}`] : (/^(.*):(\d+)$/.exec(text) ?? []);
  const address = host === '' ? '::' : host.replace(/^\[(.*)\]$/, '$1');
  const bracketed = host.startsWith('[') || host === alone;
  const usable = isIP(address) && (!isIPv6(address) || host === '' || bracketed);
  if (!usable || Number(port) < 1 || Number(port) > 65535)
    refuse("not an address and port such as '0.0.0.0:10256', '[::]:10256'");
  return isIPv6(address) ? `[${address}]:${Number(port)}` : `${address}:${Number(port)}`;
}

/** A range with its length. */
export function cidr(text: unknown): Cidr {
  if (typeof text !== 'string' || !text.includes('/'))
    refuse("not a CIDR range such as '10.0.0.0/8', 'fd00::/8'");
  return parseCidr(text, new Place('range'));
}

/** Lets what reads options say whether these can be used, so that limits are written down once. */
export function checked<T>(value: T, asOptions: (value: T) => OpenOptions): T {
  parseOptions(asOptions(value));
  return value;
}

/** Names, prefixes and exclusions of devices. */
export function devicePatterns(patterns: readonly string[]): readonly string[] {
  selectDevices(patterns, { links: [], addresses: [], routes: [] }, { wait: true });
  return patterns;
}
