import path from 'node:path';

import { formatEndpoint } from '../../lib/address';
import type { OpenOptions } from '../../lib';
import type { SyncTarget } from '../../lib/kubernetes';
import { type Connected, SocketClient, type Wanted } from '../fuzz/socket-client';
import { Cleanup } from '../support/cleanup';
import { makeCgroup } from '../support/cluster/cgroup';
import { connect, Namespace } from '../support/cluster/namespace';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import {
  type Answer,
  type Datapath,
  distinct,
  drawsFor,
  type Pods,
  type Question,
  type Seen,
} from './datapath';
import type { KernelAgent } from './kernel-agent';
import { areSame, devices, familyOf, type NodeSettings, podDevice } from './node';

/** Refusals are not limited, and flows of earlier questions are soon over. */
const quick: OpenOptions = {
  flowLifetimes: { opening: 1, datagram: 1 },
  rejectsPerSecond: 1_000_000,
  followDevices: false,
  capacity: { frontends: 1023, backends: 8192, flows: 32_768, sockets: 4096 },
};

/** Of every device: frames for other stations are not looked at. */
const deviceAddress = '02:00:00:00:00:01';

/** Where everything is that is not on the node. */
const gateways = { 4: '169.254.0.254', 6: 'fe80::fe' } as const;

/** The size of the tables of TCP connections in new namespaces (Linux 6.1). */
const smallTables = '/proc/sys/net/ipv4/tcp_child_ehash_entries';

/** Marks the routes to pods. */
const podRoutes = 99;

/** A node in namespaces, which keeps its addresses. */
class Node {
  readonly addresses: readonly string[];
  readonly cgroup: string;
  readonly agent: Remote<KernelAgent>;
  readonly #cleanup: Cleanup;
  readonly #namespace: Namespace;
  readonly #others: Namespace;
  readonly #clients = new Map<string, SocketClient>();
  #settings: NodeSettings | undefined;

  private constructor(
    addresses: readonly string[],
    cleanup: Cleanup,
    namespace: Namespace,
    others: Namespace,
    cgroup: string,
    agent: Remote<KernelAgent>,
  ) {
    this.addresses = addresses;
    this.#cleanup = cleanup;
    this.#namespace = namespace;
    this.#others = others;
    this.cgroup = cgroup;
    this.agent = agent;
  }

