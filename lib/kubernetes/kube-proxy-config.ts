import { isIP, isIPv6 } from 'node:net';

import { roleOf } from '../device-selection';
import { checked } from './setting-values';
import type { OpenOptions } from '../options';
import { ConfigurationError } from './configuration-error';
import { kubeProxySettings } from './kube-proxy-settings';
import { type LocalhostNodePorts, nodePortAddressesOf } from './node-port-addresses';
import { given, isGroup, refuse, SettingsReader, type Values } from './settings';

/** What a KubeProxyConfiguration means for bpf-lb. */
export interface KubeProxyConfiguration {
  open: OpenOptions;
  cluster: { nodeName?: string; serviceProxyName?: string };
  /** Milliseconds. */
  sync: { minSyncPeriod: number; syncPeriod: number };
  /** `address:port`. */
  healthzBindAddress: string;
  /** `address:port`. */
  metricsBindAddress: string;
  /** Fields without effect on how services are served: `oomScoreAdj`, `conntrack.min`. */
  ignored: string[];
}

type Settings = Values<typeof kubeProxySettings>;

/**
 * Understands a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) as it was parsed from YAML or JSON. What is
 * absent has kube-proxy's default, which for some fields depends on the mode. kube-proxy serves on every device: the
 * devices are `auto`, and pods' where `detectLocal` names them.
 *
 * @throws ConfigurationError (`ERR_BPF_INVALID_OPTION`) that lists every field that is unknown or malformed, or asks for
 *   what bpf-lb does not do.
 */
export function parseKubeProxyConfig(configuration: object): KubeProxyConfiguration {
  const source = 'KubeProxyConfiguration';
  if (!isGroup(configuration))
    throw new ConfigurationError(source, [{ key: 'kind', value: configuration, reason: 'not an object' }]);
  const reader = new SettingsReader();
  const settings = reader.read(kubeProxySettings, configuration, (key, value) =>
    reader.problem(key, value, 'unknown; correct it or leave it out'),
  );
  const result = assemble(settings, reader);
  if (reader.problems.length > 0) throw new ConfigurationError(source, reader.problems);
  return { ...result, ignored: ignoredKeys(settings) };
}

/** Of a mode, the group of settings that count; iptables is the default. */
function modeOf(settings: Settings) {
  const mode = settings.mode || 'iptables';
  const group = settings[mode] ?? {};
  /* IPVS takes these from iptables. */
  const { masqueradeAll } = settings[mode === 'ipvs' ? 'iptables' : mode] ?? {};
  return { mode, group, masqueradeAll };
}

function assemble(settings: Settings, reader: SettingsReader): Omit<KubeProxyConfiguration, 'ignored'> {
  const { mode, group, masqueradeAll } = modeOf(settings);
  const { ipvs = {} } = mode === 'ipvs' ? settings : {};
  const bind = bindAddressOf(settings, reader);
  const localhost = localhostNodePortsOf(mode, settings);
  const asked = settings.nodePortAddresses ?? [];
  const addresses = asked.length > 0 ? asked : [mode === 'nftables' ? 'primary' : 'all'];
  if (bind !== undefined && addresses.includes('primary')) {
    const reason = "not supported where nodePortAddresses is 'primary'; name the address there, as a range";
    reader.problem('bindAddress', bind, reason);
  }
  const minimum = group.minSyncPeriod || (mode === 'ipvs' ? 0 : 1000);
  const syncPeriod = group.syncPeriod || 30_000;
  if (minimum > syncPeriod)
    reader.problem(`${mode}.minSyncPeriod`, minimum, `longer than syncPeriod, which is ${syncPeriod} ms`);
  const open = given({
    devices: ['auto', ...podDevices(settings, reader)],
    nodePortAddresses: nodePortAddressesOf(addresses, localhost),
    masqueradeAll,
    algorithm: ipvs.scheduler,
    flowLifetimes: given({ ...conntrackTimes(settings), ...given(ipvsTimes(ipvs)) }),
  });
  const nodeName = settings.hostnameOverride?.toLowerCase();
  const [any, own] = isIPv6(bind ?? settings.bindAddress ?? '')
    ? ['[::]', '[::1]']
    : ['0.0.0.0', '127.0.0.1'];
  return {
    open: open ?? {},
    cluster: {
      ...(nodeName ? { nodeName } : {}),
      ...(settings.serviceProxyName ? { serviceProxyName: settings.serviceProxyName } : {}),
    },
    sync: { minSyncPeriod: minimum, syncPeriod },
    healthzBindAddress: settings.healthzBindAddress ?? `${any}:10256`,
    metricsBindAddress: settings.metricsBindAddress ?? `${own}:10249`,
  };
}

/** The address that takes the place of the node's; undefined: none does. */
function bindAddressOf({ bindAddress = '' }: Settings, reader: SettingsReader): string | undefined {
  if (['', '0.0.0.0', '::'].includes(bindAddress)) return undefined;
  if (isIP(bindAddress) === 0) reader.problem('bindAddress', bindAddress, 'not an IP address');
  return bindAddress;
}

function localhostNodePortsOf(
  mode: string,
  { iptables = {}, featureGates = {} }: Settings,
): LocalhostNodePorts {
  if (mode === 'iptables') return (iptables.localhostNodePorts ?? true) ? 'included' : 'never';
  return mode === 'nftables' && featureGates.KubeProxyNFTablesLocalhostNodePorts ? 'named' : 'never';
}

/** Pods are known by their devices, so of the ways to tell them two have an effect. */
function podDevices({ detectLocalMode, detectLocal = {} }: Settings, reader: SettingsReader): string[] {
  const field = detectLocalMode === 'BridgeInterface' ? 'bridgeInterface' : 'interfaceNamePrefix';
  if (detectLocalMode !== 'BridgeInterface' && detectLocalMode !== 'InterfaceNamePrefix') return [];
  const name = detectLocal[field] ?? '';
  const key = `detectLocal.${field}`;
  return (
    reader.attempt(key, name, () => {
      if (name === '') refuse(`${detectLocalMode} needs it`);
      checked(name, (directRoutingDevice) => ({ directRoutingDevice }));
      if (roleOf(name) !== 'pod')
        refuse("devices of pods begin with 'lxc', 'cali', 'veth', 'cni' or 'docker'");
      return [detectLocalMode === 'BridgeInterface' ? name : `${name}+`];
    }) ?? []
  );
}

function conntrackTimes({ conntrack = {} }: Settings) {
  const day = 86_400;
  return given({
    established: 'tcpEstablishedTimeout' in conntrack ? conntrack.tcpEstablishedTimeout : day,
    halfClosed: 'tcpCloseWaitTimeout' in conntrack ? conntrack.tcpCloseWaitTimeout : 3600,
    datagram: conntrack.udpStreamTimeout ?? conntrack.udpTimeout,
  });
}

function ipvsTimes({ tcpTimeout, tcpFinTimeout, udpTimeout }: NonNullable<Settings['ipvs']>) {
  return { established: tcpTimeout, closing: tcpFinTimeout, datagram: udpTimeout };
}

function ignoredKeys(settings: object, group = ''): string[] {
  return Object.entries(settings).flatMap(([name, value]) => {
    if (value === 'ignored') return [group + name];
    return isGroup(value) && name in kubeProxySettings ? ignoredKeys(value, `${name}.`) : [];
  });
}
