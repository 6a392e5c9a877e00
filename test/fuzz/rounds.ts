import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';

import type { OpenOptions } from '../../lib/options';
import { options as anyOptions, steps as anySteps } from './arbitraries';
import { planCase, type Planned, type Side, type Step } from './case';
import { compare, Difference } from './compare';
import type { Kernel } from './kernel';
import { Simulation } from './simulation';

/**
 * - `packets`, `sockets`: what the kernel does, with what the model and the simulator say.
 * - `simulator`: what the simulator says, with what the model says.
 */
export const kinds = ['packets', 'sockets', 'simulator'] as const;
export type Kind = (typeof kinds)[number];

/** Questions in a sweep. */
const sweeps: Record<Kind, number> = { packets: 200, sockets: 100, simulator: 1000 };

const sides: Record<Kind, readonly Side['kind'][]> = {
  packets: ['packet'],
  /* With some packets between them: both have the same pins. */
  sockets: ['socket', 'socket', 'packet'],
  simulator: ['packet', 'socket'],
};

/** Many cases with the same options, all of which follow from the seed. */
export interface Round {
  readonly kind: Kind;
  readonly seed: number;
  readonly cases: number;
  /** Where fast-check found a failure before: runs that case alone. */
  readonly path?: string | undefined;
}

/** Counts of questions whose answers were compared, by who with whom. */
export interface RoundResult {
  readonly cases: number;
  readonly model: number;
  readonly simulator: number;
  /** What was found, and how to find it again. */
  readonly failure: string | undefined;
}

type Compared = Pick<RoundResult, 'model' | 'simulator'>;

async function playerOf(
  kind: Kind,
  kernel: Kernel | undefined,
  options: OpenOptions,
): Promise<(planned: readonly Planned[]) => Promise<Compared>> {
  const simulation = await Simulation.open(options);
  if (kind === 'simulator') {
    let cases = 0;
    return async (planned) => {
      const model = compare(planned, await simulation.play(planned));
      if (cases++ % 16 === 0) await playTwice(planned, options);
      return { model, simulator: 0 };
    };
  }
  if (!kernel) throw new Error('there is no kernel');
  await kernel.open(options);
  return async (planned) => {
    const outcomes = await kernel.play(planned);
    return {
      model: compare(planned, outcomes),
      simulator: await simulation.follow(planned, outcomes),
    };
  };
}

/** A case has to go the same way in two simulators that are new. */
async function playTwice(planned: readonly Planned[], options: OpenOptions): Promise<void> {
  const [once, again] = [await Simulation.open(options), await Simulation.open(options)];
  if (!isDeepStrictEqual(await once.play(planned), await again.play(planned)))
    throw new Difference('two new simulators have chosen differently');
}

/** Plays one case. Throws where something differs; returns how many answers were compared with the model. */
export async function playCase(
  kernel: Kernel | undefined,
  kind: Kind,
  options: OpenOptions,
  steps: readonly Step[],
): Promise<number> {
  const play = await playerOf(kind, kernel, options);
  const { model } = await play(planCase(steps, options, sides[kind]));
  return model;
}

/** Plays cases until one differs, which is then made as small as can be. */
export async function runRound(
  kernel: Kernel | undefined,
  { kind, seed, cases, path }: Round,
): Promise<RoundResult> {
  const [options = {}] = fc.sample(anyOptions(kind === 'packets'), { seed, numRuns: 1 });
  const play = await playerOf(kind, kernel, options);
  const totals = { model: 0, simulator: 0 };
  let failed = false;
  const property = fc.asyncProperty(
    anySteps(sides[kind], kind !== 'simulator', sweeps[kind]),
    async (steps: Step[]) => {
      try {
        const { model, simulator } = await play(planCase(steps, options, sides[kind]));
        if (failed) return;
        totals.model += model;
        totals.simulator += simulator;
      } catch (error) {
        failed = true;
        throw error;
      }
    },
  );
  const result = await fc.check(property, {
    seed,
    numRuns: cases,
    /* A failure that does not come each time would be reduced for ever. */
    interruptAfterTimeLimit: 60_000,
    ...(path === undefined ? {} : { path }),
  });
  const failure = [
    `${kind}: ${(result.errorInstance as Error | undefined)?.message ?? 'interrupted'}`,
    `options: ${JSON.stringify(options)}`,
    `steps, after ${result.numShrinks} reductions: ${JSON.stringify(result.counterexample?.[0], null, 1)}`,
    `again: npm run fuzz -- --only ${kind} --seed ${seed} --path ${result.counterexamplePath}`,
  ].join('\n');
  return { cases: result.numRuns, ...totals, failure: result.failed ? failure : undefined };
}
