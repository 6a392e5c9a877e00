import { cgroupId } from './cgroup';
import type { Hook } from './hooks';

/** Why a program is not where it was attached. */
export type HookLossCause =
  /** Somebody took it off: detached the link, deleted the filter, or removed the qdisc. */
  | 'detached'
  /** Somebody put another program into the link, or in the place of the filter. */
  | 'replaced'
  /** The cgroup's directory is not there any more. */
  | 'cgroup-removed'
  /** The cgroup's directory is another one than that which the program was attached to. */
  | 'cgroup-recreated';

/** One program on one hook, and what is wrong with it, if anything is. */
export interface HookState {
  /** By the name that `bpftool` shows. */
  readonly program: string;
  /** The cgroup's directory, or the name of the device. */
  readonly where: string;
  readonly cause: HookLossCause | undefined;
}

/** A program that is not where it was attached. */
export interface HookLoss extends HookState {
  readonly cause: HookLossCause;
}

/**
 * Hooks that were attached to the cgroup with the id `attachedTo`, which was at `directory`. A link seems to be in order
 * as long as sockets of a removed cgroup live on, so it is the directory that counts.
 */
export function cgroupHookStates(
  hooks: readonly Hook[],
  directory: string,
  attachedTo: bigint | undefined,
): HookState[] {
  const present = cgroupId(directory);
  const lost =
    present === undefined ? 'cgroup-removed' : present === attachedTo ? undefined : 'cgroup-recreated';
  return hooks.map(({ program, link }) => ({ program, where: directory, cause: lost ?? causeOf(link) }));
}

/** Hooks of a device. */
export function deviceHookStates(device: string, hooks: readonly Hook[]): HookState[] {
  return hooks.map(({ program, link }) => ({ program, where: device, cause: causeOf(link) }));
}

export function isLost(state: HookState): state is HookLoss {
  return state.cause !== undefined;
}

function causeOf(link: Hook['link']): HookLossCause | undefined {
  const state = link.state();
  return state === 'attached' ? undefined : state;
}
