import type { Family } from './address';
import { attempt } from './errors';
import { allOrNone, type Hook, type Hooks } from './hooks';
import { socketPrograms } from './programs';
import { hiddenPrefix } from './service-table';
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
const canaryPort = 1;

const EADDRNOTAVAIL = 99;
const EAFNOSUPPORT = 97;
const ENETUNREACH = 101;

/** A service that no packet ever reaches: connecting a datagram socket to it sends nothing. */
export const canaryService: ServiceSpec = {
  name: `${hiddenPrefix}canary`,
  frontends: ([4, 6] as const).map((family) => ({
    type: 'ClusterIP',
    address: canaryAddress[family],
    port: canaryPort,
    protocol: 'UDP',
  })),
  backends: ([4, 6] as const).map((family) => ({ address: canaryBackend[family], port: canaryPort })),
};

/** The programs on the cgroup's hooks. */
export class SocketLayer {
  readonly cgroup: string;
  readonly hooks: readonly Hook[];
  #verified: Record<Family, Verification> = { 4: 'failed', 6: 'failed' };

  private constructor(cgroup: string, hooks: readonly Hook[]) {
    this.cgroup = cgroup;
    this.hooks = hooks;
  }

  /** Attaches every program, or none. */
  static async attach(hooks: Hooks, cgroup: string): Promise<SocketLayer> {
    const attached = await allOrNone(
      Object.keys(socketPrograms),
      (program) => hooks.attachCgroup(program, cgroup),
      (hook) => hooks.takeBack(hook),
    );
    return new SocketLayer(cgroup, attached);
  }

  /** What the last canary found. */
  get verified(): Readonly<Record<Family, Verification>> {
    return this.#verified;
  }

  /** Every program is still on its hook. */
  get attached(): boolean {
    return this.hooks.every(({ link }) => link.attached());
  }

  /** Sends a canary of each family through the hooks. The canary service must be in the tables. */
  async verify(native: Native): Promise<void> {
    this.#verified = { 4: await this.#tryOut(native, 4), 6: await this.#tryOut(native, 6) };
  }

  async #tryOut(native: Native, family: Family): Promise<Verification> {
    const address = canaryAddress[family];
    const { connectErrno, local, peer } = await attempt(`try a socket in ${this.cgroup}`, () =>
      native.canary(this.cgroup, address, canaryPort),
    );
    /* Translated, the socket leaves from loopback; its peer name is translated back. */
    if (connectErrno === 0 && local === canaryBackend[family] && peer.includes(address)) return 'verified';
    const noFamily = [EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH].includes(connectErrno);
    return family === 6 && noFamily && !(await hasLoopback6(native)) ? 'unavailable' : 'failed';
  }

  detach(): void {
    for (const { link } of [...this.hooks].reverse()) link.detach();
  }
}

async function hasLoopback6(native: Native): Promise<boolean> {
  const { addresses } = await native.network();
  return addresses.some(
    ({ address }) => address.length === 16 && address[15] === 1 && !address.slice(0, 15).some(Boolean),
  );
}
