import { aimOf } from './aims';
import type { ApplyProfile } from './control-plane';
import type { Figure } from './figures';
import type { Machine } from './machine';

/** All that one run measured, as it is written with `--json`. */
export interface Report {
  readonly machine: Machine;
  readonly figures: readonly Figure[];
  readonly profiles: readonly ApplyProfile[];
}

/** A figure as a row of text: name, value, ratio, difference, aim. */
export function rowOf(figure: Figure): string[] {
  const { name, unit, value, ratio, ratioInterval, difference } = figure;
  return [
    name,
    `${number(value)} ${unit}`,
    ratio === null || ratioInterval === null
      ? ''
      : `x ${ratio.toFixed(3)} (${ratioInterval.map((bound) => bound.toFixed(3)).join('-')})`,
    difference === null ? '' : `${difference < 0 ? '-' : '+'}${number(Math.abs(difference))} ${unit}`,
    aimOf(figure),
  ];
}

/** Headings of the columns of {@link rowOf}. */
export const columns = ['', 'value', 'to baseline (95 %)', 'over baseline', 'aim'] as const;

/** The figures by group, in the order in which groups appear. */
export function groups(figures: readonly Figure[]): Map<string, Figure[]> {
  const result = new Map<string, Figure[]>();
  for (const figure of figures) {
    const group = result.get(figure.group);
    if (group) group.push(figure);
    else result.set(figure.group, [figure]);
  }
  return result;
}

/** Tables for people. */
export function formatReport({ figures, profiles }: Report): string {
  const lines: string[] = [];
  for (const [group, members] of groups(figures)) {
    const title = members[0]?.baseline ? `${group} (baseline: ${members[0].baseline.name})` : group;
    const rows = members.map(rowOf);
    const widths = columns.map((column, i) =>
      Math.max(...[column, ...rows.map((row) => row[i] ?? '')].map((cell) => cell.length)),
    );
    const line = (cells: readonly string[]) =>
      cells
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd();
    lines.push('', title, line(columns), ...rows.map(line));
  }
  for (const { services, phases, hotSpots } of profiles) {
    const parts = Object.entries(phases).map(([phase, ms]) => `${phase} ${number(ms)} ms`);
    lines.push(
      '',
      `Where a cold apply() of ${services.toLocaleString('en')} services spends its time (profiled)`,
    );
    lines.push(
      parts.join(', '),
      ...hotSpots.map((spot) => `${number(spot.milliseconds).padStart(8)} ms  ${spot.function}`),
    );
  }
  return lines.join('\n');
}

/** Three digits that say something, no more. */
function number(value: number): string {
  return value.toLocaleString(
    'en',
    value < 100 ? { maximumFractionDigits: 1 } : { maximumFractionDigits: 0 },
  );
}
