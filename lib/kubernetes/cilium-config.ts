import type { OpenOptions } from '../options';
import { checkDeviceOrder } from './cilium-devices';
import {
  backendsOf,
  ciliumAliases,
  ciliumSettings,
  concernsLoadBalancing,
  frontendsOf,
} from './cilium-settings';
import { ConfigurationError } from './configuration-error';
import { given, isGroup, SettingsReader, type Values } from './settings';

/** What a `cilium-config` ConfigMap means for bpf-lb. */
export interface CiliumConfiguration {
  open: OpenOptions;
  cluster: { serviceProxyName?: string };
  /** `address:port` for `/healthz`; absent: none is asked for. */
  healthzBindAddress?: string;
  /** Whether `healthCheckNodePort`s are to be answered. */
  healthCheckNodePorts: boolean;
  /** Keys without effect: they are not about load balancing, or only about how Cilium does it. */
  ignored: string[];
}

type Settings = Values<typeof ciliumSettings>;

/**
 * Understands the settings of Cilium's agent, as the ConfigMap `cilium-config` has them, or its `data` alone. What is
 * absent means what it means to Cilium, but that replacing kube-proxy need not be asked for. `devices` names devices as
 * Cilium does, so pods' devices are `lxc+`; they are selected where pods' sockets are not enough.
 *
 * @throws ConfigurationError (`ERR_BPF_INVALID_OPTION`) that lists every setting that is malformed, unknown though it
 *   seems to be about load balancing, or asks for what bpf-lb does not do.
 */
export function parseCiliumConfig(
  configMap: { readonly data?: Readonly<Record<string, string>> } | Readonly<Record<string, string>>,
): CiliumConfiguration {
  const reader = new SettingsReader();
  const ignored: string[] = [];
  const data = dataOf(configMap);
  const current = Object.entries(data).flatMap(([key, value]): [string, unknown][] => {
    const name = ciliumAliases.get(key);
    if (name === undefined) return [[key, value]];
    if (name in data) ignored.push(key);
    else if (reader.attempt(key, value, () => [ciliumSettings[name](value)])) return [[name, value]];
    return [];
  });
  const settings = reader.read(ciliumSettings, Object.fromEntries(current), (key, value) => {
    if (concernsLoadBalancing(key)) reader.problem(key, value, 'unknown; correct it or leave it out');
    else ignored.push(key);
  });
  const configuration = assemble(settings, reader);
  if (reader.problems.length > 0) throw new ConfigurationError('cilium-config', reader.problems);
  return { ...configuration, ignored };
}

function dataOf(configMap: unknown): Record<string, unknown> {
  if (!isGroup(configMap))
    throw new ConfigurationError('cilium-config', [
      { key: 'data', value: configMap, reason: 'not a ConfigMap, nor the data of one' },
    ]);
  const isConfigMap = isGroup(configMap.data) || 'metadata' in configMap || 'kind' in configMap;
  return isConfigMap ? ((configMap.data as Record<string, unknown> | undefined) ?? {}) : configMap;
}

/** What is served: by sockets, and to what arrives on devices. */
function scope(settings: Settings, reader: SettingsReader) {
  const replacement = settings['kube-proxy-replacement'] ?? 'true';
  const full = replacement === 'true' || replacement === 'strict';
  const sockets = full || settings['bpf-lb-sock'] === true;
  const outside = full || settings['enable-node-port'] === true;
  if (!sockets && !outside) {
    const reason =
      "leaves services to kube-proxy, so there is nothing to serve; use 'true', or bpf-lb-sock: 'true'";
    reader.problem('kube-proxy-replacement', replacement, reason);
  }
  for (const key of ['enable-node-port', 'enable-host-port', 'enable-external-ips'] as const) {
    if (settings[key] === false && outside)
      reader.problem(key, 'false', "not supported: it cannot be switched off alone; use 'true'");
  }
  return { sockets, outside };
}

