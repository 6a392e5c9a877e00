import { run } from './command';

/** Addresses of a path of two pods with their node in between; every path has the same. */
export const addresses = {
  /** Both pods. */
  pods: '10.0.0.0/16',
  client: '10.0.1.2',
  clientGateway: '10.0.1.1',
  server: '10.0.2.2',
  serverGateway: '10.0.2.1',
  /** Every address of this prefix is the server's: enough for a million backends. */
  backends: '10.128.0.0/9',
} as const;

/** Two pods and their node: files of network namespaces. */
export interface PodPath {
  readonly client: string;
  readonly node: string;
  readonly server: string;
}

/**
 * Makes pod -- node -- pod, with a pair of veth devices each. The names live in a mount namespace of this process, so
 * that everything vanishes with it.
 */
export async function makePodPath(name: string): Promise<PodPath> {
  const [client, node, server] = [`${name}-client`, `${name}-node`, `${name}-server`];
  for (const namespace of [client, node, server]) {
    await run('ip', ['netns', 'add', namespace]);
    await setSysctls(namespace, [
      'net.ipv6.conf.all.disable_ipv6=1',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
      'net.ipv4.tcp_no_metrics_save=1',
      ...(namespace === node ? ['net.ipv4.ip_forward=1'] : []),
    ]);
    await ip(namespace, ['link set lo up']);
  }
  await ip(node, [
    `link add client type veth peer name eth0 netns ${client}`,
    `link add server type veth peer name eth0 netns ${server}`,
    `address add ${addresses.clientGateway}/24 dev client`,
    `address add ${addresses.serverGateway}/24 dev server`,
    'link set client up',
    'link set server up',
  ]);
  await ip(client, [
    `address add ${addresses.client}/24 dev eth0`,
    'link set eth0 up',
    `route add default via ${addresses.clientGateway}`,
  ]);
  await ip(server, [
    `address add ${addresses.server}/24 dev eth0`,
    'link set eth0 up',
    `route add default via ${addresses.serverGateway}`,
    `route add local ${addresses.backends} dev lo`,
  ]);
  await ip(node, [`route add ${addresses.backends} via ${addresses.server}`]);
  return { client: fileOf(client), node: fileOf(node), server: fileOf(server) };
}

/** Where a namespace is found. */
export function fileOf(namespace: string): string {
  return `/run/netns/${namespace}`;
}

/** Runs commands of ip(8) in a namespace. */
export async function ip(namespace: string, commands: readonly string[]): Promise<void> {
  await run('ip', ['-netns', namespace, '-batch', '-'], { input: commands.join('\n') });
}

/** Sets `name=value` in a namespace. */
export async function setSysctls(namespace: string, settings: readonly string[]): Promise<void> {
  /* Not `ip netns exec`, which mounts another /sys and hides the control groups. */
  await run('nsenter', [`--net=${fileOf(namespace)}`, 'sysctl', '-qw', ...settings]);
}
