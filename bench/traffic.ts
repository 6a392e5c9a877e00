import type { OpenOptions } from 'bpf-lb';

import { run } from './command';
import { type Figure, pairedFigure } from './figures';
import { nodePort, nodePortService, withGateway } from './gateway';
import { applyRules, type RulesKind } from './kube-proxy-rules';
import type { Lab } from './lab';
import { addresses, type PodPath } from './network';
import { backendAddress, backendPort, backendsPerService } from './services';

type Mode = 'connections' | 'bulk';

/** A way from a client through its node to a server. */
interface Route {
  readonly name: string;
  readonly pods: PodPath;
  /** `address:port` */
  readonly to: string;
}

/** A line of the program's output: times in ns, units are connections or bytes. */
interface Line {
  path: number;
  units: number;
  failures: number;
  time: number;
  cpu: number;
}

/** What routes are compared with: the node forwards between its devices, and has no rules. */
const forwarding = 'plain forwarding';

const service = nodePortService(
  Array.from({ length: backendsPerService }, (_, i) => backendAddress(0, i)),
  backendPort,
);
const toNodePort = `${addresses.clientGateway}:${nodePort}`;

/** Connections and bulk through a NodePort, beside plain forwarding and beside kube-proxy's rules. */
export async function measureTraffic(lab: Lab, { rounds }: { rounds: number }): Promise<Figure[]> {
  const direct = async (name: string): Promise<Route> => ({
    name,
    pods: await lab.podPath(name.replaceAll(/\W+/g, '-')),
    to: `${backendAddress(0, 0)}:${backendPort}`,
  });
  const ruled = async (kind: RulesKind): Promise<Route> => {
    const pods = await lab.podPath(`traffic-${kind}`);
    await applyRules(pods, kind, 1, 0, nodePort);
    return { name: `${kind} rules`, pods, to: toNodePort };
  };
  const otherNode = await lab.podPath('traffic-other');
  const thisNode = await lab.podPath('traffic-this');
  const peers = await lab.podPath('traffic-peers');
  const routes: Route[] = [
    await direct(forwarding),
    await direct(`${forwarding}, once more`),
    { name: 'bpf-lb', pods: otherNode, to: toNodePort },
    { name: 'bpf-lb, backend on the node', pods: thisNode, to: toNodePort },
    { name: 'bpf-lb, redirectPeer', pods: peers, to: toNodePort },
    await ruled('iptables'),
    await ruled('nftables'),
  ];
  /* A backend behind a device that is not selected is the node's own: it sees the client, and there is no SNAT. */
  const served: [PodPath, OpenOptions][] = [
    [otherNode, { devices: ['client', 'server'] }],
    [thisNode, { devices: ['client'] }],
    [peers, { devices: ['client', 'server'], redirectPeer: true }],
  ];
  const compareAll = async () => {
    const slices = Math.max(10, Math.ceil(rounds / 15));
    const connections = await measure(lab, 'connections', slices, routes);
    const bulk = await measure(lab, 'bulk', slices, routes);
    const cpu = ({ cpu, units }: Line) => cpu / units / 1000;
    return [
      ...compare('Short TCP connections', '/s', connections, ({ units, time }) => (units / time) * 1e9),
      ...compare('CPU time of a short TCP connection', 'us', connections, cpu),
      ...compare('Bulk TCP', 'Mbit/s', bulk, ({ units, time }) => (units / time) * 8000),
    ];
  };
  const serveAll = served.reduce(
    (use, [{ node }, options]) =>
      () =>
        withGateway(node, options, service, use),
    compareAll,
  );
  return serveAll();
}

/** By route, a line per round. Rejects when connections failed. */
async function measure(
  lab: Lab,
  mode: Mode,
  rounds: number,
  routes: readonly Route[],
): Promise<Map<string, Line[]>> {
  const paths = routes.map(
    ({ pods: { client, server }, to }) => `client=${client},to=${to},server=${server},listen=${backendPort}`,
  );
  const output = await run(lab.tool('traffic'), ['-m', mode, '-r', String(rounds), ...paths], {
    timeout: 120_000,
  });
  const results = routes.map((): Line[] => []);
  for (const text of output.trim().split('\n')) {
    const line = JSON.parse(text) as Line;
    if (line.failures > 0 || line.units === 0)
      throw new Error(`${mode} over ${routes[line.path]?.name}: ${line.failures} failed.`);
    results[line.path]?.push(line);
  }
  return new Map(routes.map(({ name }, i) => [name, results[i] as Line[]]));
}

function compare(
  group: string,
  unit: string,
  results: ReadonlyMap<string, readonly Line[]>,
  valueOf: (line: Line) => number,
): Figure[] {
  const values = (name: string) => (results.get(name) ?? []).map(valueOf);
  const baseline = { name: forwarding, values: values(forwarding) };
  return [...results.keys()].map((name) =>
    pairedFigure(group, name, unit, values(name), baseline, values(name).length),
  );
}
