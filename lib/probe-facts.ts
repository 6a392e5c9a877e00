import { constants } from 'node:fs';
import { access, open, readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import path from 'node:path';

import { type Privileges, readPrivileges } from './capabilities';
import { findCgroup, mountPoints } from './cgroup';
import { LoadBalancerError } from './errors';
import { askKernel, type KernelAnswers } from './kernel-features';
import type { Options } from './options';
import type { Native } from '../types/native';

/** What {@link LoadBalancer.probe} has seen. */
export interface ProbeFacts {
  /** uname(2), `6.1.0-18-amd64`. */
  readonly release: string;
  /** The kernel describes its types, which programs are adapted to. */
  readonly btf: boolean;
  /** The file's text, undefined where there is none. */
  readonly lockdown: string | undefined;
  readonly unprivilegedBpf: string | undefined;
  readonly privileges: Privileges;
  readonly kernel: KernelAnswers;
  readonly cgroup: Directory | LoadBalancerError;
  /** Undefined without `stateDir`. */
  readonly stateDir: (Directory & { readonly onBpffs: boolean }) | undefined;
  /** Where bpf file systems are mounted. */
  readonly bpffs: readonly string[];
  /** `net.ipv4.ip_local_reserved_ports` may be written. */
  readonly reservedPorts: boolean;
}

export interface Directory {
  readonly path: string;
  /** By this process, capabilities counted. */
  readonly writable: boolean;
}

const BPF_FS_MAGIC = 0xcafe4a11;

async function textOf(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}

/** access(2) does not look at capabilities of who is not root. */
async function isWritable(directory: string, { effective }: Privileges): Promise<boolean> {
  if (effective.has('CAP_DAC_OVERRIDE')) return true;
  return access(directory, constants.W_OK).then(
    () => true,
    () => false,
  );
}

/** Opening tells, and writes nothing. */
async function canOpenForWriting(file: string): Promise<boolean> {
  try {
    await (await open(file, 'r+')).close();
    return true;
  } catch {
    return false;
  }
}

/** The directory itself, or the one that it would be made in. */
async function existing(directory: string): Promise<string> {
  for (let at = directory; ; at = path.dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found || at === path.dirname(at)) return at;
  }
}

async function cgroupFacts(
  native: Native,
  cgroup: string | undefined,
  privileges: Privileges,
): Promise<ProbeFacts['cgroup']> {
  try {
    const found = await findCgroup(native, cgroup);
    return { path: found, writable: await isWritable(found, privileges) };
  } catch (error) {
    if (error instanceof LoadBalancerError) return error;
    throw error;
  }
}

/** Looks at everything; changes nothing. */
export async function readProbeFacts(
  native: Native,
  { cgroup, stateDir }: Pick<Options, 'cgroup' | 'stateDir'>,
): Promise<ProbeFacts> {
  const privileges = readPrivileges();
  const state = stateDir === undefined ? undefined : await existing(stateDir);
  return {
    release: release(),
    btf: await access('/sys/kernel/btf/vmlinux', constants.R_OK).then(
      () => true,
      () => false,
    ),
    lockdown: await textOf('/sys/kernel/security/lockdown'),
    unprivilegedBpf: await textOf('/proc/sys/kernel/unprivileged_bpf_disabled'),
    privileges,
    kernel: await askKernel(native),
    cgroup: await cgroupFacts(native, cgroup, privileges),
    stateDir:
      state === undefined
        ? undefined
        : {
            path: state,
            writable: await isWritable(state, privileges),
            onBpffs: native.filesystemType(state) === BPF_FS_MAGIC,
          },
    bpffs: mountPoints(await readFile('/proc/self/mountinfo', 'utf8'), 'bpf'),
    reservedPorts: await canOpenForWriting('/proc/sys/net/ipv4/ip_local_reserved_ports'),
  };
}
