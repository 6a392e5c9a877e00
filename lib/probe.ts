import { type Capability, capabilities, required } from './capabilities';
import { LoadBalancerError } from './errors';
import { deviceNeeds, featuresOf, type KernelFeature, socketNeeds } from './kernel-features';
import type { ProbeFacts } from './probe-facts';
import { formatTable } from './table-format';

/** Parts of the library that a kernel, a system or a process may lack the means for. */
export type FeatureName =
  /** `socketLB`. */
  | 'sockets'
  /** `devices`, by tcx links or by clsact filters. */
  | 'devices'
  /** tcx links instead of clsact filters: they go with the process. */
  | 'tcx'
  /** `stateDir`. */
  | 'stateDirectory'
  /** `protectNodePorts`. */
  | 'portReservation'
  /** `socketLB.except.netns`. */
  | 'namespaceExceptions'
  /** Source ranges, and affinity by the pod's address, on sockets. */
  | 'socketClients'
  /** Sockets on removed backends are destroyed by a program. */
  | 'socketDestruction'
  /** Ranges of backends are used again. */
  | 'gracePeriods';

/** Whether something can be had here. */
export type Availability =
  | { readonly available: true }
  | { readonly available: false; readonly reason: string; readonly help: string };

/** What `LoadBalancer.probe()` found. Plain data. */
export interface ProbeData {
  readonly kernel: {
    readonly release: string;
    /** Linux 6.1 or later. */
    readonly supported: boolean;
    readonly btf: boolean;
    readonly lockdown: 'none' | 'integrity' | 'confidentiality' | 'unknown';
    /** bpf(2) for processes without capabilities, which bpf-lb does not make use of. */
    readonly unprivilegedBpf: 'allowed' | 'disabled' | 'unknown';
    /** What the kernel lacks of all that was asked for; undefined where bpf(2) gave no answers. */
    readonly missing: readonly KernelFeature[] | undefined;
  };
  readonly privileges: {
    /** Those of a user namespace count for nothing. */
    readonly userNamespace: boolean;
    readonly capabilities: readonly {
      readonly name: Capability;
      readonly present: boolean;
      readonly for: string;
    }[];
  };
  /** Where sockets would be translated: `cgroup`, or the root of cgroup v2. */
  readonly cgroup: string | undefined;
  /** Mount points. */
  readonly bpffs: readonly string[];
  readonly features: Readonly<Record<FeatureName, Availability>>;
}

/** What is possible here: see `LoadBalancer.probe()`. */
export class Probe {
  readonly data: ProbeData;

  /** @internal */
  constructor(data: ProbeData) {
    this.data = data;
  }

  toJSON(): ProbeData {
    return this.data;
  }

  /** A table for people. */
  format(): string {
    const { kernel, privileges, cgroup, bpffs, features } = this.data;
    return formatTable([
      ['Kernel:', `${kernel.release}${kernel.supported ? '' : ' (older than 6.1)'}`],
      ['BTF:', kernel.btf ? 'Present' : 'Missing'],
      ['Lockdown:', kernel.lockdown],
      ['Unprivileged BPF:', kernel.unprivilegedBpf],
      ['cgroup v2:', cgroup ?? 'Missing'],
      ['bpffs:', bpffs.join(', ') || 'Not mounted'],
      ['Capabilities:', privileges.userNamespace ? '(of a user namespace)' : ''],
      ...privileges.capabilities.map(({ name, present, for: purpose }) => [
        `- ${name}:`,
        `${present ? 'Present' : 'Missing'} (${purpose})`,
      ]),
      ['Features:', ''],
      ...Object.entries(features).map(([name, feature]) => [
        `- ${name}:`,
        feature.available ? 'Available' : `Missing: ${feature.reason}. ${feature.help}.`,
      ]),
    ]);
  }
}

const gracePeriod = 'membarrier(MEMBARRIER_CMD_GLOBAL)' satisfies KernelFeature;

const available: Availability = { available: true };
const missing = (reason: string, help: string): Availability => ({ available: false, reason, help });

/** The first of several that is missing, or that all are there. */
function all(...parts: readonly Availability[]): Availability {
  return parts.find((part) => !part.available) ?? available;
}

function isSupported(release: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map(Number.parseFloat);
  return major > 6 || (major === 6 && minor >= 1);
}

function withCapabilities(facts: ProbeFacts, needed: readonly Capability[]): Availability {
  const { effective, inUserNamespace } = facts.privileges;
  if (inUserNamespace)
    return missing('the process is in a user namespace', 'Run it in the initial user namespace');
  const lacking = needed.filter((name) => !effective.has(name));
  if (lacking.length === 0) return available;
  return missing(`the process lacks ${lacking.join(' and ')}`, 'Run it with them, or as root');
}

