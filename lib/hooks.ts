import path from 'node:path';

import { families, type Family } from './address';
import { cgroupId } from './cgroup';
import { asPublicError, attempt, LoadBalancerError } from './errors';
import type { HookLossCause } from './hook-loss';
import type { LiveDatapath } from './live-datapath';
import { socketPrograms } from './programs';
import type { StateDirectory } from './state-directory';
import { filterPinName, type Generation, pinName } from './state-generation';
import type { Link, Native } from '../types/native';

/** How a program hangs on its hook. */
export type Attachment = 'cgroup' | 'tcx' | 'clsact';

/** One program on one hook. */
export interface Hook {
  readonly program: string;
  readonly attachment: Attachment;
  readonly link: Link;
  /** Under which it is pinned where there is a state directory. */
  readonly pin: string;
}

/** A program of somebody else, another LoadBalancer's included. */
export interface OtherProgram {
  /** Of the cgroup: `connect4`. */
  readonly hook: string;
  readonly id: number;
  /** '' where this process may not ask for it. */
  readonly name: string;
}

/** Attaches to each of `targets`, in order; when one fails, what was attached before is taken off again. */
export async function allOrNone<Target, Attached>(
  targets: Iterable<Target>,
  attach: (target: Target) => Promise<Attached>,
  detach: (attached: Attached) => void,
): Promise<Attached[]> {
  const attached: Attached[] = [];
  try {
    for (const target of targets) attached.push(await attach(target));
  } catch (error) {
    for (const each of attached.reverse()) detach(each);
    throw error;
  }
  return attached;
}

/**
 * Attaches programs, and pins their links where there is a state directory. What an earlier process left on a hook gets
 * the program of this one, without a gap.
 */
export class Hooks {
  readonly #native: Native;
  readonly #datapath: LiveDatapath;
  readonly #state: StateDirectory | undefined;
  #earlier: Generation | undefined;
  readonly #adopted = new Set<Link>();
  #tcx = true;

  constructor(native: Native, datapath: LiveDatapath, state: StateDirectory | undefined) {
    this.#native = native;
    this.#datapath = datapath;
    this.#state = state;
    this.#earlier = state?.earlier;
  }

  /** Nothing is left to adopt. */
  settle(): void {
    this.#earlier = undefined;
    this.#adopted.clear();
  }

