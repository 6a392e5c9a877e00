import { parseOptions } from '../options';
import { bindAddress, cidr, duration, seconds } from './setting-values';
import { refuse, type Parser } from './settings';

/* Fields of KubeProxyConfiguration v1alpha1, and what of their values is possible here. */

const text: Parser<string> = (value) => (typeof value === 'string' ? value.trim() : refuse('not text'));

const flag: Parser<boolean> = (value) =>
  typeof value === 'boolean' ? value : refuse('use true or false, without quotes');

/** One of `possible`; what is not set is ''. `refused` are words that mean something to kube-proxy, with the reason. */
function word<W extends string>(
  possible: readonly W[],
  refused: Readonly<Record<string, string>> = {},
): Parser<W> {
  return (value) => {
    const found = possible.find((w) => w === value);
    if (found !== undefined) return found;
    const reason =
      typeof value === 'string' && Object.hasOwn(refused, value)
        ? `not supported: ${refused[value]}`
        : 'unknown';
    return refuse(
      `${reason}; use ${possible
        .filter(Boolean)
        .map((w) => `'${w}'`)
        .join(' or ')}`,
    );
  };
}

const exactly = (expected: string) => word([expected]);

/** Must not be set. */
const unset =
  (reason: string): Parser<undefined> =>
  (value) =>
    isUnset(value) ? undefined : refuse(`not supported: ${reason}; leave it out`);

/** Does not change how services are served. */
const ignored: Parser<'ignored' | undefined> = (value) => (isUnset(value) ? undefined : 'ignored');

/** Whether a value is Go's zero value, which kube-proxy takes for absent. */
function isUnset(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).every(isUnset);
  return value === null || value === '' || value === 0 || value === false || value === '0s';
}

const bit: Parser<'ignored'> = (value) =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 31
    ? 'ignored'
    : refuse('not an integer from 0 to 31');

const list: Parser<readonly string[]> = (value) =>
  Array.isArray(value) && value.every((element) => typeof element === 'string')
    ? value
    : refuse('not a list of text');

const nodePortWords = ['primary', 'localhost', 'all'];

const nodePortAddresses: Parser<readonly string[]> = (value) =>
  list(value).map((element) => (nodePortWords.includes(element) ? element : cidr(element).text));

/** Undefined for 0, by which the time that is set already stays. */
const lifetime: Parser<number | undefined> = (value) => {
  const time = seconds(value);
  if (time > 0) parseOptions({ flowLifetimes: { established: time } });
  return time > 0 ? time : undefined;
};

const listenAddress =
  (port: number): Parser<string | undefined> =>
  (value) =>
    text(value) === '' ? undefined : bindAddress(text(value), port);

const schedulers = {
  '': undefined,
  rr: undefined,
  wrr: undefined,
  lc: 'least-connections',
  wlc: 'least-connections',
} as const;

const scheduler: Parser<'least-connections' | undefined> = (value) =>
  schedulers[word(Object.keys(schedulers) as (keyof typeof schedulers)[])(value)];

const syncPeriods = { syncPeriod: duration, minSyncPeriod: duration };

export const kubeProxySettings = {
  apiVersion: exactly('kubeproxy.config.k8s.io/v1alpha1'),
  kind: exactly('KubeProxyConfiguration'),

  mode: word(['', 'iptables', 'nftables', 'ipvs'], {
    kernelspace: 'this is not Windows',
    userspace: 'kube-proxy has it no longer, either',
  }),
  hostnameOverride: text,
  serviceProxyName: text,
  bindAddress: text,
  healthzBindAddress: listenAddress(10256),
  metricsBindAddress: listenAddress(10249),
  nodePortAddresses,
  featureGates: (value: unknown) =>
    typeof value === 'object' && value !== null && Object.values(value).every((v) => typeof v === 'boolean')
      ? (value as Readonly<Record<string, boolean>>)
      : refuse('not a group of names with true or false'),
  iptables: {
    ...syncPeriods,
    masqueradeAll: flag,
    masqueradeBit: bit,
    localhostNodePorts: flag,
    snatNodeInternalIP: unset('packets get the address of the device that they leave through'),
  },
  nftables: { ...syncPeriods, masqueradeAll: flag, masqueradeBit: bit },
  ipvs: {
    ...syncPeriods,
    scheduler,
    tcpTimeout: lifetime,
    tcpFinTimeout: lifetime,
    udpTimeout: lifetime,
    excludeCIDRs: ignored,
    strictARP: ignored,
  },
  detectLocalMode: word(['', 'ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix']),
  detectLocal: { bridgeInterface: text, interfaceNamePrefix: text },
  clusterCIDR: (value: unknown) =>
    text(value)
      .split(',')
      .filter((range) => range !== '')
      .map((range) => cidr(range.trim()).text),
  conntrack: {
    tcpEstablishedTimeout: lifetime,
    tcpCloseWaitTimeout: lifetime,
    udpTimeout: lifetime,
    udpStreamTimeout: lifetime,
    maxPerCore: ignored,
    min: ignored,
    tcpBeLiberal: ignored,
  },

  bindAddressHardFail: ignored,
  clientConnection: ignored,
  configSyncPeriod: ignored,
  enableProfiling: ignored,
  logging: ignored,
  oomScoreAdj: ignored,
  portRange: ignored,
  showHiddenMetricsForVersion: ignored,
  windowsRunAsService: ignored,
  winkernel: ignored,
};
