import type { Figure } from './figures';

interface Aim {
  readonly group: string;
  readonly name: string;
  /** Which number of the figure is meant. */
  readonly of: 'value' | 'ratio' | 'difference';
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** In ns over a program that does nothing. */
const packets: Readonly<Record<string, number>> = {
  'no service': 40,
  "no service, from a port of SNAT's": 40,
  "no service, to a service's port": 40,
  'one hot flow': 110,
  '65,536 flows, scattered': 500,
  '65,536 flows, replies': 500,
  'new flow, tables full': 1600,
};

/*
 * What was aimed at before there was anything to measure. Those in ns were set on a machine that is faster than many:
 * see the yardstick.
 */
const aims: readonly Aim[] = [
  ...['1 service', '10,000 services', '100,000 services'].flatMap((services): Aim[] => [
    { group: 'TCP connect()', name: `bpf-lb, ${services}`, of: 'ratio', atMost: 1.06 },
    { group: 'Hooks', name: `connect hook + release hook, TCP, ${services}`, of: 'difference', atMost: 260 },
  ]),
  {
    group: 'Hooks',
    name: 'connect hook, UDP, a random one of 10,000 services',
    of: 'difference',
    atMost: 500,
  },
  ...['no service', "no service, on a service's port"].map((what): Aim => ({
    group: 'Hooks',
    name: `connect hook + release hook, TCP, ${what}`,
    of: 'difference',
    atMost: 60,
  })),
  ...Object.entries(packets).map(([name, atMost]): Aim => ({
    group: 'Packets, IPv4',
    name,
    of: 'difference',
    atMost,
  })),
  { group: 'Short TCP connections', name: 'bpf-lb', of: 'ratio', atLeast: 1 },
  { group: 'Bulk TCP', name: 'bpf-lb', of: 'ratio', atLeast: 0.97 },
  { group: 'Control plane', name: 'apply(), cold, 10,000 services x 10', of: 'value', atMost: 120 },
  { group: 'Control plane', name: 'apply(), cold, 100,000 services x 10', of: 'value', atMost: 1200 },
  {
    group: 'Control plane',
    name: 'upsertService() of one service, 10,000 services x 10, median',
    of: 'value',
    atMost: 150,
  },
  {
    group: 'Control plane',
    name: 'upsertService() of one service, 10,000 services x 10, 99th percentile',
    of: 'value',
    atMost: 1000,
  },
];

/** What was aimed at for a figure, in words; empty where nothing was. */
export function aimOf(figure: Figure): string {
  const aim = aims.find(({ group, name }) => group === figure.group && name === figure.name);
  if (!aim) return '';
  const limit = (aim.atMost ?? aim.atLeast ?? 0).toLocaleString('en', {
    minimumFractionDigits: aim.of === 'ratio' ? 2 : 0,
  });
  const bound = aim.atLeast === undefined ? '' : '>= ';
  if (aim.of === 'ratio') return `${bound}x ${limit}`;
  return aim.of === 'difference' ? `${bound}+${limit} ${figure.unit}` : `${bound}${limit} ${figure.unit}`;
}
