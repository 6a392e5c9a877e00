import assert from 'node:assert/strict';

import type { Sent } from './bulk';
import { type Harness, verdicts } from './harness';
import type { Packet } from './packets';

/** A client outside that talks to NodePort 30001 of the node; another one, or another frontend, by what is given. */
export function request(changes: Partial<Packet> = {}): Packet {
  return {
    source: '203.0.113.2',
    sourcePort: 40000,
    destination: '203.0.113.1',
    destinationPort: 30001,
    protocol: 'TCP',
    ...changes,
  };
}

/** Requests from so many ports of a client, beginning with the port of `first`. */
export function requests(count: number, first: Partial<Packet> = {}): Packet[] {
  const { sourcePort, ...rest } = request(first);
  return Array.from({ length: count }, (_, i) => request({ ...rest, sourcePort: sourcePort + i }));
}

/** What the backend answers to a packet that it was given. */
export function replyTo(sent: Sent, flags = 'SA'): Packet {
  return {
    source: sent.destination,
    sourcePort: sent.destinationPort,
    destination: sent.source,
    destinationPort: sent.sourcePort,
    protocol: sent.protocol,
    flags,
  };
}

/** `address:port` of the backend that a packet was given. */
export function backendOf({ destination, destinationPort }: Sent): string {
  return `${destination}:${destinationPort}`;
}

/** What clients behind `eth0` send to the node, and what backends behind `eth1` answer. */
export class Traffic {
  readonly #harness: Harness;

  constructor(harness: Harness) {
    this.#harness = harness;
  }

  /** Packets of clients. */
  send(packets: readonly Packet[], flags?: string): Promise<Sent[]> {
    const all = flags === undefined ? packets : packets.map((packet) => ({ ...packet, flags }));
    return this.#harness.call('sendAll', 'bpf_lb_ingress', 'eth0', all);
  }

  async sendOne(packet: Packet, flags?: string): Promise<Sent> {
    const [sent] = await this.send([packet], flags);
    assert.ok(sent);
    return sent;
  }

  /** Answers of backends to packets that they were given. */
  answer(sent: readonly Sent[], flags?: string): Promise<Sent[]> {
    const replies = sent.map((one) => replyTo(one, flags));
    return this.#harness.call('sendAll', 'bpf_lb_ingress', 'eth1', replies);
  }

  /**
   * Opens connections, or flows of datagrams, to the end: few at a time, so that also small tables have room for those
   * that are not open yet. Every packet has to come through.
   */
  async connect(packets: readonly Packet[]): Promise<Sent[]> {
    const opened: Sent[] = [];
    for (let i = 0; i < packets.length; i += 100) {
      const some = packets.slice(i, i + 100);
      const there = passed(await this.send(some, 'S'));
      passed(await this.answer(there, 'SA'));
      opened.push(...passed(await this.send(some, 'A')));
    }
    return opened;
  }

  /** Ends connections by a FIN of each side. */
  async finish(packets: readonly Packet[]): Promise<void> {
    await this.answer(passed(await this.send(packets, 'FA')), 'FA');
    await this.send(packets, 'A');
  }
}

/** Fails unless all were sent on, with right checksums. */
export function passed(sent: Sent[]): Sent[] {
  const failed = sent.find(({ retval, valid }) => retval !== verdicts.redirect || !valid);
  assert.equal(failed, undefined);
  return sent;
}