  static async make(addresses: readonly string[]): Promise<Node> {
    const cleanup = new Cleanup();
    try {
      const cgroup = makeCgroup(cleanup, 'conformance');
      const others = Namespace.make(cleanup, 'conformance-others');
      /* Sockets are looked up in the kernel's list of them, which is read as slowly as its table is large. */
      others.run('sh', '-ec', `[ ! -e ${smallTables} ] || echo 256 > ${smallTables}`);
      const namespace = Namespace.make(cleanup, 'conformance', others);
      namespace.forward();
      /* The first device is the one by whose address sockets are known. */
      const names = [
        devices.clients,
        devices.others,
        ...[true, false].map((knowsPods) => podDevice({ knowsPods })),
      ];
      for (const device of names) {
        connect({ namespace, device }, { namespace: others, device: `${device}p` });
        namespace.ip(`link set ${device} address ${deviceAddress}`);
      }
      namespace.ip(
        ...addresses.map((address) => `addr add ${hostRoute(address)} dev ${devices.clients}`),
        `route add 0.0.0.0/0 via ${gateways[4]} dev ${devices.others} onlink`,
        `route add ::/0 via ${gateways[6]} dev ${devices.others}`,
      );
      const script = path.join('..', '..', 'conformance', 'kernel-agent.ts');
      const agent = await start<KernelAgent>(cleanup, { namespace }, script);
      cleanup.add(() => agent.close());
      return new Node(addresses, cleanup, namespace, others, cgroup, agent);
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  async open(settings: NodeSettings, pods: Pods): Promise<void> {
    const device = podDevice(settings);
    for (const version of ['-4', '-6'])
      this.#namespace.run('ip', version, 'route', 'flush', 'proto', `${podRoutes}`);
    const routes = Array.from(pods, (pod) => `route add ${hostRoute(pod)} dev ${device} proto ${podRoutes}`);
    if (routes.length > 0) this.#namespace.ip(...routes);
    if (this.#settings && areSame(this.#settings, settings)) return this.agent.apply([]);
    this.#settings = settings;
    const options = {
      ...quick,
      ...settings.options,
      devices: [devices.clients, devices.others, device],
      directRoutingDevice: devices.clients,
      cgroup: this.cgroup,
    };
    await this.agent.open(options, this.addresses);
  }

  /** Sockets of the node, or of the pod with an address. */
  clientOf({ asker, from }: Question): SocketClient {
    const place = asker.kind === 'socket' && asker.of === 'pod' ? from : '';
    const known = this.#clients.get(place);
    if (known) return known;
    const namespace = place === '' ? this.#namespace : this.#makePod(place);
    const client = new SocketClient(namespace.enter(), this.cgroup);
    this.#cleanup.add(() => client.close());
    this.#clients.set(place, client);
    return client;
  }

  /** Where its packets would go does not matter: none are sent. */
  #makePod(address: string): Namespace {
    const pod = Namespace.make(this.#cleanup, 'conformance-pod', this.#others);
    const device = 'eth0';
    connect(
      { namespace: pod, device, addresses: [hostRoute(address)] },
      { namespace: this.#others, device: `pod${this.#clients.size}` },
    );
    pod.ip(`route add ${familyOf(address) === 6 ? '::/0' : '0.0.0.0/0'} dev ${device}`);
    return pod;
  }

  close(): Promise<void> {
    return this.#cleanup.run();
  }
}

/** Asks the programs of this kernel: packets by BPF_PROG_TEST_RUN, sockets by what they do. Needs root, and cgroup v2. */
export class KernelDatapath implements Datapath {
  #node: Node | undefined;

  async open(settings: NodeSettings, pods: Pods): Promise<SyncTarget> {
    const node = await this.#nodeWith(settings.addresses);
    await node.open(settings, pods);
    const { agent } = node;
    return {
      apply: (desired) => agent.apply([...desired]),
      upsertService: (spec) => agent.upsert(spec),
      deleteService: (name) => agent.remove(name),
    };
  }

  async ask(questions: readonly Question[]): Promise<Answer[]> {
    const node = this.#node;
    if (!node) throw new Error('it is not open');
    const answers = new Map<Question, Seen[]>();
    const packets = questions.filter(({ asker }) => asker.kind === 'packet');
    const sent = await node.agent.send(packets);
    for (const [i, packet] of packets.entries()) answers.set(packet, sent[i] as Seen[]);
    const sockets = new Map<SocketClient, Question[]>();
    for (const question of questions) {
      if (question.asker.kind !== 'socket') continue;
      const client = node.clientOf(question);
      sockets.set(client, [...(sockets.get(client) ?? []), question]);
    }
    for (const [client, ofClient] of sockets) await connectAll(client, ofClient, answers);
    return questions.map((question) => ({ seen: answers.get(question) ?? [] }));
  }

  async close(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    await node?.close();
  }

  /** Another one in the place of the one before, if that has other addresses. */
  async #nodeWith(addresses: readonly string[]): Promise<Node> {
    if (this.#node?.addresses.join() === addresses.join()) return this.#node;
    await this.close();
    return (this.#node = await Node.make(addresses));
  }
}

function hostRoute(address: string): string {
  return `${address}/${familyOf(address) === 6 ? 128 : 32}`;
}

/** All at once, because that takes hardly longer than one. */
async function connectAll(
  client: SocketClient,
  questions: readonly Question[],
  answers: Map<Question, Seen[]>,
): Promise<void> {
  const often = questions.flatMap((question) =>
    Array.from({ length: drawsFor(question.backends + 1) }, () => question),
  );
  const connected = await client.connect(often.map(wantedOf));
  for (const question of questions) {
    const ends = connected.filter((_, i) => often[i] === question);
    answers.set(question, distinct(ends.map((end) => seenOf(question, end))));
  }
}

function wantedOf({ to, port, protocol }: Question): Wanted {
  if (protocol === 'SCTP') throw new Error('sockets of SCTP are not asked');
  return [familyOf(to), protocol, to, port];
}

function seenOf({ to, port }: Question, connected: Connected): Seen {
  if ('error' in connected) {
    if (connected.error === 'ECONNREFUSED') return { verdict: 'reject' };
    if (connected.error === 'ETIMEDOUT') return { verdict: 'drop' };
    return { verdict: 'broken', detail: connected.error };
  }
  const [told, real] = [formatEndpoint(...connected.told), formatEndpoint(...connected.real)];
  const asked = formatEndpoint(to, port);
  if (told !== asked) return { verdict: 'broken', detail: `asked for ${asked}, is told of ${told}` };
  return real === asked ? { verdict: 'untouched' } : { verdict: 'forward', backend: real };
}
