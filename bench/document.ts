/*
 * document [FILE]: draws docs/plots/ and writes the tables of docs/benchmarks.md from what `npm run bench -- --json`
 * has written. FILE is docs/benchmarks.json unless another is given.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { drawPlots } from './plots';
import { columns, groups, type Report, rowOf } from './report';

const docs = path.join(__dirname, '..', 'docs');
const [begin, end] = ['<!-- figures -->', '<!-- end of figures -->'];

async function main(file: string): Promise<void> {
  const report = JSON.parse(await readFile(file, 'utf8')) as Report;
  await mkdir(path.join(docs, 'plots'), { recursive: true });
  for (const [name, svg] of drawPlots(report)) await writeFile(path.join(docs, 'plots', name), svg);
  const page = path.join(docs, 'benchmarks.md');
  const text = await readFile(page, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no place for the figures.`);
  await writeFile(page, `${text.slice(0, from + begin.length)}\n\n${tables(report)}\n${text.slice(to)}`);
}

function tables({ machine, figures, profiles }: Report): string {
  const lines = [
    `${machine.cpus} CPUs (${machine.cpuModel}), ${machine.memoryGB} GB, Linux ${machine.kernel}, Node.js ${machine.node}, ` +
      `${machine.iptables}, ${machine.nftables}. Load before: ${machine.loadBefore.toFixed(1)}.`,
    '',
  ];
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  for (const [group, members] of groups(figures)) {
    const baseline = members[0]?.baseline;
    const headings = ['', ...columns.slice(1), 'samples'];
    lines.push(`### ${group}`, '');
    if (baseline) lines.push(`Baseline: ${baseline.name}.`, '');
    lines.push(row(headings), row(headings.map((_, i) => (i === 0 ? '---' : '---:'))));
    for (const figure of members) lines.push(row([...rowOf(figure), figure.samples.toLocaleString('en')]));
    lines.push('');
  }
  if (profiles.length > 0) {
    const phases = [...new Set(profiles.flatMap((profile) => Object.keys(profile.phases)))];
    lines.push('### Phases of a cold apply(), profiled', '');
    lines.push(row(['ms', ...phases]), row(['---', ...phases.map(() => '---:')]));
    for (const profile of profiles) {
      const times = phases.map((phase) => (profile.phases[phase] ?? 0).toFixed(0));
      lines.push(row([`${profile.services.toLocaleString('en')} services x 10`, ...times]));
    }
    lines.push('');
  }
  return lines.join('\n');
}

void main(process.argv[2] ?? path.join(docs, 'benchmarks.json'));
