import { setTimeout } from 'node:timers/promises';

import { monotonicSeconds } from './clock';
import { attempt } from './errors';
import { flowEntries, flowTables } from './flow-table';
import type { Datapath } from '../types/native';

/** How a LoadBalancer gives the node's services back. */
export interface ReleaseOptions {
  /** Milliseconds that flows and sockets are given to end. Default: as long as they take. */
  deadline?: number;
  /** Calls it off: the LoadBalancer serves as before. */
  signal?: AbortSignal;
}

/** What was left when a LoadBalancer had given everything back. */
export interface Release {
  /** Connections and datagram flows through devices that were still open; they are not translated any more. */
  readonly flows: number;
  /**
   * Sockets that were still connected to a backend, as far as `sockets()` sees them. They go on, but getpeername(), and
   * recvfrom() of datagrams, tell the backend's address from now on.
   */
  readonly sockets: number;
}

/** Milliseconds between two looks, at least: the tables, and all sockets, are read as a whole. */
const interval = 250;
/** So many times as long as a look takes is waited before the next one, at least. */
const leisure = 10;

/** Waits until nothing is open, or until the deadline; resolves with what is. Rejects with the signal's reason. */
export async function untilReleased(
  datapath: Pick<Datapath, 'dump'>,
  countSockets: () => Promise<number>,
  { deadline = Infinity, signal }: ReleaseOptions,
): Promise<Release> {
  const end = performance.now() + deadline;
  for (;;) {
    signal?.throwIfAborted();
    const begin = performance.now();
    const [flows, sockets] = [await countFlows(datapath), await countSockets()];
    const now = performance.now();
    if (flows + sockets === 0 || now >= end) return { flows, sockets };
    await setTimeout(Math.min(Math.max(interval, leisure * (now - begin)), end - now), undefined, {
      ...(signal && { signal }),
    }).catch(() => signal?.throwIfAborted());
  }
}

async function countFlows(datapath: Pick<Datapath, 'dump'>): Promise<number> {
  const now = monotonicSeconds();
  let open = 0;
  for (const { map, family } of flowTables) {
    const dump = await attempt(`read ${map}`, () => datapath.dump(map));
    for (const flow of flowEntries(dump, family)) {
      if (!flow.isReply && !flow.isOfHost && flow.isOpen(now)) open++;
    }
  }
  return open;
}
