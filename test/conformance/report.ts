/** What became of one question of a case. */
export type Outcome =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly expected: string; readonly got: string }
  | { readonly kind: 'skipped'; readonly reason: string };

/** A question, by its case and its name within it, and what became of it. */
export interface Result {
  readonly id: string;
  readonly name: string;
  readonly outcome: Outcome;
}

/** All results of a run. */
export class Report {
  readonly results: Result[] = [];

  add(id: string, name: string, outcome: Outcome): void {
    this.results.push({ id, name, outcome });
  }

  count(kind: Outcome['kind']): number {
    return this.results.filter(({ outcome }) => outcome.kind === kind).length;
  }

  /** What differs, what was skipped by reason, and the totals. */
  format(): string {
    const lines: string[] = [];
    const skipped = new Map<string, string[]>();
    for (const { id, name, outcome } of this.results) {
      if (outcome.kind === 'failed') {
        lines.push(`FAILED ${id}: ${name}`, `  expected: ${outcome.expected}`, `  got:      ${outcome.got}`);
      } else if (outcome.kind === 'skipped') {
        skipped.set(outcome.reason, [...(skipped.get(outcome.reason) ?? []), `${id}: ${name}`]);
      }
    }
    for (const [reason, of] of skipped) lines.push(`skipped: ${reason}`, ...of.map((one) => `  ${one}`));
    const totals = (['passed', 'failed', 'skipped'] as const).map((kind) => `${this.count(kind)} ${kind}`);
    return [...lines, totals.join(', ')].join('\n');
  }
}

/** Passed if the texts are the same. */
export function compared(expected: unknown, got: unknown): Outcome {
  const [wanted, seen] = [textOf(expected), textOf(got)];
  return wanted === seen ? { kind: 'passed' } : { kind: 'failed', expected: wanted, got: seen };
}

/** JSON, with keys in an order of their own. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
