import { readFile, writeFile } from 'node:fs/promises';

import { attempt, LoadBalancerError } from './errors';

/** From and to, both included. */
export type PortRange = readonly [min: number, max: number];

const ephemeralPath = '/proc/sys/net/ipv4/ip_local_port_range';
const reservedPath = '/proc/sys/net/ipv4/ip_local_reserved_ports';

/** Reads lists of the kernel: `1-3,7`. */
export function parsePortRanges(text: string): PortRange[] {
  return text
    .split(',')
    .filter((entry) => entry.trim() !== '')
    .map((entry) => {
      const [min = 0, max = min] = entry.split('-').map(Number);
      return [min, max] as const;
    });
}

/** Writes lists of the kernel. */
export function formatPortRanges(ranges: readonly PortRange[]): string {
  return ranges.map(([min, max]) => (min === max ? `${min}` : `${min}-${max}`)).join(',');
}

/** What is left of `ranges` without the ports of `others`. */
export function withoutPorts(ranges: readonly PortRange[], others: readonly PortRange[]): PortRange[] {
  return others.reduce<PortRange[]>(
    (left, [from, to]) =>
      left.flatMap(([min, max]): PortRange[] => {
        const parts: PortRange[] = [
          [min, Math.min(max, from - 1)],
          [Math.max(min, to + 1), max],
        ];
        return to < min || from > max ? [[min, max]] : parts.filter(([first, last]) => first <= last);
      }),
    [...ranges],
  );
}

/**
 * The ports of the NodePort range that have to be reserved, so that the kernel gives them to no socket that asks for
 * any port: none where the ranges are apart, or where they are reserved already.
 *
 * @throws LoadBalancerError `ERR_BPF_INVALID_OPTION` when the NodePorts lie above the ephemeral ports, where source NAT
 *   would have too few ports of its own.
 */
export function unprotectedPorts(
  nodePorts: PortRange,
  ephemeral: PortRange,
  reserved: readonly PortRange[],
): PortRange[] {
  const [min, max] = nodePorts;
  if (min > ephemeral[1]) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      `nodePortRange: ${min}-${max} lies above the ephemeral ports, ${ephemeral.join('-')}: ` +
        `choose a range below them, or change net.ipv4.ip_local_port_range.`,
    );
  }
  return max < ephemeral[0] ? [] : withoutPorts([nodePorts], reserved);
}

/** NodePorts that are kept from the sockets of this network namespace. */
export class PortReservation {
  readonly #added: readonly PortRange[];

  private constructor(added: readonly PortRange[]) {
    this.#added = added;
  }

  /**
   * Adds what is not protected of the range to `net.ipv4.ip_local_reserved_ports` of the process' network namespace.
   * The kernel chooses ports for both families by it.
   *
   * @param protect When false nothing is written, and a range that is not protected is an error.
   * @throws LoadBalancerError `ERR_BPF_INVALID_OPTION` for a range above the ephemeral ports, or one that may not be, or
   *   cannot be, protected.
   */
  static async make(nodePorts: PortRange, protect: boolean): Promise<PortReservation> {
    const [ephemeral, reserved] = await attempt('read the port ranges of the kernel', async () => [
      await readEphemeral(),
      await readReserved(),
    ]);
    const missing = unprotectedPorts(nodePorts, ephemeral, reserved);
    if (missing.length === 0) return new PortReservation([]);
    if (!protect) throw unprotected(nodePorts, ephemeral);
    try {
      await writeReserved([...reserved, ...missing]);
    } catch (cause) {
      throw unprotected(nodePorts, ephemeral, { cause });
    }
    return new PortReservation(missing);
  }

  /** Gives back what was added, and nothing else. */
  async release(): Promise<void> {
    if (this.#added.length === 0) return;
    await attempt('give the NodePorts back', async () =>
      writeReserved(withoutPorts(await readReserved(), this.#added)),
    );
  }
}

function unprotected(nodePorts: PortRange, ephemeral: PortRange, options?: ErrorOptions): LoadBalancerError {
  const range = nodePorts.join('-');
  return new LoadBalancerError(
    'ERR_BPF_INVALID_OPTION',
    `nodePortRange: the kernel may give ports of ${range} to any socket, because they are among the ephemeral ports, ` +
      `${ephemeral.join('-')}: add ${range} to net.ipv4.ip_local_reserved_ports, ` +
      (options ? 'which could not be written, or choose another range.' : 'or open with protectNodePorts.'),
    options,
  );
}

async function readEphemeral(): Promise<PortRange> {
  const [min = 0, max = 0] = (await readFile(ephemeralPath, 'utf8')).trim().split(/\s+/).map(Number);
  return [min, max];
}

async function readReserved(): Promise<PortRange[]> {
  return parsePortRanges(await readFile(reservedPath, 'utf8'));
}

async function writeReserved(ranges: readonly PortRange[]): Promise<void> {
  await writeFile(reservedPath, `${formatPortRanges(ranges)}\n`);
}
