import ipaddr from 'ipaddr.js';

import { FlowFlag, FlowState, layouts } from '../../lib/abi';
import { decodeEvent, type PortExhaustion } from '../../lib/events';
import type { Datapath, Watch } from '../../types/native';
import { build, type Packet, parse } from './packets';

/*
 * The part of the agent for tests that need thousands of packets, or look into the tables: one message carries them all.
 */

/** What became of a packet. The rest is undefined where it was dropped. */
export interface Sent {
  retval: number;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  protocol: Packet['protocol'];
  /** All checksums are right. */
  valid: boolean;
}

/** One direction of a flow, as it is in a table. */
export interface FlowEntry {
  table: 'flows4' | 'flows6' | 'pending4' | 'pending6';
  /** In hex. */
  key: string;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  /** What a packet has afterwards. */
  to: { source: string; sourcePort: number; destination: string; destinationPort: number };
  reply: boolean;
  state: keyof typeof FlowState;
  /** Seconds until it is forgotten; negative when it has been. */
  left: number;
}

/** Connections to a backend that are open, as the algorithm least-connections counts them. */
export interface Load {
  backend: string;
  count: number;
}

export interface BulkCalls {
  /** One after the other, without pause. */
  sendAll(program: string, device: string, packets: readonly Packet[]): Promise<Sent[]>;
  /** Both tables of a family, dead entries included. */
  entries(family: '4' | '6'): Promise<FlowEntry[]>;
  /** Removes entries, as an LRU table may. */
  discard(entries: readonly FlowEntry[]): Promise<void>;
  /** `longest`: of the lifetimes of established and half-closed flows, which the counts depend on. */
  loads(longest: number): Promise<Load[]>;
  /** Events since the last call. */
  events(): Promise<PortExhaustion[]>;
}

/** The seconds of the kernel's coarse clock. */
function now(): number {
  return process.hrtime()[0];
}

export function bulkCalls(datapath: () => Datapath, ifindexOf: (device: string) => number): BulkCalls {
  const events: PortExhaustion[] = [];
  /* A watch ends when it is collected. */
  let ring: Watch | undefined;

  function watch(): void {
    ring ??= datapath().watchRing('events', (record) => {
      const event = decodeEvent(record);
      if (event) events.push(event);
    });
  }

  return {
    sendAll(program, device, packets) {
      const ifindex = ifindexOf(device);
      const kernel = datapath();
      watch();
      return Promise.resolve(
        packets.map((packet) => {
          const { retval, data } = kernel.testRun(program, { data: build(packet), ifindex });
          const { source, sourcePort, destination, destinationPort, protocol, valid } = parse(data);
          return { retval, source, sourcePort, destination, destinationPort, protocol, valid };
        }),
      );
    },
    async entries(family) {
      const tables = ['flows', 'pending'].map((name) => (name + family) as FlowEntry['table']);
      const lists = await Promise.all(
        tables.map(async (table) => decodeEntries(table, family, await datapath().dump(table))),
      );
      return lists.flat();
    },
    async discard(entries) {
      for (const table of new Set(entries.map((entry) => entry.table))) {
        const keys = entries
          .filter((entry) => entry.table === table)
          .map(({ key }) => Buffer.from(key, 'hex'));
        await datapath().commit([{ map: table, kind: 'delete', keys: Buffer.concat(keys) }]);
      }
    },
    async loads(longest) {
      return decodeLoads(await datapath().dump('loads'), longest);
    },
    async events() {
      watch();
      /* Records are read by the event loop. */
      await new Promise((resolve) => setTimeout(resolve, 200));
      return events.splice(0);
    },
  };
}

type Dump = Awaited<ReturnType<Datapath['dump']>>;

function decodeEntries(table: FlowEntry['table'], family: '4' | '6', dump: Dump): FlowEntry[] {
  const tuple = layouts[`lb_tuple${family}`];
  const entry = layouts[`lb_flow${family}`];
  const { expires, flags, state } = layouts.lb_flow.fields;
  const states = Object.keys(FlowState) as FlowEntry['state'][];
  const [keys, values] = [Buffer.from(dump.keys), Buffer.from(dump.values)];
  const size = family === '4' ? 4 : 16;
  const tupleAt = (bytes: Buffer, at: number) => {
    const { saddr, daddr, sport, dport } = tuple.fields;
    const address = (from: number) => ipaddr.fromByteArray([...bytes.subarray(from, from + size)]).toString();
    return {
      source: address(at + saddr.offset),
      sourcePort: bytes.readUInt16BE(at + sport.offset),
      destination: address(at + daddr.offset),
      destinationPort: bytes.readUInt16BE(at + dport.offset),
    };
  };
  return Array.from({ length: dump.count }, (_, i) => {
    const at = i * entry.size;
    const flow = at + entry.fields.flow.offset;
    const number = values.readUInt8(flow + state.offset);
    return {
      table,
      key: keys.subarray(i * tuple.size, (i + 1) * tuple.size).toString('hex'),
      ...tupleAt(keys, i * tuple.size),
      to: tupleAt(values, at + entry.fields.to.offset),
      reply: (values.readUInt8(flow + flags.offset) & FlowFlag.REPLY) !== 0,
      state: states.find((name) => FlowState[name] === number) as FlowEntry['state'],
      left: values.readUInt32LE(flow + expires.offset) - now(),
    };
  });
}

/** What lb_load_count() of bpf/load.h says of each backend, without sockets, for flows of TCP. */
function decodeLoads(dump: Dump, longest: number): Load[] {
  const { lb_load_key: key, lb_load: load, lb_calendar: calendar } = layouts;
  const [keys, values] = [Buffer.from(dump.keys), Buffer.from(dump.values)];
  const periods = calendar.fields.count.size / 4;
  const span = Math.floor(longest / (periods - 2)) + 1;
  return Array.from({ length: dump.count }, (_, i) => {
    const at = i * load.size + load.fields.streams.offset;
    let count = 0;
    for (let period = 0; period < periods; period++) {
      if (values.readUInt32LE(at + calendar.fields.period.offset + 4 * period) < Math.floor(now() / span))
        continue;
      count += values.readUInt32LE(at + calendar.fields.count.offset + 4 * period);
    }
    const from = i * key.size + key.fields.address.offset;
    const address = ipaddr.fromByteArray([...keys.subarray(from, from + 16)]) as ipaddr.IPv6;
    const text = (address.isIPv4MappedAddress() ? address.toIPv4Address() : address).toString();
    return { backend: `${text}:${keys.readUInt16BE(i * key.size + key.fields.port.offset)}`, count };
  });
}
