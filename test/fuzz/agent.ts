import { spawnSync } from 'node:child_process';

import ipaddr from 'ipaddr.js';

import { LoadBalancer, type OpenOptions } from '../../lib';
import { loadNative } from '../../lib/native';
import type { Verdict } from '../../lib/simulator';
import { build, parse } from '../program/packets';
import { answerParent } from '../support/cluster/process';
import type { Datapath } from '../../types/native';
import type { Action, Question } from './case';
import type { Outcome, Seen } from './compare';
import { type Connected, SocketClient, type Wanted } from './socket-client';
import { extraDevice, modelNode } from './topology';

/*
 * Runs in the namespace of the node: holds a real LoadBalancer, sends packets through its programs by BPF_PROG_TEST_RUN,
 * and has sockets connected by processes in the LoadBalancer's cgroup.
 */

/* The LoadBalancer's own way to the kernel, which it keeps to itself, runs its programs, too. */
const native = loadNative();
const load = native.load.bind(native);
let datapath: Datapath;
native.load = async (...args) => (datapath = await load(...args));

let lb: LoadBalancer | undefined;
let clients: Record<'host' | 'pod', SocketClient> | undefined;
let extra: string[] = [];
const ifindexes = new Map<string, number>();

/** That the node has by itself. */
const nodeAddresses = modelNode({}, []).devices.flatMap(({ addresses }) => addresses);

const verdicts = { next: 0xffffffff, drop: 2, redirect: 7 } as const;

/* Ports of clients, none of which is a service's or a backend's. By the time one is used again its flow is over. */
const clientPorts = { min: 10_000, max: 29_999 };
let lastPort = clientPorts.min;

function nextPort(): number {
  lastPort = lastPort === clientPorts.max ? clientPorts.min : lastPort + 1;
  return lastPort;
}

/** Sends one packet of a flow that is new, and says what became of it. */
function send({ query }: Question, sourcePort: number): Seen {
  if (!('device' in query)) throw new Error('not a packet');
  const { from, to, port, protocol, device, middle } = query;
  const flags = middle === true ? 'A' : 'S';
  const frame = build({ source: from, sourcePort, destination: to, destinationPort: port, protocol, flags });
  const ifindex = ifindexes.get(device);
  if (ifindex === undefined) throw new Error(`${device} is not selected`);
  const { retval, data } = datapath.testRun('bpf_lb_ingress', { data: frame, ifindex });
  if (retval === verdicts.drop) return { verdict: 'drop' };
  if (Buffer.compare(data, frame) === 0) {
    if (retval === verdicts.next) return { verdict: 'untouched' };
  } else if (isUnreachable(data, to, from)) {
    if (retval === verdicts.redirect) return { verdict: 'reject' };
  } else {
    const after = parse(data);
    if (!after.valid) return { verdict: 'broken', detail: `wrong checksums, ${describe(retval, data)}` };
    if (after.source === to && after.destination === from && after.destinationPort === sourcePort) {
      if (retval === verdicts.redirect) return { verdict: 'reject' };
    } else if (retval === verdicts.redirect || retval === verdicts.next) {
      const snat = after.source !== from;
      if (snat && !isOwn(after.source))
        return { verdict: 'broken', detail: `${after.source} is not the node's, ${describe(retval, data)}` };
      return { verdict: 'forward', backend: endpoint(after.destination, after.destinationPort), snat };
    }
  }
  return { verdict: 'broken', detail: describe(retval, data) };
}

function isOwn(address: string): boolean {
  return extra.includes(address) || nodeAddresses.includes(address);
}

/** Every so many packets explain() is asked before. */
const explainedEvery = 4;

/** It answers for the first packet of a flow. */
function explain(balancer: LoadBalancer, { query }: Question, fromPort: number): Verdict | undefined {
  if (!('device' in query) || query.middle === true) return undefined;
  const { from, to, port, protocol, device } = query;
  return balancer.explain({ from, fromPort, to, port, protocol, device });
}

function describe(retval: number, frame: Uint8Array): string {
  return `returned ${retval} with ${Buffer.from(frame).toString('hex')}`;
}

/** An ICMP or ICMPv6 message from the address asked for, that says that the port is unreachable. */
function isUnreachable(frame: Uint8Array, from: string, to: string): boolean {
  const packet = Buffer.from(frame).subarray(14);
  const v4 = (packet[0] as number) >> 4 === 4;
  const [protocol, type, code] = v4 ? [packet[9], 3, 3] : [packet[6], 1, 4];
  if (protocol !== (v4 ? 1 : 58)) return false;
  const at = (start: number, size: number) =>
    ipaddr.fromByteArray([...packet.subarray(start, start + size)]).toString();
  const [source, destination] = v4 ? [at(12, 4), at(16, 4)] : [at(8, 16), at(24, 16)];
  const message = packet.subarray(v4 ? 20 : 40);
  return message[0] === type && message[1] === code && source === from && destination === to;
}

function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function wantedOf({ query }: Question): Wanted {
  const { to, port, protocol, mapped } = query;
  if (protocol === 'SCTP') throw new Error('sockets of SCTP are not asked');
  if (mapped === true) return [6, protocol, `::ffff:${to}`, port];
  return [to.includes(':') ? 6 : 4, protocol, to, port];
}