function devicesOf(settings: Settings, outside: boolean, reader: SettingsReader): string[] {
  const named = settings.devices ?? [];
  reader.attempt('devices', named.join(' '), () => checkDeviceOrder(named));
  const detect = settings['force-device-detection'] === true || named.every((name) => name.startsWith('!'));
  /* Sockets of pods are left alone, or do not carry all protocols: then packets are translated. */
  const pods = settings['bpf-lb-sock-hostns-only'] === true || settings['enable-sctp'] === true;
  return [...(outside ? [...(detect ? ['auto'] : []), ...named] : []), ...(pods ? ['lxc+'] : [])];
}

function assemble(settings: Settings, reader: SettingsReader): Omit<CiliumConfiguration, 'ignored'> {
  const { sockets, outside } = scope(settings, reader);
  if (settings['enable-ipv4'] === false && settings['enable-ipv6'] === false)
    reader.problem('enable-ipv6', 'false', 'no address family is left');
  const hostNamespaceOnly = settings['bpf-lb-sock-hostns-only'] === true;
  const serviceCIDRs = [settings['ipv4-service-range'], settings['ipv6-service-range']].flatMap(
    (range) => range ?? [],
  );
  const addresses = settings['nodeport-addresses'] ?? [];
  const open = given({
    devices: devicesOf(settings, outside, reader),
    socketLB: sockets && hostNamespaceOnly ? { hostNamespaceOnly } : sockets,
    directRoutingDevice: settings['direct-routing-device'],
    /* Cilium always serves the host's sockets on loopback; and a list of one family closes the other one. */
    nodePortAddresses: [...(addresses.length > 0 ? addresses : ['primary']), 'localhost'],
    nodePortRange: settings['node-port-range'],
    protectNodePorts: settings['enable-auto-protect-node-port-range'],
    serviceCIDRs: serviceCIDRs.length > 0 ? serviceCIDRs : undefined,
    algorithm: settings['bpf-lb-algorithm'],
    maglevTableSize: settings['bpf-lb-maglev-table-size'],
    externalClusterIP: settings['bpf-lb-external-clusterip'],
    externalIPRanges: settings['disable-external-ip-mitigation'] === true ? ['0.0.0.0/0', '::/0'] : undefined,
    noBackend: settings['service-no-backend-response'],
    flowLifetimes: given({
      opening: settings['bpf-ct-timeout-regular-tcp-syn'],
      established: settings['bpf-ct-timeout-service-tcp'],
      closing: settings['bpf-ct-timeout-regular-tcp-fin'],
      datagram: settings['bpf-ct-timeout-service-any'],
    }),
    capacity: capacityOf(settings),
  });
  const healthzBindAddress = settings['kube-proxy-replacement-healthz-bind-address'];
  const serviceProxyName = settings['k8s-service-proxy-name'];
  return {
    open: open ?? {},
    cluster: serviceProxyName === undefined ? {} : { serviceProxyName },
    ...(healthzBindAddress === undefined ? {} : { healthzBindAddress }),
    healthCheckNodePorts: settings['enable-health-check-nodeport'] ?? true,
  };
}

function capacityOf(settings: Settings) {
  const all = settings['bpf-lb-map-max'];
  const [tcp, any] = [settings['bpf-ct-global-tcp-max'], settings['bpf-ct-global-any-max']];
  /* Cilium's connection and its NAT mapping are one flow of ours, so the larger of the tables counts. */
  const tracked = tcp === undefined && any === undefined ? 0 : (tcp ?? 524_288) + (any ?? 262_144);
  const flows = Math.min(Math.max(tracked, settings['bpf-nat-global-max'] ?? 0), 2 ** 24);
  return given({
    frontends: settings['bpf-lb-service-map-max'] ?? (all && frontendsOf(all)),
    backends: settings['bpf-lb-service-backend-map-max'] ?? (all && backendsOf(all)),
    affinities: settings['bpf-lb-affinity-map-max'] ?? all,
    sourceRanges: settings['bpf-lb-source-range-map-max'] ?? all,
    sockets: settings['bpf-sock-rev-map-max'],
    flows: flows > 0 ? flows : undefined,
    fragments: settings['bpf-fragments-map-max'],
  });
}
