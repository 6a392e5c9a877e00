import type { Device } from './device';
import { deviceHookStates, type HookLoss, isLost } from './hook-loss';
import type { OtherProgram } from './hooks';
import type { Options } from './options';
import type { SettingState } from './settings';
import type { SocketLayer, Verification } from './socket-layer';
import type { Algorithm } from './spec';
import { formatTable } from './table-format';

/** What the datapath does, as far as it was verified. Plain data. */
export interface StatusData {
  /** New connections are served: on sockets, on devices, or both. False in shadow mode, and while it gives them back (`release()`). */
  readonly enabled: boolean;
  /** New connections are decided about and left to others: all that follows says what would be, after `activate()`. */
  readonly shadow: boolean;
  /**
   * The process that comes next can take over: all that it needs was pinned when last looked at. False without `stateDir`.
   */
  readonly persistent: boolean;
  readonly socketLB: {
    /** A canary socket was translated, and all programs are on their hooks. */
    readonly enabled: boolean;
    readonly tracing: false;
    /** `Hostns-only`: pods' sockets are left alone, their packets are translated where their devices are selected. */
    readonly coverage: 'Full' | 'Hostns-only';
    readonly cgroup: string | undefined;
    /** Programs that are not on their hooks. */
    readonly lost: readonly HookLoss[];
    /** What the canary met, if it failed. */
    readonly failure: string | undefined;
    /** Programs of others on the hooks that the canary passed, if it failed: maybe one of them is why. */
    readonly others: readonly OtherProgram[];
    /** Paths of exceptions that led to nothing when last looked at. */
    readonly exceptionsLost: readonly string[];
    readonly verified: { readonly ipv4: Verification | 'off'; readonly ipv6: Verification | 'off' };
  };
  readonly devices: readonly {
    readonly name: string;
    readonly addresses: readonly string[];
    /** Other nodes are reached through it. */
    readonly directRouting: boolean;
    /** Both programs are on the device. */
    readonly attached: boolean;
    /** Programs that are not on the device. */
    readonly lost: readonly HookLoss[];
  }[];
  readonly mode: 'SNAT';
  /** Of services that do not say. */
  readonly backendSelection: Algorithm;
  /** Slots of Maglev tables, where that is the same for all. */
  readonly maglevTableSize: number | undefined;
  readonly sessionAffinity: boolean;
  readonly gracefulTermination: boolean;
  readonly nat46x64: false;
  readonly xdpAcceleration: 'Disabled';
  readonly services: {
    readonly clusterIP: boolean;
    readonly nodePort: boolean;
    readonly nodePortRange: readonly [number, number];
    readonly loadBalancer: boolean;
    readonly externalIPs: boolean;
    readonly hostPort: boolean;
  };
}

/** The state of a LoadBalancer at one moment. */
export class Status {
  readonly data: StatusData;

  /** @internal */
  constructor(data: StatusData) {
    this.data = data;
  }

  toJSON(): StatusData {
    return this.data;
  }

  get #backendSelection(): string {
    const { backendSelection, maglevTableSize } = this.data;
    if (backendSelection !== 'maglev') return backendSelection === 'random' ? 'Random' : 'Least Connections';
    return maglevTableSize === undefined ? 'Maglev' : `Maglev (Table Size: ${maglevTableSize})`;
  }

  /** The "KubeProxyReplacement Details" block, as `cilium-dbg status --verbose` prints it. */
  format(): string {
    const { enabled, shadow, socketLB, devices, services } = this.data;
    const rows = [
      ['Status:', enabled ? 'True' : 'False'],
      ...(shadow ? [['Shadow Mode:', 'Enabled']] : []),
      ['Socket LB:', word(socketLB.enabled)],
      ['Socket LB Tracing:', word(socketLB.tracing)],
      ['Socket LB Coverage:', socketLB.coverage],
      ...(devices.length > 0 ? [['Devices:', devices.map(formatDevice).join(', ')]] : []),
      ['Mode:', this.data.mode],
      ['Backend Selection:', this.#backendSelection],
      ['Session Affinity:', word(this.data.sessionAffinity)],
      ['Graceful Termination:', word(this.data.gracefulTermination)],
      ['NAT46/64 Support:', word(this.data.nat46x64)],
      ['XDP Acceleration:', this.data.xdpAcceleration],
      ['Services:', ''],
      ['- ClusterIP:', word(services.clusterIP)],
      [
        '- NodePort:',
        services.nodePort ? `Enabled (Range: ${services.nodePortRange.join('-')})` : 'Disabled',
      ],
      ['- LoadBalancer:', word(services.loadBalancer)],
      ['- externalIPs:', word(services.externalIPs)],
      ['- HostPort:', word(services.hostPort)],
    ];
    const table = formatTable(rows);
    return ['KubeProxyReplacement Details:', ...table.split('\n').map((line) => `  ${line}`)].join('\n');
  }
}

function word(enabled: boolean): string {
  return enabled ? 'Enabled' : 'Disabled';
}

function formatDevice({ name, addresses, directRouting }: StatusData['devices'][number]): string {
  return [name, ...addresses, ...(directRouting ? ['(Direct Routing)'] : [])].join(' ');
}

/** What `status()` tells of the options. */
export type StatusOptions = Pick<Options, 'nodePortRange' | 'hostNamespaceOnly'> & {
  readonly policy: Pick<Options['policy'], 'algorithm' | 'maglevTableSize'>;
};

/** What was found when last looked at. */
type Watched = Pick<StatusData, 'persistent'> & Pick<StatusData['socketLB'], 'exceptionsLost'>;

/** Looks at hooks and devices now. */
export function readStatus(
  socketLayer: SocketLayer | undefined,
  devices: readonly Device[],
  { nodePortRange, hostNamespaceOnly, policy }: StatusOptions,
  { releasing, shadow }: Pick<SettingState, 'releasing' | 'shadow'> = { releasing: false, shadow: false },
  { persistent, exceptionsLost }: Watched = { persistent: false, exceptionsLost: [] },
): Status {
  const verified = {
    ipv4: socketLayer?.verified[4] ?? ('off' as const),
    ipv6: socketLayer?.verified[6] ?? ('off' as const),
  };
  const lost = socketLayer?.look().filter(isLost) ?? [];
  const sockets = verified.ipv4 === 'verified' && verified.ipv6 !== 'failed' && lost.length === 0;
  const shown = devices.map(({ name, addresses, directRouting, attached, hooks }) => ({
    name,
    addresses,
    directRouting,
    attached,
    lost: deviceHookStates(name, hooks).filter(isLost),
  }));
  const outside = shown.some((d) => d.attached);
  const pods = devices.some(({ role, attached }) => role === 'pod' && attached);
  const coverage = hostNamespaceOnly ? 'Hostns-only' : 'Full';
  return new Status({
    enabled: !releasing && !shadow && (sockets || outside),
    shadow,
    persistent,
    socketLB: {
      enabled: sockets,
      tracing: false,
      coverage,
      cgroup: socketLayer?.cgroup,
      lost,
      failure: socketLayer?.failure,
      others: socketLayer?.others ?? [],
      exceptionsLost,
      verified,
    },
    devices: shown,
    mode: 'SNAT',
    backendSelection: policy.algorithm,
    maglevTableSize: policy.maglevTableSize,
    sessionAffinity: true,
    gracefulTermination: true,
    nat46x64: false,
    xdpAcceleration: 'Disabled',
    services: {
      clusterIP: sockets || pods,
      nodePort: sockets || outside,
      nodePortRange,
      loadBalancer: sockets || outside,
      externalIPs: sockets || outside,
      hostPort: sockets || outside,
    },
  });
}
