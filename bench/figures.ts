import { median, medianInterval } from './statistics';

/** One measured figure. */
export interface Figure {
  /** What was measured, and of what: `TCP connect()`, `bpf-lb, 10,000 services`. */
  readonly group: string;
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  /** What it is compared with, measured in the same run; null where nothing is. */
  readonly baseline: { readonly name: string; readonly value: number } | null;
  /** Value to baseline: the median of the ratios of all rounds, with its 95 % confidence interval. */
  readonly ratio: number | null;
  readonly ratioInterval: readonly [low: number, high: number] | null;
  /** Value minus baseline: the median of the differences of all rounds. */
  readonly difference: number | null;
  readonly differenceInterval: readonly [low: number, high: number] | null;
  /** Single operations, or program runs, behind the value. */
  readonly samples: number;
}

/** A figure on its own: the median of the values. */
export function figure(
  group: string,
  name: string,
  unit: string,
  values: readonly number[],
  samples = values.length,
): Figure {
  return {
    group,
    name,
    unit,
    value: median(values),
    baseline: null,
    ratio: null,
    ratioInterval: null,
    difference: null,
    differenceInterval: null,
    samples,
  };
}

/** A figure beside its baseline. Both have one value per round; what is compared was measured within one round. */
export function pairedFigure(
  group: string,
  name: string,
  unit: string,
  values: readonly number[],
  baseline: { readonly name: string; readonly values: readonly number[] },
  samples: number,
): Figure {
  const pairs = values.map((value, round) => [value, baseline.values[round] as number] as const);
  const ratios = pairs.map(([value, base]) => value / base);
  const differences = pairs.map(([value, base]) => value - base);
  return {
    ...figure(group, name, unit, values, samples),
    baseline: { name: baseline.name, value: median(baseline.values) },
    ratio: median(ratios),
    ratioInterval: medianInterval(ratios),
    difference: median(differences),
    differenceInterval: medianInterval(differences),
  };
}
