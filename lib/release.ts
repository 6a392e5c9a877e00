import { setTimeout } from 'node:timers/promises';

import { monotonicSeconds } from './clock';
import { attempt } from './errors';
import { flowEntries, flowTables } from './flow-table';
import type { Datapath } from '../types/native';

/** How a LoadBalancer gives the node's services back. */
export interface ReleaseOptions {
  /** Milliseconds that flows are given to end. Default: as long as they take. */
  deadline?: number;
  /** Calls it off: the LoadBalancer serves as before. */
  signal?: AbortSignal;
}

/** What was left when a LoadBalancer had given everything back. */
export interface Release {
  /** Connections and datagram flows through devices that were still open; they are not translated any more. */
  readonly flows: number;
}

/** Milliseconds between two looks at the tables, which are read as a whole. */
const interval = 250;

/** Waits until no flow is open, or until the deadline; resolves with how many are. Rejects with the signal's reason. */
export async function flowsToEnd(
  datapath: Pick<Datapath, 'dump'>,
  { deadline = Infinity, signal }: ReleaseOptions,
): Promise<number> {
  const end = performance.now() + deadline;
  for (;;) {
    signal?.throwIfAborted();
    const open = await countOpen(datapath);
    const left = end - performance.now();
    if (open === 0 || left <= 0) return open;
    await setTimeout(Math.min(interval, left));
  }
}

async function countOpen(datapath: Pick<Datapath, 'dump'>): Promise<number> {
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
