import type { Capacity, FlowLifetimes, OpenOptions } from '../options';
import { bindAddress, checked, cidr, devicePatterns, seconds } from './setting-values';
import { refuse, type Parser } from './settings';

/* Keys of cilium-config that concern load balancing, and what of their values is possible here. */

/** Values of a ConfigMap are text. */
function text<T>(parse: (text: string) => T): Parser<T> {
  return (value) =>
    typeof value === 'string' ? parse(value.trim()) : refuse('not text, as values of a ConfigMap are');
}

function quoted(words: readonly string[]): string {
  return words
    .filter(Boolean)
    .map((word) => `'${word}'`)
    .join(' or ');
}

/** One of `possible`. `refused` are words that mean something to Cilium, with the reason. */
function word<W extends string>(
  possible: readonly W[],
  refused: Readonly<Record<string, string>> = {},
): Parser<W> {
  return text((value) => {
    const found = possible.find((w) => w === value);
    if (found !== undefined) return found;
    const reason = Object.hasOwn(refused, value) ? `not supported: ${refused[value]}` : 'unknown';
    return refuse(`${reason}; use ${quoted(possible)}`);
  });
}

const truths: Readonly<Record<string, boolean>> = {
  1: true,
  t: true,
  true: true,
  0: false,
  f: false,
  false: false,
};

/** As Go reads it. */
const flag = text((value) =>
  Object.hasOwn(truths, value.toLowerCase())
    ? truths[value.toLowerCase()] === true
    : refuse("use 'true' or 'false'"),
);

/** There is no choice. */
function always(fixed: boolean, reason: string): Parser<boolean> {
  return (value) => (flag(value) === fixed ? fixed : refuse(`not supported: ${reason}; use '${fixed}'`));
}

const integer = text((value) => (/^\d+$/.test(value) ? Number(value) : refuse('not a whole number')));

/** Helm separates by blanks, the agent's command line by commas. */
const list = text((value) => value.split(/[\s,]+/).filter((element) => element !== ''));

const optional = text((value) => (value === '' ? undefined : value));

/** Must be empty. */
function none(reason: string): Parser<undefined> {
  return text((value) => (value === '' ? undefined : refuse(`not supported: ${reason}; leave it out`)));
}

function option<T>(parse: Parser<T>, asOptions: (value: T) => OpenOptions): Parser<T> {
  return (value) => checked(parse(value), asOptions);
}

/** A number of entries, and what it means for a table of ours. */
function entries(name: keyof Capacity, convert = (n: number) => n): Parser<number> {
  return option(
    (value) => convert(integer(value)),
    (n) => ({ capacity: { [name]: n } }),
  );
}

/** The same, where 0 means that `bpf-lb-map-max` counts. */
function ownEntries(name: keyof Capacity, convert?: (n: number) => number): Parser<number | undefined> {
  return (value) => (integer(value) === 0 ? undefined : entries(name, convert)(value));
}

function lifetime(name: keyof FlowLifetimes): Parser<number> {
  return option(text(seconds), (value) => ({ flowLifetimes: { [name]: value } }));
}

const portRange = text((value): readonly [number, number] => {
  const [, min, max] = /^(\d+)\s*,\s*(\d+)$/.exec(value) ?? refuse("not a range such as '30000,32767'");
  return [Number(min), Number(max)];
});

/** 'auto' was the default once. */
const serviceRange = text((value) => (value === '' || value === 'auto' ? undefined : cidr(value).text));

/** Cilium counts the slots of backends in its table of services, too: one less frontend fits our hash better. */
export const frontendsOf = (services: number) => Math.max(services - 1, 1);
/** Cilium counts a backend once, we once for each service that has it. */
export const backendsOf = (backends: number) => Math.min(backends * 4, 2 ** 24);
/** Ours is a power of two. */
const socketsOf = (entries: number) => 2 ** Math.ceil(Math.log2(Math.max(entries, 1)));

const mapMax: Parser<number> = (value) => {
  for (const size of [entries('frontends', frontendsOf), entries('backends', backendsOf)]) size(value);
  return entries('affinities')(value);
};

const onlySnat = 'replies go back through the node that was asked (SNAT)';
const notSwitchedOff = 'it cannot be switched off';

