import { randomInt } from 'node:crypto';
import { constants } from 'node:os';

import { type Family, families, formatAddress } from './address';
import { attempt } from './errors';
import { cgroupId } from './cgroup';
import { cgroupHookStates, type HookState, isLost } from './hook-loss';
import { allOrNone, type Hook, type Hooks, type OtherProgram } from './hooks';
import { socketPrograms } from './programs';
import { hiddenPrefix } from './internal-service';
import type { ServiceSpec } from './spec';
import type { Native } from '../types/native';

/** Whether sockets are translated, as a canary found it. */
export type Verification =
  /** A socket in the cgroup was given the backend and was told the frontend. */
  | 'verified'
  /** It was not: something else on the hook or in the cgroup prevents it. */
  | 'failed'
  /** The node has no loopback address of the family, so there is nothing to try it with. */
  | 'unavailable';

/* Addresses that no host may have: RFC 7600 (IPv4 dummy address), RFC 6666 (IPv6 discard prefix). */
const canaryAddress: Record<Family, string> = { 4: '192.0.0.8', 6: '100::1' };
const canaryBackend: Record<Family, string> = { 4: '127.0.0.1', 6: '::1' };
const { EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH } = constants.errno;

/** What a canary of one family found, and what it met when it failed. */
export interface Finding {
  readonly verification: Verification;
  /** For readers; undefined unless it failed. */
  readonly failure: string | undefined;
}

/**
 * Of the canary's service. Those of two LoadBalancers on one cgroup differ, or the canary of one would be translated by
 * the other.
 */
export function drawCanaryPort(): number {
  return randomInt(49_152, 65_536);
}

/** A service that no packet ever reaches: connecting a datagram socket to it sends nothing. */
export const canaryService = (canaryPort: number): ServiceSpec => ({
  name: `${hiddenPrefix}canary`,
  frontends: ([4, 6] as const).map((family) => ({
    type: 'ClusterIP',
    address: canaryAddress[family],
    port: canaryPort,
    protocol: 'UDP',
  })),
  backends: ([4, 6] as const).map((family) => ({ address: canaryBackend[family], port: canaryPort })),
});

const notTried: Finding = { verification: 'failed', failure: 'no canary was sent yet' };

/** The programs on the cgroup's hooks. */
export class SocketLayer {
  readonly cgroup: string;
  /** That of the canary's service, which must be in the tables. */
  readonly canaryPort: number;
  readonly #owner: Hooks;
  #hooks: readonly Hook[];
  /** Id of the cgroup that they are attached to. */
  #attachedTo: bigint | undefined;
  #findings: Readonly<Record<Family, Finding>> = { 4: notTried, 6: notTried };
  #others: readonly OtherProgram[] = [];

  private constructor(cgroup: string, canaryPort: number, owner: Hooks, hooks: readonly Hook[]) {
    this.cgroup = cgroup;
    this.canaryPort = canaryPort;
    this.#owner = owner;
    this.#hooks = hooks;
    this.#attachedTo = hooks[0]?.link.cgroup();
  }

  /** Attaches every program, or none. */
  static async attach(hooks: Hooks, cgroup: string, canaryPort: number): Promise<SocketLayer> {
    const attached = await allOrNone(
      Object.keys(socketPrograms),
      (program) => hooks.attachCgroup(program, cgroup),
      (hook) => hooks.takeBack(hook),
    );
    return new SocketLayer(cgroup, canaryPort, hooks, attached);
  }

  /** What the last canary found. */
  get verified(): Readonly<Record<Family, Verification>> {
    return { 4: this.#findings[4].verification, 6: this.#findings[6].verification };
  }

  /** What the last canary met, by family; undefined when it did not fail. */
  get failure(): string | undefined {
    return describeFailures(this.#findings);
  }

  /** Programs of others on the hooks that the last canary passed, if it failed. */
  get others(): readonly OtherProgram[] {
    return this.#others;
  }

  /** Every program, and whether it is on its hook. */
  look(): HookState[] {
    return cgroupHookStates(this.#hooks, this.cgroup, this.#attachedTo);
  }

  get hooks(): readonly Hook[] {
    return this.#hooks;
  }

  /** Every program is still on its hook. */
  get attached(): boolean {
    return !this.look().some(isLost);
  }

  /** Puts back what is not on its hook, also where the cgroup has been made anew, in the order of {@link attach}. */
  async repair(): Promise<void> {
    const lost = new Map(
      this.look()
        .filter(isLost)
        .map(({ program, cause }) => [program, cause]),
    );
    const restored: Hook[] = [];
    try {
      for (const hook of this.#hooks) {
        const cause = lost.get(hook.program);
        restored.push(cause ? await this.#owner.restoreCgroup(hook, this.cgroup, cause) : hook);
      }
    } finally {
      this.#hooks = [...restored, ...this.#hooks.slice(restored.length)];
    }
    this.#attachedTo = this.#hooks[0]?.link.cgroup();
  }

  /** Sends a canary of each family through the hooks.  */
  async verify(native: Native): Promise<void> {
    if (cgroupId(this.cgroup) === undefined) {
      const finding: Finding = { verification: 'failed', failure: 'the cgroup has gone' };
      this.#findings = { 4: finding, 6: finding };
      this.#others = [];
      return;
    }
    const findings = { 4: await tryOut(native, this, 4), 6: await tryOut(native, this, 6) };
    this.#findings = findings;
    this.#others = families.flatMap((family) =>
      findings[family].verification === 'failed' ? this.#owner.otherPrograms(this.cgroup, family) : [],
    );
  }

  detach(): void {
    for (const { link } of [...this.#hooks].reverse()) link.detach();
  }
}

/** What canaries met, by family; undefined when none has failed. */
export function describeFailures(findings: Readonly<Partial<Record<Family, Finding>>>): string | undefined {
  const failures = families.flatMap((family) => {
    const failure = findings[family]?.failure;
    return failure === undefined ? [] : [`IPv${family}: ${failure}`];
  });
  return failures.length > 0 ? failures.join('; ') : undefined;
}

/** Sends a canary from a cgroup, and from another network namespace if its path is given. */
export async function tryOut(
  native: Native,
  { cgroup, canaryPort }: Pick<SocketLayer, 'cgroup' | 'canaryPort'>,
  family: Family,
  netns?: string,
): Promise<Finding> {
  const address = canaryAddress[family];
  const { connectErrno, local, peer } = await attempt(`try a socket in ${cgroup}`, () =>
    native.canary(cgroup, address, canaryPort, netns),
  );
  /* Translated, the socket leaves from loopback; its peer name is translated back. */
  const translated = connectErrno === 0 && local === canaryBackend[family];
  if (translated && peer.includes(address)) return { verification: 'verified', failure: undefined };
  const noFamily = [EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH].includes(connectErrno);
  if (noFamily && !(await hasLoopback(native, family, netns)))
    return { verification: 'unavailable', failure: undefined };
  return { verification: 'failed', failure: explain(connectErrno, translated) };
}

function explain(connectErrno: number, translated: boolean): string {
  if (connectErrno !== 0) return `connect() failed with ${errnoName(connectErrno)}`;
  if (translated) return 'getpeername() did not tell the frontend';
  return 'connect() did not lead to the backend';
}

function errnoName(errno: number): string {
  const known = Object.entries(constants.errno).find(([, number]) => number === errno);
  return known ? known[0] : `errno ${errno}`;
}

async function hasLoopback(native: Native, family: Family, netns: string | undefined): Promise<boolean> {
  const { addresses } = await native.network(netns);
  return addresses.some(({ address }) => formatAddress(address).text === canaryBackend[family]);
}
