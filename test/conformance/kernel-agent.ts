import { LoadBalancer, type OpenOptions, type ServiceSpec } from '../../lib';
import { loadNative } from '../../lib/native';
import { build } from '../program/packets';
import { answerParent } from '../support/cluster/process';
import { fateOf } from '../support/packet-fate';
import type { Datapath } from '../../types/native';
import { distinct, drawsFor, type Question, type Seen } from './datapath';

/*
 * Runs in the namespace of the node: holds a real LoadBalancer, and sends packets through its programs by
 * BPF_PROG_TEST_RUN.
 */

/* The LoadBalancer's own way to the kernel, which it keeps to itself, runs its programs, too. */
const native = loadNative();
const load = native.load.bind(native);
let datapath: Datapath;
native.load = async (...args) => (datapath = await load(...args));

let lb: LoadBalancer | undefined;
let addresses: readonly string[] = [];
const ifindexes = new Map<string, number>();

/* Ports of clients: by the time one is used again its flow is over. */
const clientPorts = { min: 10_000, max: 29_999 };
let lastPort = clientPorts.min;

function nextPort(): number {
  lastPort = lastPort === clientPorts.max ? clientPorts.min : lastPort + 1;
  return lastPort;
}

/** Sends the first packet of a flow that is new. */
function send(device: string, { from, to, port, protocol }: Question): Seen {
  const ifindex = ifindexes.get(device);
  if (ifindex === undefined) throw new Error(`${device} is not selected`);
  const data = build({
    source: from,
    sourcePort: nextPort(),
    destination: to,
    destinationPort: port,
    protocol,
  });
  const result = datapath.testRun('bpf_lb_ingress', { data, ifindex });
  const fate = fateOf(data, result.retval, result.data);
  if (fate.verdict !== 'forward') return fate;
  const { verdict, backend, source } = fate;
  const snat = source !== from;
  if (snat && !addresses.includes(source))
    return { verdict: 'broken', detail: `${source} is not the node's, and goes to ${backend}` };
  return { verdict, backend, snat };
}

function opened(): LoadBalancer {
  if (!lb) throw new Error('there is no LoadBalancer');
  return lb;
}

const functions = {
  /** Opens a LoadBalancer in the place of the one before. `own`: addresses of the node. */
  async open(options: OpenOptions, own: readonly string[]): Promise<void> {
    await lb?.close();
    lb = await LoadBalancer.open(options);
    addresses = own;
    ifindexes.clear();
    for (const { name, ifindex } of lb.devices) ifindexes.set(name, ifindex);
  },
  async apply(services: readonly ServiceSpec[]): Promise<void> {
    await opened().apply(services);
  },
  async upsert(service: ServiceSpec): Promise<void> {
    await opened().upsertService(service);
  },
  async remove(name: string): Promise<void> {
    await opened().deleteService(name);
  },
  /** Of questions by packets. */
  send(questions: readonly Question[]): Seen[][] {
    return questions.map((question) => {
      const { asker, backends } = question;
      if (asker.kind !== 'packet') throw new Error('not a packet');
      return distinct(Array.from({ length: drawsFor(backends + 1) }, () => send(asker.device, question)));
    });
  },
  async close(): Promise<void> {
    await lb?.close();
    lb = undefined;
  },
};

/** What the agent can be asked for. */
export type KernelAgent = typeof functions;

answerParent(functions);
