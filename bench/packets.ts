import type { OpenOptions } from 'bpf-lb';

import { run } from './command';
import { type Figure, pairedFigure } from './figures';
import { nodePort, nodePortService, withGateway } from './gateway';
import type { Lab } from './lab';
import { fileOf, ip, setSysctls } from './network';

/** Flow table entries of each family: a flow takes two. */
const entries = 524_288;
const flows = 65_536;
const backendCount = 100;

/** A node, addressed from both sides, and what lies behind the next hop of each. */
interface Sides {
  readonly prefixLength: number;
  readonly any: string;
  /** The node's address on `eth0`, and the router to the clients. */
  readonly frontend: string;
  readonly clientRouter: string;
  /** First addresses of 65,536 each. */
  readonly clients: string;
  readonly newcomers: string;
  /** The node's address on `eth1`, and the node with the backends. */
  readonly node: string;
  readonly backendRouter: string;
  readonly backends: string;
  readonly backend: (number: number) => string;
  /** Among the backends, and of no service. */
  readonly elsewhere: string;
}

const families: Readonly<Record<string, Sides>> = {
  IPv4: {
    prefixLength: 24,
    any: '0.0.0.0/0',
    frontend: '203.0.113.1',
    clientRouter: '203.0.113.2',
    clients: '198.18.0.0',
    newcomers: '198.19.0.0',
    node: '10.0.9.1',
    backendRouter: '10.0.9.2',
    backends: '10.244.2.0/24',
    backend: (number) => `10.244.2.${number + 1}`,
    elsewhere: '10.244.2.200',
  },
  IPv6: {
    prefixLength: 64,
    any: '::/0',
    frontend: '2001:db8:1::1',
    clientRouter: '2001:db8:1::2',
    clients: '2001:db8:2::',
    newcomers: '2001:db8:3::',
    node: 'fd00:9::1',
    backendRouter: 'fd00:9::2',
    backends: 'fd00:2::/64',
    backend: (number) => `fd00:2::${(number + 1).toString(16)}`,
    elsewhere: 'fd00:2::c8',
  },
};

/** What packets.c calls its cases -> how they are shown. */
const cases: Readonly<Record<string, string>> = {
  'FIB lookup': 'yardstick: a FIB lookup alone',
  'no service': 'no service',
  'no service, SNAT port': "no service, from a port of SNAT's",
  'no service, service port': "no service, to a service's port",
  'one flow': 'one hot flow',
  'all flows': '65,536 flows, scattered',
  'replies of all flows': '65,536 flows, replies',
  'new flow': 'new flow, tables full',
};

/** Where the kernel is asked whether it knows the connection, and for comparison where it is not. */
const newCases: typeof cases = {
  'one flow': 'one hot flow',
  'new flow': 'new flow, tables full',
};

/** A line of the program's output. */
interface Line {
  case: string;
  runs: number;
  nothing: number;
  program: number;
}

/** What the ingress programs of devices take for a packet, beside a program that does nothing with the same packets. */
export async function measurePackets(lab: Lab, { rounds }: { rounds: number }): Promise<Figure[]> {
  const namespace = 'packets';
  await makeNode(namespace);
  const figures: Figure[] = [];
  for (const [family, sides] of Object.entries(families)) {
    const backends = Array.from({ length: backendCount }, (_, i) => sides.backend(i));
    const measure = (options: OpenOptions) =>
      withGateway(
        fileOf(namespace),
        { devices: ['eth0', 'eth1'], capacity: { flows: entries }, ...options },
        nodePortService(backends, 80),
        () => runTool(lab, fileOf(namespace), Math.max(10, Math.round(rounds / 20)), sides),
      );
    figures.push(...figuresOf(`Packets, ${family}`, await measure({}), cases));
    const left = await measure({ existingConnections: 'leave' });
    figures.push(...figuresOf(`Packets, ${family}, connections of the kernel left to it`, left, newCases));
  }
  return figures;
}

/** Two devices, neighbours that are known, routes to clients and backends; what is sent there goes nowhere. */
async function makeNode(namespace: string): Promise<void> {
  await run('ip', ['netns', 'add', namespace]);
  await setSysctls(namespace, [
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
    'net.ipv6.conf.default.accept_dad=0', // addresses serve at once
  ]);
  const all = Object.values(families);
  const device = (name: string, addressOf: (sides: Sides) => string) => [
    `link add ${name} type veth peer name ${name}-peer`,
    `link set ${name} up`,
    `link set ${name}-peer up`,
    ...all.map((sides) => `address add ${addressOf(sides)}/${sides.prefixLength} dev ${name}`),
  ];
  await ip(namespace, [
    'link set lo up',
    ...device('eth0', ({ frontend }) => frontend),
    ...device('eth1', ({ node }) => node),
    ...all.flatMap(({ any, clientRouter, backendRouter, backends }) => [
      `neighbour add ${clientRouter} lladdr 02:00:00:00:00:02 dev eth0`,
      `neighbour add ${backendRouter} lladdr 02:00:00:00:00:03 dev eth1`,
      `route add ${any} via ${clientRouter}`,
      `route add ${backends} via ${backendRouter}`,
    ]),
  ]);
}

function runTool(lab: Lab, node: string, rounds: number, sides: Sides): Promise<string> {
  const { frontend, clients, newcomers, elsewhere } = sides;
  const args = [
    ...[`--net=${node}`, lab.tool('packets'), '-r', rounds, '-f', flows, '-e', entries],
    ...['eth0', 'eth1', frontend, nodePort, clients, newcomers, elsewhere],
  ];
  return run('nsenter', args.map(String), { timeout: 120_000 });
}

function figuresOf(group: string, output: string, titles: typeof cases): Figure[] {
  const lines = output
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as Line);
  return Object.entries(titles).map(([name, title]) => {
    const own = lines.filter((line) => line.case === name);
    return pairedFigure(
      group,
      title,
      'ns',
      own.map(({ program }) => program),
      { name: 'a program that does nothing', values: own.map(({ nothing }) => nothing) },
      own.reduce((sum, { runs }) => sum + runs, 0),
    );
  });
}
