import { isLoopback, parseAddress } from '../../../lib/address';
import { contains } from '../../../lib/cidr';
import { nodePortAddressesOf } from '../../../lib/kubernetes/node-port-addresses';
import {
  answersNodePorts,
  type NodePortAddresses,
  parseNodePortAddresses,
} from '../../../lib/node-addresses';
import { Place } from '../../../lib/place';
import { compared } from '../report';
import { type ControlPlaneCase, each } from './case';

interface Matched {
  readonly matchAll: boolean;
  readonly ips: readonly string[];
}

interface NodePortAddressesCase extends ControlPlaneCase {
  readonly cidrs: readonly string[];
  /** With prefix lengths. */
  readonly interfaceAddresses: readonly string[];
  readonly IPv4: Matched;
  readonly IPv6: Matched;
}

interface LoopbackCase extends ControlPlaneCase {
  readonly cidrs: readonly string[];
  readonly IPv4: boolean;
  readonly IPv6: boolean;
}

const place = new Place('conformance');
const families = { IPv4: 4, IPv6: 6 } as const;

/** As a kube-proxy that serves NodePorts on loopback addresses, too, has the list; an empty one is for all. */
function understand(cidrs: readonly string[]): NodePortAddresses {
  return parseNodePortAddresses(nodePortAddressesOf(cidrs.length > 0 ? cidrs : ['all'], 'included'), place);
}

/** Which addresses of a node answer NodePorts. */
export const nodePortAddresses = each(({ cidrs, interfaceAddresses, ...expected }: NodePortAddressesCase) => {
  const rule = understand(cidrs);
  const addresses = interfaceAddresses.map((address) => parseAddress(address.replace(/\/.*/, ''), place));
  const answers = (address: (typeof addresses)[number], isFirst: boolean) =>
    answersNodePorts(rule, address, isFirst) ||
    (rule.localhost.includes(address.family) && isLoopback(address.text));
  return (['IPv4', 'IPv6'] as const).map((name) => {
    const ofFamily = addresses.filter(({ family }) => family === families[name]);
    const got: Matched = {
      matchAll: rule.ranges.some((range) => range.family === families[name] && range.prefixLength === 0),
      ips: ofFamily.filter((address, i) => answers(address, i === 0)).map(({ text }) => text),
    };
    const { matchAll, ips } = expected[name];
    return {
      name,
      outcome: compared({ matchAll, ips: ips.toSorted() }, { ...got, ips: got.ips.toSorted() }),
    };
  });
});

/** Whether NodePorts are to be had on 127.0.0.1. Ranges of IPv6 have nothing to do with it. */
export const containsLoopback = each(({ cidrs, IPv4, IPv6 }: LoopbackCase) => {
  const { localhost, ranges } = understand(cidrs);
  const ofIPv6 = ranges.some((range) => range.family === 6 && contains(range, '127.0.0.1'));
  return [
    { name: 'IPv4', outcome: compared(IPv4, localhost.includes(4)) },
    { name: 'IPv6', outcome: compared(IPv6, ofIPv6) },
  ];
});