  /** Takes a program off its hook again, unless an earlier process put it there and this one may still fail to open. */
  takeBack({ link }: Hook): void {
    if (!this.#adopted.has(link)) link.detach();
  }

  async attachCgroup(program: string, cgroup: string): Promise<Hook> {
    const pin = pinName(program);
    const link = await attempt(`attach ${program} to ${cgroup}`, async () => {
      const adopted = await this.#adoptLink(program, pin, { cgroup: cgroupId(cgroup) });
      if (adopted) return adopted;
      try {
        return await this.#datapath.attachCgroup(program, cgroup);
      } catch (error) {
        throw this.#hookTaken(program, cgroup) ?? error;
      }
    });
    return this.#pinned({ program, attachment: 'cgroup', link, pin });
  }

  /** Puts a program back: into its own link where another one is in there, else by a new link. */
  async restoreCgroup(hook: Hook, cgroup: string, cause: HookLossCause): Promise<Hook> {
    const { program, link } = hook;
    if (cause !== 'replaced') {
      link.detach();
      return this.attachCgroup(program, cgroup);
    }
    await attempt(`put ${program} back into its link`, () => link.update(this.#datapath.current, program));
    return hook;
  }

  /** Programs of others that connected sockets of a cgroup meet, in the order in which they run. */
  otherPrograms(cgroup: string, family: Family): OtherProgram[] {
    return hooksOfConnected(family).flatMap((program) => {
      const own = this.#datapath.programInfo(program).id;
      const { programs: all } = this.#datapath.cgroupPrograms(program, cgroup, true);
      return all.filter(({ id }) => id !== own).map((other) => ({ hook: socketPrograms[program], ...other }));
    });
  }

  /** Says the same for cgroups in which the same programs run on the hooks that connected sockets meet. */
  effectivePrograms(cgroup: string): string {
    return families
      .flatMap(hooksOfConnected)
      .map((program) => this.#datapath.cgroupPrograms(program, cgroup, true).programs.map(({ id }) => id))
      .join(';');
  }

  /** By a tcx link, or by a clsact filter where the kernel has none (before Linux 6.6). */
  async attachDevice(
    program: string,
    device: { name: string; ifindex: number },
    direction: 'ingress' | 'egress',
  ): Promise<Hook> {
    const { link, attachment } =
      (await this.#adoptTc(program, device, direction)) ?? (await this.#attachTc(program, device, direction));
    const { filter } = link;
    const pin = filter
      ? filterPinName(program, device.ifindex, direction, filter)
      : pinName(program, device.ifindex);
    return this.#pinned({ program, attachment, link, pin });
  }

  async #adoptTc(
    program: string,
    { name, ifindex }: { name: string; ifindex: number },
    direction: 'ingress' | 'egress',
  ): Promise<{ link: Link; attachment: Attachment } | undefined> {
    return attempt(`take over ${program} on ${name}`, async () => {
      const link = await this.#adoptLink(program, pinName(program, ifindex), { ifindex });
      if (link) return { link, attachment: 'tcx' };
      const filter = await this.#earlier?.filterOf(program, ifindex, direction);
      if (!filter) return undefined;
      try {
        const { path, place } = filter;
        const adopted = await this.#datapath.adoptFilter(program, path, ifindex, direction, place);
        this.#adopted.add(adopted);
        return { link: adopted, attachment: 'clsact' };
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  /** Undefined when there is none, or it hangs on something else, or on nothing. */
  async #adoptLink(
    program: string,
    pin: string,
    place: { cgroup: bigint | undefined } | { ifindex: number },
  ): Promise<Link | undefined> {
    const path = this.#earlier?.pathOf(pin);
    const pinned = path === undefined ? undefined : orMissing(() => this.#native.pinnedLink(path));
    if (path === undefined || !pinned) return undefined;
    if ('cgroup' in place ? place.cgroup !== pinned.cgroup : place.ifindex !== pinned.ifindex)
      return undefined;
    const link = await this.#datapath.adoptLink(program, path);
    this.#adopted.add(link);
    return link;
  }

  async #attachTc(
    program: string,
    { name, ifindex }: { name: string; ifindex: number },
    direction: 'ingress' | 'egress',
  ): Promise<{ link: Link; attachment: Attachment }> {
    if (this.#tcx) {
      try {
        return { link: await this.#datapath.attachTcx(program, ifindex), attachment: 'tcx' };
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === 'ENODEV') {
          throw new LoadBalancerError('ERR_BPF_NO_DEVICE', `Device ${name} has gone.`, { cause: error });
        }
        if (code !== 'EINVAL' && code !== 'EOPNOTSUPP' && code !== 'ENOTSUPP') {
          return attempt(`attach ${program} to ${name}`, () => Promise.reject(error as Error));
        }
        this.#tcx = false;
      }
    }
    const link = await attempt(`attach ${program} to ${name}`, () =>
      this.#datapath.attachClsact(program, ifindex, direction),
    );
    return { link, attachment: 'clsact' };
  }

  /** Somebody has attached a program so that no other one may be, there or further up: what tells it, or undefined. */
  #hookTaken(program: string, cgroup: string): LoadBalancerError | undefined {
    for (let directory = cgroup; ; directory = path.dirname(directory)) {
      let found;
      try {
        found = this.#datapath.cgroupPrograms(program, directory, false);
      } catch {
        return undefined; // that is the end of the hierarchy
      }
      const [first] = found.programs;
      if (first && !found.multi) {
        return new LoadBalancerError(
          'ERR_BPF_HOOK_TAKEN',
          `Cannot attach ${program} to ${cgroup}: program ${first.id} ${first.name} was attached to ${directory} without ` +
            'BPF_F_ALLOW_MULTI, so that the kernel admits no other one. Attach it with that flag, or as a link.',
        );
      }
      if (directory === path.dirname(directory)) return undefined;
    }
  }

  /** What cannot be kept is not left attached. */
  #pinned(hook: Hook): Hook {
    const path = this.#state?.own.pathOf(hook.pin);
    if (path === undefined) return hook;
    try {
      hook.link.pin(path);
      return hook;
    } catch (error) {
      this.takeBack(hook);
      throw asPublicError(error, `pin ${path}`);
    }
  }
}

/** Those that the canary meets. */
function hooksOfConnected(family: Family) {
  return [`bpf_lb_connect${family}`, `bpf_lb_peername${family}`] as const;
}

/** Undefined for what is not there. */
function orMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}
