import { EventKind, layouts } from './abi';
import { formatWideAddress } from './address';
import type { Protocol } from './spec';

/** A client that could not be given a source port, because those towards its backend are used up. */
export interface PortExhaustion {
  readonly protocol: Protocol;
  readonly client: string;
  readonly clientPort: number;
  /** The address of this node whose ports were tried. */
  readonly source: string;
  readonly backend: string;
  readonly backendPort: number;
}

const protocols: Record<number, Protocol> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };
const event = layouts.lb_event.fields;

/** Reads a record of the ring buffer; undefined for one that is of no known kind. */
export function decodeEvent(record: Uint8Array): PortExhaustion | undefined {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  if (record.byteLength < layouts.lb_event.size || view.getUint32(0, true) !== EventKind.NO_PORT)
    return undefined;
  const protocol = protocols[view.getUint8(event.protocol.offset)];
  if (!protocol) return undefined;
  const address = (at: number) => formatWideAddress(record.subarray(at, at + 16)).text;
  return {
    protocol,
    client: address(event.client.offset),
    clientPort: view.getUint16(event.client_port.offset),
    source: address(event.source.offset),
    backend: address(event.backend.offset),
    backendPort: view.getUint16(event.backend_port.offset),
  };
}
