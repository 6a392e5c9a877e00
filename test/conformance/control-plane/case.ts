import type { Protocol } from '../../../lib/spec';
import type { Outcome } from '../report';

/* Files of control-plane cases, as JSON has them. docs/conformance.md says what each kind asks. */

/** A case; its other fields depend on the kind. */
export interface ControlPlaneCase {
  readonly id: string;
  readonly kind: string;
  readonly notes?: string;
  readonly sequence?: { readonly group: string; readonly step: number };
}

/** Something that a case asks, and what came out. */
export interface Check {
  readonly name: string;
  readonly outcome: Outcome;
}

/** Runs the steps of one sequence, or one case. The results are in the order of the steps. */
export type Runner<C extends ControlPlaneCase> = (steps: readonly C[]) => Promise<Check[][]> | Check[][];

/** Runs each step by itself. */
export function each<C extends ControlPlaneCase>(run: (one: C) => Promise<Check[]> | Check[]): Runner<C> {
  return async (steps) => {
    const results: Check[][] = [];
    for (const step of steps) results.push(await run(step));
    return results;
  };
}

/** A port of a Service as cases have it. */
export interface CasePort {
  readonly name?: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort?: number;
}
