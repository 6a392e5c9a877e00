import { type Bar, barChart, grey, type Line, lineChart, palette } from './charts';
import type { Figure } from './figures';
import type { Report } from './report';

/** Drawings of a report: name of the file -> SVG. */
export function drawPlots(report: Report): Map<string, string> {
  return new Map([
    ['connect.svg', drawConnects(report)],
    ['hooks.svg', drawHooks(report)],
    ['packets.svg', drawPackets(report)],
    ['traffic.svg', drawTraffic(report)],
    ['apply.svg', drawApply(report)],
  ]);
}

function find({ figures }: Report, group: string, name: string): Figure {
  const found = figures.find((figure) => figure.group === group && figure.name === name);
  if (!found) throw new Error(`The report has no figure '${name}' in '${group}': measure all of them.`);
  return found;
}

function drawConnects(report: Report): string {
  const group = 'TCP connect()';
  const line = (colour: string, name: string, sizes: readonly number[]): Line => ({
    name,
    colour,
    points: sizes.map((services) => {
      const what = services === 1 ? '1 service' : `${services.toLocaleString('en')} services`;
      const { difference, differenceInterval } = find(report, group, `${name}, ${what}`);
      if (difference === null || differenceInterval === null) throw new Error(`${name} was not compared.`);
      const [low, high] = differenceInterval;
      return { x: services, y: difference, low, high };
    }),
  });
  const baseline = find(report, group, 'direct').value;
  return lineChart(
    'What a ClusterIP adds to a TCP connect()',
    `pod to pod on one node; a direct connect() takes ${Math.round(baseline).toLocaleString('en')} ns`,
    ['services', 'ns more than direct'],
    [
      line(palette[1], 'iptables rules', [1, 10_000]),
      line(palette[2], 'nftables rules', [1, 10_000]),
      line(palette[0], 'bpf-lb', [1, 10_000, 100_000]),
    ],
  );
}

function drawHooks(report: Report): string {
  const cases = [
    'TCP, 1 service',
    'TCP, 10,000 services',
    'TCP, 100,000 services',
    'TCP, a random one of 10,000 services',
    'TCP, a random one of 100,000 services',
    "TCP, no service, on a service's port",
    'TCP, no service',
    'UDP, 10,000 services',
    'UDP, a random one of 10,000 services',
    "UDP, no service, on a service's port",
  ];
  const bars = cases.map((name): Bar => {
    const [connect, release, both] = ['connect hook', 'release hook', 'connect hook + release hook'].map(
      (hook) => find(report, 'Hooks', `${hook}, ${name}`),
    ) as [Figure, Figure, Figure];
    const over = [connect, release].map(({ difference }) => Math.max(0, difference ?? 0));
    return {
      name,
      parts: [both.baseline?.value ?? 0, ...over],
      note: `+${Math.round(both.difference ?? 0).toLocaleString('en')} ns`,
    };
  });
  return barChart(
    'What the hooks cost a socket',
    "by the kernel's statistics; beside the bars, what they take more than two programs that do nothing",
    'ns',
    [
      { name: 'two programs that do nothing', colour: grey },
      { name: 'connect hook', colour: palette[0] },
      { name: 'release hook', colour: palette[4] },
    ],
    bars,
  );
}

function drawPackets({ figures }: Report): string {
  const families = ['IPv4', 'IPv6'];
  const bars = families.flatMap((family, i) =>
    figures
      .filter(({ group }) => group === `Packets, ${family}`)
      .map(({ name, difference }): Bar => {
        const over = Math.max(0, difference ?? 0);
        return {
          name,
          parts: families.map((_, k) => (k === i ? over : 0)),
          note: `+${Math.round(over).toLocaleString('en')} ns`,
        };
      }),
  );
  return barChart(
    'What a packet costs at the ingress of a device',
    'source NAT at tc, 100 backends; more than a program that does nothing with the same packets',
    'ns',
    [
      { name: 'IPv4', colour: palette[0] },
      { name: 'IPv6', colour: palette[5] },
    ],
    bars,
  );
}

function drawTraffic(report: Report): string {
  const routes = ['bpf-lb', 'iptables rules', 'nftables rules'];
  const groups = ['Short TCP connections', 'CPU time of a short TCP connection', 'Bulk TCP'];
  const bars = groups.flatMap((group) =>
    routes.map((route, i): Bar => {
      const { ratio } = find(report, group, route);
      return {
        name: group,
        parts: routes.map((_, k) => (k === i ? (ratio ?? 0) : 0)),
        note: `x ${(ratio ?? 0).toFixed(3)}`,
      };
    }),
  );
  return barChart(
    'Traffic through a NodePort, beside plain forwarding',
    'ratio to what a node without rules forwards in the same round; of CPU time, less is better',
    'plain forwarding = 1',
    routes.map((name, i) => ({ name, colour: [palette[0], palette[1], palette[2]][i] as string })),
    bars,
  );
}

function drawApply({ profiles }: Report): string {
  const phases = [...new Set(profiles.flatMap((profile) => Object.keys(profile.phases)))];
  const bars = profiles.map((profile): Bar => {
    const parts = phases.map((phase) => ((profile.phases[phase] ?? 0) * 1000) / profile.services);
    const sum = parts.reduce((total, part) => total + part, 0);
    return {
      name: `${profile.services.toLocaleString('en')} services x 10`,
      parts,
      note: `${sum.toFixed(1)} us`,
    };
  });
  return barChart(
    'Where a cold apply() spends its time, for each service with its ten backends',
    'by the profiler, which makes everything slower: for the shares',
    'us for each service',
    phases.map((name, i) => ({ name, colour: palette[i % palette.length] as string })),
    bars,
  );
}
