import { layouts } from './abi';
import { type Endpoint, formatWideAddress } from './address';
import { attempt } from './errors';
import { listPrograms } from './programs';
import type { Protocol } from './spec';
import type { Datapath } from '../types/native';

/** A socket that asked for a frontend and is connected to a backend. */
export interface TranslatedSocket {
  /** SO_COOKIE: no other socket of this machine has it, until the next start. */
  readonly cookie: bigint;
  /** SO_NETNS_COOKIE of its network namespace. */
  readonly netns: bigint;
  readonly protocol: Protocol;
  /** TCP_* of the kernel, for UDP also: 1 established, 2 SYN sent, ... */
  readonly state: number;
  readonly frontend: Endpoint;
  /** The id of the frontend: see `Frontend.id`. */
  readonly frontendId: number;
  readonly backend: Endpoint;
  /** Its own end. */
  readonly source: Endpoint;
}

/** Translated sockets, and how far was looked for them. */
export interface SocketList {
  readonly sockets: readonly TranslatedSocket[];
  /** Network namespaces that were looked into. */
  readonly namespaces: number;
  /** Network namespaces and processes that permissions hide: their sockets may be missing. */
  readonly refused: number;
}

/** A {@link SocketList} as the kernel's programs wrote it, too: a `struct lb_translated` for each socket. */
export interface RecordedSocketList extends SocketList {
  readonly records: Uint8Array;
}

const udp = 17;
const { size, fields } = layouts.lb_translated;
const origin = layouts.lb_origin.fields;

/**
 * Every socket that is translated now, of the host and of all pods: of every network namespace that a visible process is
 * in, or that is mounted where this process sees it. Datagram sockets only while they are connected: another one asks
 * anew with every datagram. Needs the programs of the socket layer; CAP_SYS_ADMIN for other namespaces than the own.
 *
 * Rejects with a kernel error.
 */
export async function listTranslatedSockets(
  datapath: Pick<Datapath, 'iterate'>,
): Promise<RecordedSocketList> {
  const found = await attempt('list the sockets', () => datapath.iterate(listPrograms));
  return { sockets: decodeTranslatedSockets(found.records), ...found };
}

/** Reads `struct lb_translated`s that lie end to end. */
export function decodeTranslatedSockets(records: Uint8Array): TranslatedSocket[] {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
  /* Many sockets have few frontends and backends. */
  const known = new Map<string, Endpoint>();
  const endpoint = (address: number, port: number): Endpoint => {
    const key = bytes.toString('latin1', address, address + 16) + bytes.toString('latin1', port, port + 2);
    let found = known.get(key);
    if (!found) {
      const { text } = formatWideAddress(bytes.subarray(address, address + 16));
      known.set(key, (found = { address: text, port: bytes.readUInt16BE(port) }));
    }
    return found;
  };
  const sockets: TranslatedSocket[] = [];
  for (let at = 0; at + size <= bytes.length; at += size) {
    const from = at + fields.origin.offset;
    sockets.push({
      cookie: bytes.readBigUInt64LE(at + fields.cookie.offset),
      netns: bytes.readBigUInt64LE(at + fields.netns.offset),
      protocol: bytes.readUInt8(at + fields.protocol.offset) === udp ? 'UDP' : 'TCP',
      state: bytes.readUInt8(at + fields.state.offset),
      frontend: endpoint(from + origin.frontend.offset, from + origin.frontend_port.offset),
      frontendId: bytes.readUInt32LE(from + origin.service.offset),
      backend: endpoint(from + origin.backend.offset, from + origin.backend_port.offset),
      source: endpoint(at + fields.source.offset, at + fields.source_port.offset),
    });
  }
  return sockets;
}