export const ciliumSettings = {
  'kube-proxy-replacement': word(['true', 'false', 'strict', 'partial', 'disabled'], {
    probe: 'what is replaced would depend on the kernel',
  }),
  'kube-proxy-replacement-healthz-bind-address': text((value) =>
    value === '' ? undefined : bindAddress(value),
  ),
  'bpf-lb-sock': flag,
  'bpf-lb-sock-hostns-only': flag,
  'bpf-lb-only': flag,
  'enable-node-port': flag,
  'enable-host-port': flag,
  'enable-external-ips': flag,
  'enable-session-affinity': always(true, notSwitchedOff),
  'enable-svc-source-range-check': always(true, 'source ranges are always checked'),
  'enable-ipv4': flag,
  'enable-ipv6': flag,
  'enable-sctp': flag,
  'k8s-service-proxy-name': optional,

  devices: (value: unknown) => devicePatterns(list(value)),
  'force-device-detection': flag,
  'direct-routing-device': option(optional, (value) =>
    value === undefined ? {} : { directRoutingDevice: value },
  ),
  'nodeport-addresses': (value: unknown) => list(value).map((range) => cidr(range).text),
  'node-port-range': option(portRange, (nodePortRange) => ({ nodePortRange })),
  'enable-auto-protect-node-port-range': flag,
  'node-port-bind-protection': always(true, notSwitchedOff),
  'ipv4-service-range': serviceRange,
  'ipv6-service-range': serviceRange,

  'bpf-lb-mode': word(['snat'], { dsr: onlySnat, hybrid: onlySnat, annotation: onlySnat }),
  'bpf-lb-mode-annotation': always(false, onlySnat),
  'bpf-lb-dsr-dispatch': word(['opt', 'ipip', 'geneve']),
  'bpf-lb-rss-ipv4-src-cidr': none(onlySnat),
  'bpf-lb-rss-ipv6-src-cidr': none(onlySnat),
  'enable-ipip-termination': always(false, onlySnat),
  'bpf-lb-nat46x64': always(false, 'frontend and backend are of one address family'),
  'enable-nat46x64-gateway': always(false, 'frontend and backend are of one address family'),
  'bpf-lb-acceleration': word(['disabled', 'best-effort'], {
    native: 'packets are handled at tc, not at XDP',
    'testing-only': 'packets are handled at tc, not at XDP',
  }),
  'bpf-lb-algorithm': word(['random', 'maglev']),
  'bpf-lb-algorithm-annotation': flag,
  'bpf-lb-maglev-table-size': option(integer, (maglevTableSize) => ({ maglevTableSize })),
  'bpf-lb-maglev-hash-seed': none('all nodes make the same tables without a seed'),
  'bpf-lb-proto-diff': always(true, 'TCP, UDP and SCTP are always told apart'),

  'bpf-lb-external-clusterip': flag,
  'bpf-lb-source-range-all-types': always(false, 'source ranges are for LoadBalancer frontends'),
  'disable-external-ip-mitigation': flag,
  'service-no-backend-response': word(['reject', 'drop']),
  'enable-no-service-endpoints-routable': always(true, 'a service without backends is never passed by'),
  'enable-service-topology': always(true, 'topology hints are always followed'),
  'enable-k8s-terminating-endpoint': always(true, 'terminating endpoints are always drained'),
  'enable-local-redirect-policy': always(false, 'there is no local redirect policy'),
  'loadbalancer-l7': word(['', 'disabled'], { envoy: 'there is no proxy for layer 7' }),
  'lb-state-file': none('give ServiceSpecs to apply(); examples/standalone reads them from a file'),
  'enable-health-check-nodeport': flag,
  'enable-health-check-loadbalancer-ip': always(false, 'health checks answer on the node'),

  'bpf-lb-map-max': mapMax,
  'bpf-lb-service-map-max': ownEntries('frontends', frontendsOf),
  'bpf-lb-service-backend-map-max': ownEntries('backends', backendsOf),
  'bpf-lb-affinity-map-max': ownEntries('affinities'),
  'bpf-lb-source-range-map-max': ownEntries('sourceRanges'),
  'bpf-sock-rev-map-max': entries('sockets', socketsOf),
  'bpf-ct-global-tcp-max': entries('flows'),
  'bpf-ct-global-any-max': entries('flows'),
  'bpf-nat-global-max': entries('flows'),
  'bpf-fragments-map-max': entries('fragments'),
  'bpf-ct-timeout-regular-tcp-syn': lifetime('opening'),
  'bpf-ct-timeout-regular-tcp-fin': lifetime('closing'),
  'bpf-ct-timeout-service-tcp': lifetime('established'),
  'bpf-ct-timeout-service-any': lifetime('datagram'),
};

/** Names that settings had in earlier versions of Cilium. */
export const ciliumAliases: ReadonlyMap<string, keyof typeof ciliumSettings> = new Map([
  ['node-port-mode', 'bpf-lb-mode'],
  ['node-port-algorithm', 'bpf-lb-algorithm'],
  ['node-port-acceleration', 'bpf-lb-acceleration'],
  ['bpf-lb-node-port-bind-protection', 'node-port-bind-protection'],
  ['enable-host-reachable-services', 'bpf-lb-sock'],
]);

/** About load balancing, but only about how Cilium does it: whatever they say, services are served alike. */
const withoutEffect = new Set([
  'bpf-lb-rev-nat-map-max',
  'bpf-lb-maglev-map-max',
  'bpf-lb-bypass-fib-lookup',
  'bpf-ct-timeout-regular-tcp',
  'bpf-ct-timeout-regular-any',
  'bpf-ct-timeout-service-tcp-grace',
  'bpf-lb-sock-terminate-pod-connections',
  'lb-sock-terminate-all-protos',
  'lb-init-wait-timeout',
  'lb-pressure-metrics-interval',
  'lb-retry-backoff-min',
  'lb-retry-backoff-max',
  'lb-state-file-interval',
  'loadbalancer-l7-algorithm',
  'loadbalancer-l7-ports',
]);

const looksLikeOurs =
  /^(bpf-(lb|sock|ct|nat)|lb|loadbalancer|node-?port|kube-proxy-replacement)(-|$)|^enable-(.*-port|.*node-?port.*|.*session-affinity|.*external-ips?)$/;

/** Whether a key that is no setting of ours nonetheless asks for something about load balancing. */
export function concernsLoadBalancing(key: string): boolean {
  return looksLikeOurs.test(key) && !withoutEffect.has(key);
}
