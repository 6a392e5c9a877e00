import { type Endpoint, formatEndpoint } from './address';
import { monotonicSeconds } from './clock';
import type { Dump } from './dump';
import { type FlowEntry, flowEntries, flowTables } from './flow-table';
import { sharedReading } from './shared-reading';
import { TimeSlice } from './time-slice';
import type { TranslatedSocket } from './translated-sockets';
import type { Datapath } from '../types/native';

/** Connections that are open to a backend through a service. */
export interface BackendConnections {
  /** `address:port`. */
  readonly backend: string;
  /** Sockets of this node and its pods that were translated to it: TCP, and datagram sockets that are connected. */
  readonly sockets: number;
  /**
   * Flows of packets through selected devices: TCP that has been neither finished nor reset, and UDP and SCTP of which there
   * were packets within the lifetime of a flow.
   */
  readonly flows: number;
}

type CountedSocket = Pick<TranslatedSocket, 'frontendId' | 'backend'>;

/** All connections at one time, in the form in which the kernel tells of them. */
interface Census {
  readonly sockets: readonly CountedSocket[];
  readonly flows: readonly { readonly dump: Dump; readonly family: 4 | 6 }[];
}

/**
 * Counts connections, by looking at each: what was counted as it came and went would be wrong after whatever is missed. Those
 * who ask at a time share one look.
 */
export class ConnectionCounter {
  readonly #look: () => Promise<Census>;

  constructor(datapath: Pick<Datapath, 'dump'>, listSockets: () => Promise<readonly CountedSocket[]>) {
    this.#look = sharedReading(async () => {
      const sockets = await listSockets();
      const flows: Census['flows'][number][] = [];
      for (const { map, family } of flowTables) flows.push({ dump: await datapath.dump(map), family });
      return { sockets, flows };
    });
  }

  /** Those through the frontends with these ids, by backend. Backends without any are left out. */
  async count(frontendIds: ReadonlySet<number>): Promise<Map<string, BackendConnections>> {
    const { sockets, flows } = await this.#look();
    const counts = new Map<string, { backend: string; sockets: number; flows: number }>();
    const at = ({ address, port }: Endpoint) => {
      const backend = formatEndpoint(address, port);
      const count = counts.get(backend) ?? { backend, sockets: 0, flows: 0 };
      counts.set(backend, count);
      return count;
    };
    for (const { frontendId, backend } of sockets) if (frontendIds.has(frontendId)) at(backend).sockets++;
    /* A flow is seen from both sides, and in two tables while it moves; of one that was evicted in part, once. */
    const seen = new Map<string, FlowEntry>();
    const now = monotonicSeconds();
    const slice = new TimeSlice();
    for (const { dump, family } of flows) {
      for (const entry of flowEntries(dump, family)) {
        if (slice.isOver) await slice.next();
        if (frontendIds.has(entry.frontendId) && !entry.isOfHost && entry.isOpen(now))
          seen.set(entry.identity, entry);
      }
    }
    for (const entry of seen.values()) {
      if (slice.isOver) await slice.next();
      at(entry.backend).flows++;
    }
    return counts;
  }
}