function withKernel(facts: ProbeFacts, needed: readonly KernelFeature[], since = '6.1'): Availability {
  const { kernel, release, btf, lockdown } = facts;
  if (kernel.refused !== undefined) {
    return missing(
      `bpf(2) is refused (${kernel.refused})`,
      'A security module, seccomp or lockdown may be the reason',
    );
  }
  if (!btf) return missing('the kernel has no BTF', 'Use a kernel with CONFIG_DEBUG_INFO_BTF');
  const lacking = needed.filter((feature) => kernel.missing.has(feature));
  if (lacking.length === 0) return available;
  const confidential = lacking.includes('helper bpf_probe_read_kernel') && lockdownOf(lockdown) !== 'none';
  return missing(
    `Linux ${release} lacks ${lacking.join(', ')}`,
    confidential
      ? 'Lockdown in the mode confidentiality forbids it: use the mode integrity'
      : `Use Linux ${since} or later`,
  );
}

function withCgroup({ cgroup, privileges }: ProbeFacts): Availability {
  if (cgroup instanceof LoadBalancerError)
    return missing(cgroup.message.replace(/\.$/, ''), 'Mount cgroup v2');
  if (cgroup.writable || privileges.effective.has('CAP_DAC_OVERRIDE')) return available;
  return missing(
    `the process may not make cgroups in ${cgroup.path}`,
    'Delegate the cgroup to its user, or add CAP_DAC_OVERRIDE',
  );
}

function withStateDirectory(facts: ProbeFacts): Availability {
  const { stateDir, bpffs } = facts;
  if (stateDir === undefined) {
    return bpffs.length > 0 ? available : withCapabilities(facts, ['CAP_SYS_ADMIN']);
  }
  if (!stateDir.writable)
    return missing(`the process may not write to ${stateDir.path}`, 'Give it to the process’ user');
  return stateDir.onBpffs ? available : withCapabilities(facts, ['CAP_SYS_ADMIN']);
}

function lockdownOf(text: string | undefined): ProbeData['kernel']['lockdown'] {
  const mode = /\[(none|integrity|confidentiality)\]/.exec(text ?? '')?.[1];
  return (mode as 'none' | undefined) ?? 'unknown';
}

function unprivilegedOf(text: string | undefined): ProbeData['kernel']['unprivilegedBpf'] {
  if (text === undefined) return 'unknown';
  return text === '0' ? 'allowed' : 'disabled';
}

/** What follows from the facts. */
export function judge(facts: ProbeFacts): ProbeData {
  const { privileges, kernel, cgroup } = facts;
  const base = withCapabilities(facts, required);
  const devices = all(base, withKernel(facts, featuresOf(deviceNeeds)));
  return {
    kernel: {
      release: facts.release,
      supported: isSupported(facts.release),
      btf: facts.btf,
      lockdown: lockdownOf(facts.lockdown),
      unprivilegedBpf: unprivilegedOf(facts.unprivilegedBpf),
      missing: kernel.refused === undefined && base.available ? [...kernel.missing] : undefined,
    },
    privileges: {
      userNamespace: privileges.inUserNamespace,
      capabilities: capabilities.map(({ name, purpose }) => ({
        name,
        present: privileges.effective.has(name),
        for: purpose,
      })),
    },
    cgroup: cgroup instanceof LoadBalancerError ? undefined : cgroup.path,
    bpffs: facts.bpffs,
    features: {
      sockets: all(base, withCgroup(facts), withKernel(facts, featuresOf(socketNeeds))),
      devices,
      tcx: all(devices, withKernel(facts, ['tcx'], '6.6')),
      stateDirectory: all(base, withStateDirectory(facts)),
      portReservation: facts.reservedPorts
        ? available
        : missing(
            'net.ipv4.ip_local_reserved_ports cannot be written',
            'Add CAP_NET_ADMIN, mount /proc/sys writable, or choose a NodePort range below the ephemeral ports',
          ),
      namespaceExceptions: withCapabilities(facts, [...required, 'CAP_SYS_ADMIN']),
      socketClients: all(base, withKernel(facts, ['kfunc bpf_cast_to_kern_ctx'], '6.2')),
      socketDestruction: all(base, withKernel(facts, ['kfunc bpf_sock_destroy'], '6.5')),
      gracePeriods: kernel.missing.has(gracePeriod)
        ? missing(`the kernel lacks ${gracePeriod}`, 'Use a kernel with CONFIG_MEMBARRIER, without nohz_full')
        : available,
    },
  };
}
