import { FlowFlag, FlowState, layouts } from './abi';
import { type Endpoint, type Family, families, formatAddress } from './address';
import type { Dump } from './dump';

/** Where the address and the port of an end are. */
interface EndBytes {
  readonly bytes: Buffer;
  readonly address: number;
  readonly port: number;
}

/** The tables of flows, in the order in which flows move from one to the other. */
export const flowTables: readonly { readonly map: string; readonly family: Family }[] = families.flatMap(
  (family) => [
    { map: `pending${family}`, family },
    { map: `flows${family}`, family },
  ],
);

const flowFields = layouts.lb_flow.fields;

/** One direction of a flow, as a table has it. Reads what it is asked for, because tables are large. */
export class FlowEntry {
  readonly #keys: Buffer;
  readonly #values: Buffer;
  readonly #key: number;
  readonly #to: number;
  readonly #flow: number;
  readonly #tuple: (typeof layouts)['lb_tuple4' | 'lb_tuple6'];

  constructor(keys: Buffer, values: Buffer, index: number, family: Family) {
    const value = layouts[`lb_flow${family}`];
    this.#tuple = layouts[`lb_tuple${family}`];
    this.#keys = keys;
    this.#values = values;
    this.#key = index * this.#tuple.size;
    this.#to = index * value.size + value.fields.to.offset;
    this.#flow = index * value.size + value.fields.flow.offset;
  }

  /** Its bytes, in the memory of the dump. */
  get key(): Uint8Array {
    return this.#keys.subarray(this.#key, this.#key + this.#tuple.size);
  }

  /** As IP has it. */
  get protocol(): number {
    return this.#keys[this.#key + this.#tuple.fields.protocol.offset] as number;
  }

  /** From the backend to the client. */
  get isReply(): boolean {
    return (this.#flags & FlowFlag.REPLY) !== 0;
  }

  /** Of the node itself, and of no service. */
  get isOfHost(): boolean {
    return (this.#flags & FlowFlag.HOST) !== 0;
  }

  /** The id of the frontend. */
  get frontendId(): number {
    return this.#values.readUInt32LE(this.#flow + flowFields.service.offset);
  }

  /** What the client asked for. */
  get frontend(): Endpoint {
    return this.#format(this.#frontend);
  }

  /** Who answers. The same as {@link frontend} where nothing was translated. */
  get backend(): Endpoint {
    return this.#format(this.#backend);
  }

  /** The same for both directions of a flow, and for no other flow. */
  get identity(): string {
    const ends = [this.#client, this.#frontend, this.#backend].map((end) => this.#text(end));
    return `${this.protocol}${ends.join('')}`;
  }

  /** Whether it has neither been closed nor forgotten. `now` in seconds of the programs' clock. */
  isOpen(now: number): boolean {
    const state = this.#values[this.#flow + flowFields.state.offset];
    const expires = this.#values.readUInt32LE(this.#flow + flowFields.expires.offset);
    return state !== FlowState.CLOSING && ((Math.floor(now) - expires) | 0) <= 0;
  }

  get #flags(): number {
    return this.#values[this.#flow + flowFields.flags.offset] as number;
  }

  get #client(): EndBytes {
    return this.isReply ? this.#destination(this.#values, this.#to) : this.#source(this.#keys, this.#key);
  }

  get #frontend(): EndBytes {
    return this.isReply ? this.#source(this.#values, this.#to) : this.#destination(this.#keys, this.#key);
  }

  get #backend(): EndBytes {
    return this.isReply ? this.#source(this.#keys, this.#key) : this.#destination(this.#values, this.#to);
  }

  #source(bytes: Buffer, at: number): EndBytes {
    const { saddr, sport } = this.#tuple.fields;
    return { bytes, address: at + saddr.offset, port: at + sport.offset };
  }

  #destination(bytes: Buffer, at: number): EndBytes {
    const { daddr, dport } = this.#tuple.fields;
    return { bytes, address: at + daddr.offset, port: at + dport.offset };
  }

  #format({ bytes, address, port }: EndBytes): Endpoint {
    const { text } = formatAddress(bytes.subarray(address, address + this.#tuple.fields.saddr.size));
    return { address: text, port: bytes.readUInt16BE(port) };
  }

  #text({ bytes, address, port }: EndBytes): string {
    const end = address + this.#tuple.fields.saddr.size;
    return bytes.toString('latin1', address, end) + bytes.toString('latin1', port, port + 2);
  }
}

/** The entries of a table that was dumped. */
export function* flowEntries(dump: Dump, family: Family): Generator<FlowEntry> {
  const [keys, values] = [asBuffer(dump.keys), asBuffer(dump.values)];
  for (let i = 0; i < dump.count; i++) yield new FlowEntry(keys, values, i, family);
}

/** One entry. */
export function flowEntry(key: Uint8Array, value: Uint8Array, family: Family): FlowEntry {
  return new FlowEntry(asBuffer(key), asBuffer(value), 0, family);
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
