import type { GrowingCapacity } from './options';
import { explainRefusal, type Privileges, readPrivileges } from './capabilities';

/**
 * What can go wrong, as a caller may want to tell it apart.
 *
 * - `ERR_BPF_INVALID_OPTION`, `ERR_BPF_INVALID_NAME`, `ERR_BPF_INVALID_ADDRESS`, `ERR_BPF_INVALID_PORT`,
 *   `ERR_BPF_INVALID_PROTOCOL`, `ERR_BPF_INVALID_FRONTEND`, `ERR_BPF_INVALID_BACKEND`: the input is malformed.
 * - `ERR_BPF_MIXED_FAMILIES`: no frontend of the service has the address family of the backend.
 * - `ERR_BPF_DUPLICATE_FRONTEND`: another service, or the same one, already has the frontend.
 * - `ERR_BPF_MAP_FULL`: a table has not enough room; the error tells what is needed and what there is.
 * - `ERR_BPF_NO_DEVICE`: a device that was named does not exist, or cannot carry the programs.
 * - `ERR_BPF_NO_CGROUP2`: no cgroup v2 hierarchy is mounted, or the given path is not in one.
 * - `ERR_BPF_HOOK_TAKEN`: a program of somebody else lets no other one be attached to the cgroup.
 * - `ERR_BPF_PERMISSION`: the process lacks a capability, which the message names, or a right to a directory.
 * - `ERR_BPF_UNSUPPORTED`: the kernel or the platform lacks a feature.
 * - `ERR_BPF_SYSCALL`: the kernel refused a call for another reason: see `errno` and `syscall`.
 * - `ERR_BPF_STATE`: what the state directory holds cannot be adopted by this version; the error says why.
 * - `ERR_BPF_STATE_LOCKED`: another LoadBalancer has the state directory.
 * - `ERR_BPF_SNAPSHOT`: what is to be restored is no snapshot, or one of a later version.
 * - `ERR_BPF_READ_ONLY`: a view of a state directory changes nothing.
 * - `ERR_BPF_APPLY`: some of the services could not be brought to what they are to be; the others were.
 * - `ERR_BPF_CLOSED`: the LoadBalancer is closed.
 */
export type ErrorCode =
  | 'ERR_BPF_INVALID_OPTION'
  | 'ERR_BPF_INVALID_NAME'
  | 'ERR_BPF_INVALID_ADDRESS'
  | 'ERR_BPF_INVALID_PORT'
  | 'ERR_BPF_INVALID_PROTOCOL'
  | 'ERR_BPF_INVALID_FRONTEND'
  | 'ERR_BPF_INVALID_BACKEND'
  | 'ERR_BPF_MIXED_FAMILIES'
  | 'ERR_BPF_DUPLICATE_FRONTEND'
  | 'ERR_BPF_MAP_FULL'
  | 'ERR_BPF_NO_DEVICE'
  | 'ERR_BPF_NO_CGROUP2'
  | 'ERR_BPF_HOOK_TAKEN'
  | 'ERR_BPF_PERMISSION'
  | 'ERR_BPF_UNSUPPORTED'
  | 'ERR_BPF_SYSCALL'
  | 'ERR_BPF_STATE'
  | 'ERR_BPF_STATE_LOCKED'
  | 'ERR_BPF_SNAPSHOT'
  | 'ERR_BPF_READ_ONLY'
  | 'ERR_BPF_APPLY'
  | 'ERR_BPF_CLOSED';

/** Every error that this library makes. The message says what was wrong and what would help. */
export class LoadBalancerError extends Error {
  /** Stable, for programs. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A system call failed. Nothing was changed by it. */
export class KernelError extends LoadBalancerError {
  /** Negative, as in Node's own system errors. */
  readonly errno: number;
  /** For example `bpf_link_create`. */
  readonly syscall: string;
  /** What the call was about: a map, a program, a path, a device. */
  readonly target: string | undefined;
  /** The verifier's last words, when it was the one to refuse. */
  readonly log: string | undefined;

