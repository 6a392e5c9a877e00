import { formatEndpoint } from './address';
import { monotonicSeconds } from './clock';
import { type DefinitionChange, staleFlows } from './datagram-flows';
import { flowEntries, flowTables } from './flow-table';
import type { ServiceDefinition } from './service-definition';
import type { Protocol } from './spec';
import { ownerOf, type Services, staleSockets } from './stale-sockets';
import type { TranslatedSocket } from './translated-sockets';
import type { Datapath } from '../types/native';

/** Connections that a change would take from a backend. All others go on, also those to backends that are removed. */
export interface AffectedConnections {
  /** Who has the frontend before the change. */
  readonly service: string;
  /** `address:port`. */
  readonly backend: string;
  /** Sockets that are going to be destroyed: connected UDP, and TCP with `resetOnRemoval`. */
  readonly sockets: number;
  /** UDP flows of packets through devices that are going to begin anew, with another backend. */
  readonly flows: number;
}

/** What sockets and flows would suffer from changes, if they were made now. */
export async function affectedConnections(
  datapath: Pick<Datapath, 'dump'>,
  sockets: readonly TranslatedSocket[],
  now: Services,
  changes: readonly DefinitionChange[],
): Promise<AffectedConnections[]> {
  const counts = new Map<string, { service: string; backend: string; sockets: number; flows: number }>();
  const count = (protocol: Protocol, ends: Pick<TranslatedSocket, 'frontend' | 'backend'>) => {
    const service = ownerOf(now, { frontend: ends.frontend, protocol })?.name ?? '';
    const backend = formatEndpoint(ends.backend.address, ends.backend.port);
    const key = `${service} ${backend}`;
    const found = counts.get(key) ?? { service, backend, sockets: 0, flows: 0 };
    counts.set(key, found);
    return found;
  };

  const next = afterwards(now, changes);
  const gone = new Map<string, boolean>();
  for (const { before } of changes)
    for (const { key } of before?.frontends ?? []) gone.set(key, before?.resetOnRemoval ?? false);
  const [isStale, willBeStale] = [staleSockets(now, new Map()), staleSockets(next, gone)];
  for (const socket of sockets) {
    if (willBeStale(socket) && !isStale(socket)) count(socket.protocol, socket).sockets++;
  }

  const earlier = new Map(
    changes.flatMap(({ before }) => (before ? [[before.name, [before]] as const] : [])),
  );
  const isStaleFlow = staleFlows(next, earlier);
  const seen = new Set<string>();
  const time = monotonicSeconds();
  for (const { map, family } of flowTables) {
    for (const entry of flowEntries(await datapath.dump(map), family)) {
      if (!entry.isOpen(time) || !isStaleFlow(entry) || seen.has(entry.identity)) continue;
      seen.add(entry.identity);
      count('UDP', entry).flows++;
    }
  }
  return [...counts.values()];
}

function afterwards({ owners, records }: Services, changes: readonly DefinitionChange[]): Services {
  const next = {
    owners: new Map(owners),
    records: new Map<string, { definition: ServiceDefinition }>(records),
  };
  for (const { before } of changes) {
    if (!before) continue;
    next.records.delete(before.name);
    for (const { key } of before.frontends) next.owners.delete(key);
  }
  for (const { after } of changes) {
    if (!after) continue;
    next.records.set(after.name, { definition: after });
    for (const { key } of after.frontends) next.owners.set(key, after.name);
  }
  return next;
}
