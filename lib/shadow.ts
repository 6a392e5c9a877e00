import { ChoiceResult, EventKind, Fate, layouts, Side } from './abi';
import { formatEndpoint, formatWideAddress } from './address';
import { type Dump, elementsOf } from './dump';
import { keysOfDestination } from './frontend-key';
import type { Reason } from './simulator/verdict';
import type { Protocol } from './spec';

/** What would have been done to new connections to a frontend, had the LoadBalancer not been in shadow mode. */
export interface ShadowDecision {
  /** A socket, as it asked for its destination; or the first packet through the device of a pod, or from outside. */
  readonly via: 'socket' | 'pod' | 'outside';
  readonly protocol: Protocol;
  /**
   * What was asked for, `ADDRESS:PORT`. In counts, an address alone stands for all its ports that are no service's, and
   * nothing for all addresses of `serviceCIDRs` that are no service's.
   */
  readonly frontend: string | undefined;
  /** The service that has the frontend now. */
  readonly service: string | undefined;
  readonly verdict: 'forward' | 'reject' | 'drop';
  readonly reason: Reason;
  /** Where it would have gone, `ADDRESS:PORT`. */
  readonly backend: string | undefined;
}

/** How often a decision was made. */
export interface CountedDecision extends ShadowDecision {
  readonly count: bigint;
}

/** A decision about one connection. */
export interface ObservedDecision extends ShadowDecision {
  /** Of a socket: that of its pod or node, `'::'` where the kernel does not tell (before Linux 6.2). */
  readonly client: string;
  /** 0 for a socket, which may not have one yet. */
  readonly clientPort: number;
}

const sides: Record<number, ShadowDecision['via']> = {
  [Side.SOCKET]: 'socket',
  [Side.POD]: 'pod',
  [Side.OUTSIDE]: 'outside',
};
const verdicts: Record<number, ShadowDecision['verdict']> = {
  [Fate.FORWARD]: 'forward',
  [Fate.REJECT]: 'reject',
  [Fate.DROP]: 'drop',
};
const reasons: Record<number, Reason> = {
  [ChoiceResult.CHOSEN]: 'chosen',
  [ChoiceResult.NO_BACKEND]: 'no-backend',
  [ChoiceResult.NO_LOCAL_BACKEND]: 'no-local-backend',
  [ChoiceResult.DENIED]: 'denied-by-source-ranges',
  [ChoiceResult.NOT_OUTSIDE]: 'not-served-outside',
  [ChoiceResult.UNKNOWN_PORT]: 'unknown-port',
  [ChoiceResult.UNSERVED_PORT]: 'unserved-port',
  [ChoiceResult.UNALLOCATED]: 'unallocated-cluster-ip',
  [ChoiceResult.TORN]: 'service-changing',
};
const protocols: Record<number, Protocol> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

const { fields } = layouts.lb_decision;
const event = layouts.lb_decision_event.fields;

/** Which service has a frontend, by its key. */
export type FrontendOwners = Pick<ReadonlyMap<string, string>, 'get'>;

const isAny = (address: Uint8Array): boolean => address.every((byte) => byte === 0);

function decodeDecision(bytes: Uint8Array, owners: FrontendOwners): ShadowDecision | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const protocol = protocols[view.getUint8(fields.protocol.offset)];
  const via = sides[view.getUint8(fields.side.offset)];
  const verdict = verdicts[view.getUint8(fields.fate.offset)];
  const reason = reasons[view.getUint8(fields.result.offset)];
  if (!protocol || !via || !verdict || !reason) return undefined;
  const addressAt = (at: number) => bytes.subarray(at, at + 16);
  const asked = addressAt(fields.frontend.offset);
  const port = view.getUint16(fields.frontend_port.offset);
  const address = formatWideAddress(asked).text;
  const owner = keysOfDestination({ address, port }, protocol).find((key) => owners.get(key) !== undefined);
  return {
    via,
    protocol,
    frontend: isAny(asked) ? undefined : port === 0 ? address : formatEndpoint(address, port),
    service: owner === undefined ? undefined : owners.get(owner),
    verdict,
    reason,
    backend:
      verdict === 'forward'
        ? formatEndpoint(
            formatWideAddress(addressAt(fields.backend.offset)).text,
            view.getUint16(fields.backend_port.offset),
          )
        : undefined,
  };
}

/** Reads a record of the ring buffer; undefined for one of another kind. */
export function decodeObserved(record: Uint8Array, owners: FrontendOwners): ObservedDecision | undefined {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  if (
    record.byteLength < layouts.lb_decision_event.size ||
    view.getUint32(event.kind.offset, true) !== EventKind.DECISION
  )
    return undefined;
  const { offset, size } = event.decision;
  const decision = decodeDecision(record.subarray(offset, offset + size), owners);
  return (
    decision && {
      ...decision,
      client: formatWideAddress(record.subarray(event.client.offset, event.client.offset + 16)).text,
      clientPort: view.getUint16(event.client_port.offset),
    }
  );
}

/** What the programs have counted, most frequent first. */
export function decodeCounted(dump: Dump, owners: FrontendOwners): CountedDecision[] {
  const counted: CountedDecision[] = [];
  for (const { key, value } of elementsOf(dump)) {
    const decision = decodeDecision(key, owners);
    const count = new DataView(value.buffer, value.byteOffset, value.byteLength).getBigUint64(0, true);
    if (decision) counted.push({ ...decision, count });
  }
  return counted.sort((a, b) => (a.count < b.count ? 1 : a.count > b.count ? -1 : 0));
}