  constructor(code: ErrorCode, message: string, cause: NativeFailure) {
    super(code, message, { cause });
    this.errno = cause.errno;
    this.syscall = cause.syscall;
    this.target = cause.target;
    this.log = cause.log;
  }
}

/** A table cannot hold what was asked for. Nothing was changed. */
export class MapFullError extends LoadBalancerError {
  /** The table, by the name that `bpftool map` shows. */
  readonly map: string;
  /** Entries that the change needs in all. */
  readonly need: number;
  /** Entries that the table can hold. */
  readonly have: number;
  /** The size that `capacity` and `maxCapacity` have for the table. */
  readonly option: keyof GrowingCapacity;

  constructor(map: string, need: number, have: number, option: keyof GrowingCapacity) {
    super(
      'ERR_BPF_MAP_FULL',
      `The table ${map} holds ${have} entries and ${need} are needed: open the LoadBalancer with a larger ` +
        `capacity.${option}, or let the table grow with maxCapacity.${option}.`,
    );
    this.map = map;
    this.need = need;
    this.have = have;
    this.option = option;
  }
}

/** What an `apply` has done: names of services. */
export interface Applied {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** Some services of an `apply` have failed. They are what they were; all others are what they are to be. */
export class ApplyError extends LoadBalancerError {
  /** Why, by the name of the service; by its place in the list (`desired[3]`), if it has none. */
  readonly failures: ReadonlyMap<string, Error>;
  readonly applied: Applied;

  constructor(failures: ReadonlyMap<string, Error>, applied: Applied) {
    const [first] = failures.values();
    const more = failures.size > 1 ? ` And ${failures.size - 1} more: see failures.` : '';
    super('ERR_BPF_APPLY', `apply: ${first?.message ?? ''}${more}`, { cause: first });
    this.failures = failures;
    this.applied = applied;
  }
}

/** An `apply` was aborted: what had been done is complete and stays. The signal's reason is the `cause`. */
export class ApplyAbortedError extends Error {
  override readonly name = 'AbortError';
  readonly code = 'ABORT_ERR';
  /** As in {@link ApplyError}, of the services that were dealt with. */
  readonly failures: ReadonlyMap<string, Error>;
  readonly applied: Applied;

  constructor(reason: unknown, failures: ReadonlyMap<string, Error>, applied: Applied) {
    super('apply was aborted: what is in applied was done.', { cause: reason });
    this.failures = failures;
    this.applied = applied;
  }
}

/** The state directory belongs to a LoadBalancer that is open. */
export class StateLockedError extends LoadBalancerError {
  readonly stateDir: string;
  /** Of the process that has it; undefined when that cannot be told from here. */
  readonly pid: number | undefined;

  constructor(stateDir: string, pid: number | undefined) {
    const owner =
      pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`;
    super(
      'ERR_BPF_STATE_LOCKED',
      `The state directory ${stateDir} belongs to a LoadBalancer of ${owner}: close that one, use another directory, or ` +
        `look into it with StateView.`,
    );
    this.stateDir = stateDir;
    this.pid = pid;
  }
}

/** The shape of the addon's errors: see types/native.d.ts. */
export interface NativeFailure extends Error {
  errno: number;
  code: string;
  syscall: string;
  target?: string;
  log?: string;
}

function isNativeFailure(error: unknown): error is NativeFailure {
  return error instanceof Error && 'errno' in error && 'syscall' in error;
}

/** Gives a failure of the addon its public type. `doing` completes the sentence "Cannot …". */
export function asPublicError(
  error: unknown,
  doing: string,
  may: () => Privileges = readPrivileges,
): unknown {
  if (!isNativeFailure(error)) return error;
  if (error.code === 'EPERM' || error.code === 'EACCES') {
    const privileges = may();
    /* The verifier says so, too: of a program that reaches where it must not, if not for want of CAP_PERFMON. */
    const byVerifier = error.log?.includes('PROG LOAD LOG') ?? false;
    if (!byVerifier || !privileges.effective.has('CAP_PERFMON')) {
      const help = explainRefusal(error.syscall, privileges);
      return new KernelError('ERR_BPF_PERMISSION', `Cannot ${doing}: ${error.message}. ${help}.`, error);
    }
  }
  return new KernelError('ERR_BPF_SYSCALL', `Cannot ${doing}: ${error.message}.`, error);
}

/** Awaits a call of the addon and types its failure. */
export async function attempt<T>(doing: string, call: () => Promise<T> | T): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw asPublicError(error, doing);
  }
}
