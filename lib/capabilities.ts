import { readFileSync } from 'node:fs';

/** What the library may need, and its bit: see capabilities(7). */
const bits = {
  CAP_DAC_OVERRIDE: 1,
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

/** A capability that the library may need: see capabilities(7). */
export type Capability = keyof typeof bits;

/** What each is for. */
export const capabilities: readonly { readonly name: Capability; readonly purpose: string }[] = [
  { name: 'CAP_BPF', purpose: 'maps and programs' },
  { name: 'CAP_PERFMON', purpose: 'pointer arithmetic of programs' },
  { name: 'CAP_NET_ADMIN', purpose: 'programs of cgroups and devices, NodePorts kept free' },
  { name: 'CAP_DAC_OVERRIDE', purpose: 'cgroups and state directories of other users' },
  { name: 'CAP_SYS_ADMIN', purpose: 'mounting bpffs, network namespaces that are left alone' },
];

/** Without these nothing is loaded or attached. */
export const required = ['CAP_BPF', 'CAP_PERFMON', 'CAP_NET_ADMIN'] as const satisfies readonly Capability[];

/** What a thread may do. */
export interface Privileges {
  /** Those of {@link Capability} that are in effect, with what the kernel takes CAP_SYS_ADMIN for. */
  readonly effective: ReadonlySet<Capability>;
  /** In a user namespace of its own: capabilities of there are none to bpf(2). */
  readonly inUserNamespace: boolean;
}

/** Reads `CapEff` of proc_pid_status(5), and proc_pid_uid_map(5). */
export function parsePrivileges(status: string, uidMap: string): Privileges {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const has = (capability: Capability) => ((mask >> BigInt(bits[capability])) & 1n) === 1n;
  const effective = new Set((Object.keys(bits) as Capability[]).filter(has));
  /* CAP_BPF and CAP_PERFMON were parts of it before Linux 5.8, and it still implies them. */
  if (has('CAP_SYS_ADMIN')) effective.add('CAP_BPF').add('CAP_PERFMON');
  const inUserNamespace = uidMap.trim().split(/\s+/).join(' ') !== '0 0 4294967295';
  return { effective, inUserNamespace };
}

/** Of the calling thread, now. */
export function readPrivileges(): Privileges {
  return parsePrivileges(
    readFileSync('/proc/thread-self/status', 'utf8'),
    readFileSync('/proc/thread-self/uid_map', 'utf8'),
  );
}

/** System calls that take CAP_SYS_ADMIN, whatever else the process may. */
const administrative = new Set(['mount', 'setns']);

/** What would help a process with these privileges against EPERM or EACCES of a system call, as a sentence. */
export function explainRefusal(syscall: string, { effective, inUserNamespace }: Privileges): string {
  if (inUserNamespace) {
    return 'This process is in a user namespace, whose capabilities do not count: run it in the initial one';
  }
  const needed: readonly Capability[] = administrative.has(syscall)
    ? [...required, 'CAP_SYS_ADMIN']
    : required;
  const missing = needed.filter((capability) => !effective.has(capability));
  if (missing.length > 0) return `The process lacks ${missing.join(' and ')}: run it with them, or as root`;
  if (!effective.has('CAP_DAC_OVERRIDE')) {
    return 'Give the process the directory (see "Privileges" in docs/operations.md), or CAP_DAC_OVERRIDE';
  }
  return 'The process has the capabilities: a security module, or lockdown, refuses';
}
