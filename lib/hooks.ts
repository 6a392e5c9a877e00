import { asPublicError, attempt, LoadBalancerError } from './errors';
import type { StateDirectory } from './state-directory';
import type { Datapath, Link } from '../types/native';

/** How a program hangs on its hook. */
export type Attachment = 'cgroup' | 'tcx' | 'clsact';

/** One program on one hook. */
export interface Hook {
  readonly program: string;
  readonly attachment: Attachment;
  readonly link: Link;
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

/** Attaches programs, and pins their links where there is a state directory. */
export class Hooks {
  readonly #datapath: Datapath;
  readonly #state: StateDirectory | undefined;
  #tcx = true;

  constructor(datapath: Datapath, state: StateDirectory | undefined) {
    this.#datapath = datapath;
    this.#state = state;
  }

  async attachCgroup(program: string, cgroup: string): Promise<Hook> {
    const link = await attempt(`attach ${program} to ${cgroup}`, () =>
      this.#datapath.attachCgroup(program, cgroup),
    );
    this.#pin(link, this.#state?.pathOf(`link_${program}`));
    return { program, attachment: 'cgroup', link };
  }

  /** By a tcx link, or by a clsact filter where the kernel has none (before Linux 6.6). */
  async attachDevice(
    program: string,
    device: { name: string; ifindex: number },
    direction: 'ingress' | 'egress',
  ): Promise<Hook> {
    const { link, attachment } = await this.#attachTc(program, device, direction);
    this.#pin(link, this.#state?.pathOfDeviceLink(program, device.ifindex, direction, link.filter));
    return { program, attachment, link };
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

  /** What cannot be kept is not left attached. */
  #pin(link: Link, path: string | undefined): void {
    if (path === undefined) return;
    try {
      link.pin(path);
    } catch (error) {
      link.detach();
      throw asPublicError(error, `pin ${path}`);
    }
  }
}
