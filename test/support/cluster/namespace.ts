import { existsSync, readdirSync } from 'node:fs';

import type { Cleanup } from '../cleanup';
import { isStale, uniqueName } from './names';
import { run } from './shell';

/** A network namespace of our own, with the loopback device up and IPv6 addresses usable at once. */
export class Namespace {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** What is set for new namespaces is taken from `parent`. */
  static make(cleanup: Cleanup, label: string, parent?: Namespace): Namespace {
    const namespace = new Namespace(uniqueName(label));
    const add = ['ip', 'netns', 'add', namespace.name];
    run(parent ? parent.enter(...add) : add);
    cleanup.add(() => run(['ip', 'netns', 'del', namespace.name]));
    namespace.sysctl({ 'ipv6/conf/default/accept_dad': 0, 'ipv6/conf/all/disable_ipv6': 0 });
    namespace.ip('link set lo up');
    return namespace;
  }

  /** The command that runs `command` in here. `ip netns exec` would replace /sys, and with it cgroup2 and bpffs. */
  enter(...command: string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.name}`, ...command];
  }

  run(...command: string[]): string {
    return run(this.enter(...command));
  }

  /** Commands of ip(8), without `ip`. */
  ip(...commands: string[]): string {
    return run(['ip', '-n', this.name, '-batch', '-'], commands.join('\n') + '\n');
  }

  /** Names are paths below /proc/sys/net. */
  sysctl(values: Record<string, string | number>): void {
    const lines = Object.entries(values).map(([name, value]) => `echo ${value} > /proc/sys/net/${name}`);
    this.run('sh', '-ec', lines.join('\n'));
  }

  /** Makes it a router of both families, which says for each packet that it cannot deliver that it cannot. */
  forward(): void {
    this.sysctl({
      'ipv4/ip_forward': 1,
      'ipv6/conf/all/forwarding': 1,
      'ipv4/icmp_ratelimit': 0,
      'ipv6/icmp/ratelimit': 0,
    });
  }
}

/** One end of a veth pair. */
export interface VethEnd {
  namespace: Namespace;
  device: string;
  /** With prefix length. */
  addresses?: readonly string[];
}

/** Connects two namespaces; both ends are up. The pair goes with either namespace. */
export function connect(...ends: readonly [VethEnd, VethEnd]): void {
  const [a, b] = ends;
  a.namespace.ip(`link add ${a.device} type veth peer name ${b.device} netns ${b.namespace.name}`);
  for (const { namespace, device, addresses = [] } of ends) {
    namespace.ip(`link set ${device} up`, ...addresses.map((address) => `addr add ${address} dev ${device}`));
  }
}

/** Removes the namespaces of earlier runs that were killed. */
export function sweepNamespaces(): void {
  const directory = '/run/netns';
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory).filter(isStale)) run(['ip', 'netns', 'del', name]);
}