function seenOf({ query }: Question, connected: Connected): Seen {
  if ('error' in connected) {
    if (connected.error === 'ECONNREFUSED') return { verdict: 'reject' };
    if (connected.error === 'ETIMEDOUT') return { verdict: 'drop' };
    return { verdict: 'broken', detail: connected.error };
  }
  const [told, real] = [connected.told, connected.real].map(([address, port]) => endpoint(address, port));
  const asked = endpoint(query.to, query.port);
  if (told !== asked) return { verdict: 'broken', detail: `asked for ${asked}, told of ${told}, is ${real}` };
  return real === asked
    ? { verdict: 'untouched' }
    : { verdict: 'forward', backend: real as string, snat: false };
}

/** Asks sockets of one side, all of them at once. */
async function connectAll(
  side: 'host' | 'pod',
  questions: readonly Question[],
  seen: Seen[][],
): Promise<void> {
  const asked = questions.flatMap((question, i) => {
    if (!('socket' in question.query) || question.query.socket !== side) return [];
    return Array.from({ length: question.draws }, () => i);
  });
  if (asked.length === 0) return;
  if (!clients) throw new Error('there are no clients');
  const answers = await clients[side].connect(asked.map((i) => wantedOf(questions[i] as Question)));
  for (const [n, i] of asked.entries())
    seen[i]?.push(seenOf(questions[i] as Question, answers[n] as Connected));
}

async function ask(questions: readonly Question[]): Promise<Outcome> {
  const seen = questions.map((): Seen[] => []);
  /* In the order of the plan, because pins depend on it. */
  if (!lb) throw new Error('there is no LoadBalancer');
  const explained: (Verdict | undefined)[] = [];
  const ports = questions.map(({ query }) => ('device' in query ? nextPort() : undefined));
  for (const [i, question] of questions.entries()) {
    if (!('device' in question.query)) continue;
    const port = ports[i] as number;
    explained[i] = i % explainedEvery === 0 ? explain(lb, question, port) : undefined;
    seen[i]?.push(send(question, port));
    for (let n = 1; n < question.draws; n++) seen[i]?.push(send(question, nextPort()));
  }
  for (const side of ['host', 'pod'] as const) await connectAll(side, questions, seen);
  return { seen: seen.map(distinct), ports, explained };
}

function distinct(seen: readonly Seen[]): Seen[] {
  return [...new Map(seen.map((one) => [JSON.stringify(one), one])).values()];
}

async function attempt(change: () => Promise<unknown>): Promise<Outcome> {
  try {
    await change();
    return { code: undefined };
  } catch (error) {
    return { code: (error as { code?: string }).code ?? String(error) };
  }
}

function setAddress(address: string, present: boolean): void {
  const v6 = address.includes(':');
  const change = ['addr', present ? 'add' : 'del', `${address}/${v6 ? 128 : 32}`, 'dev', extraDevice];
  /* Else it could not be used at once. */
  const command = present && v6 ? [...change, 'nodad'] : change;
  const { status, stderr } = spawnSync('ip', command, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${command.join(' ')}: ${stderr}`);
  extra = present ? [...extra, address] : extra.filter((one) => one !== address);
}

async function act(balancer: LoadBalancer, action: Action): Promise<Outcome> {
  switch (action.kind) {
    case 'upsert':
      return attempt(() => balancer.upsertService(action.service));
    case 'apply':
      return attempt(() => balancer.apply(action.services));
    case 'delete':
      return attempt(() => balancer.deleteService(action.name));
    case 'address':
      setAddress(action.address, action.present);
      return attempt(() => balancer.selectDevices());
    case 'ask':
      return ask(action.questions);
  }
}

const functions = {
  /** Opens a LoadBalancer with the options, in the place of the one before. */
  async open(options: OpenOptions): Promise<void> {
    await lb?.close();
    lb = await LoadBalancer.open(options);
    ifindexes.clear();
    for (const { name, ifindex } of lb.devices) ifindexes.set(name, ifindex);
  },
  /** Starts the processes that have sockets. */
  startClients(pod: readonly string[], cgroup: string): void {
    clients = { host: new SocketClient([], cgroup), pod: new SocketClient(pod, cgroup) };
  },
  /** Begins with no services, and the addresses that the node has by itself. */
  async play(actions: readonly Action[]): Promise<Outcome[]> {
    if (!lb) throw new Error('there is no LoadBalancer');
    await lb.apply([]);
    if (extra.length > 0) {
      for (const address of extra) setAddress(address, false);
      await lb.selectDevices();
    }
    const outcomes: Outcome[] = [];
    for (const action of actions) outcomes.push(await act(lb, action));
    return outcomes;
  },
  async close(): Promise<void> {
    await lb?.close();
    lb = undefined;
    await clients?.host.close();
    await clients?.pod.close();
    clients = undefined;
  },
};

/** What the agent can be asked for. */
export type FuzzAgent = typeof functions;

answerParent(functions);
