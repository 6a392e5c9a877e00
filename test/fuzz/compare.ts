import { inspect, isDeepStrictEqual } from 'node:util';

import type { Verdict } from '../../lib/simulator';
import type { ServiceSpec } from '../../lib/spec';
import { type Expectation, Pins } from '../support/model';
import type { Planned, Question } from './case';

/** What was seen of a question. */
export type Seen =
  | { readonly verdict: 'reject' | 'drop' | 'untouched' }
  | {
      readonly verdict: 'forward';
      readonly backend: string;
      readonly snat: boolean;
      /** All that might have been chosen by a client that is not known yet, from one who knows. */
      readonly candidates?: readonly string[];
    }
  /** Something that should never be. */
  | { readonly verdict: 'broken'; readonly detail: string };

/** Of a change: the code of the error that it was refused with. Of questions: what was seen of each of them. */
export type Outcome = Changed | Answered;

export interface Changed {
  readonly code: string | undefined;
  /** Which clients had which backends is not known any more. */
  readonly forgotten?: boolean;
}

export interface Answered {
  /** Of each question all that was seen, each thing once. */
  readonly seen: readonly (readonly Seen[])[];
  /** Of each question the client's port, where it was a packet and asked once. */
  readonly ports?: readonly (number | undefined)[];
  /** Of some questions what explain() said just before. */
  readonly explained?: readonly (Verdict | undefined)[];
}

/** What plays cases: the kernel, the simulator. */
export interface Player {
  play(planned: readonly Planned[]): Promise<Outcome[]>;
}

/** Two say different things. */
export class Difference extends Error {}

/** What the model says, with the pins that are known. */
function settled(expectation: Expectation, pins: Pins, { query }: Question): Expectation {
  const known = pins.narrow(expectation, query.from);
  if (known.verdict !== 'forward' || query.middle !== true || known.choices.length === 1) return known;
  /* In the middle of a connection that is not known: Maglev tells the backend again, nobody else could. */
  return known.algorithm === 'maglev' ? known : { verdict: 'reject' };
}

/** Whether all that might have been chosen is what the model says. */
function sameCandidates(expectation: Expectation, seen: Seen): boolean {
  if (expectation.verdict !== 'forward' || seen.verdict !== 'forward' || !seen.candidates) return true;
  const [model, other] = [
    expectation.choices.map(({ backend }) => backend).sort(),
    [...seen.candidates].sort(),
  ];
  return isDeepStrictEqual(model, other);
}

function allows(expectation: Expectation, seen: Seen): boolean {
  if (seen.verdict !== 'forward' || expectation.verdict !== 'forward')
    return seen.verdict === expectation.verdict;
  return expectation.choices.some(({ backend, snat }) => backend === seen.backend && snat === seen.snat);
}

/** Whether explain() has said what was seen then. Routes, and what is drawn by chance, are left to the packet. */
function foretells(verdict: Verdict, expectation: Expectation, seen: Seen): boolean {
  if (verdict.reason === 'unserved-port') return seen.verdict === 'drop' || seen.verdict === 'untouched';
  if (seen.verdict !== 'forward' || expectation.verdict !== 'forward' || verdict.verdict !== 'forward')
    return seen.verdict === verdict.verdict;
  /* Each backend has its own answer to that. */
  if (seen.backend === verdict.backend && seen.snat && !verdict.snat) return false;
  const first = verdict.affinity === 'new' && expectation.algorithm !== 'least-connections';
  const known = first || verdict.affinity === 'hit' || expectation.algorithm === 'maglev';
  return known ? verdict.backend === seen.backend : verdict.candidates.includes(seen.backend);
}

/** Compares what was seen with what was planned. Returns how many questions were compared; throws a {@link Difference}. */
export function compare(planned: readonly Planned[], outcomes: readonly Outcome[]): number {
  let pins = new Pins();
  let services: readonly ServiceSpec[] = [];
  let compared = 0;
  for (const [i, plan] of planned.entries()) {
    const outcome = outcomes[i];
    if ('refusals' in plan) {
      const code = outcome && 'code' in outcome ? outcome.code : 'nothing';
      const fits = plan.refusals.length === 0 ? code === undefined : plan.refusals.includes(code ?? '');
      if (!fits)
        throw new Difference(
          `${show(plan.action)}\n  model: ${plan.refusals[0] ?? 'accepted'}\n  seen: ${code ?? 'accepted'}`,
        );
      services = plan.services;
      pins.update(services);
      if (outcome && 'code' in outcome && outcome.forgotten) pins = new Pins();
      continue;
    }
    for (const [n, question] of plan.action.questions.entries()) {
      const expectation = settled(plan.expected[n] as Expectation, pins, question);
      const seen = outcome && 'seen' in outcome ? (outcome.seen[n] ?? []) : [];
      const all = plan.expected[n] as Expectation;
      const wrong =
        seen.length === 0 || seen.some((one) => !allows(expectation, one) || !sameCandidates(all, one));
      const missing =
        question.draws > 1 &&
        expectation.verdict === 'forward' &&
        expectation.choices.some(
          ({ backend }) => !seen.some((one) => one.verdict === 'forward' && one.backend === backend),
        );
      if (wrong || missing)
        throw new Difference(
          `${show(question.query)}, asked ${question.draws} times\n  model: ${show(expectation)}\n` +
            `  seen: ${show(seen)}\n  services: ${show(services)}`,
        );
      const explained = (outcome as Answered).explained?.[n];
      if (explained && question.draws === 1 && !seen.every((one) => foretells(explained, all, one)))
        throw new Difference(
          `${show(question.query)}\n  explained: ${show(explained)}\n  seen: ${show(seen)}\n` +
            `  services: ${show(services)}`,
        );
      compared++;
      for (const one of seen)
        if (one.verdict === 'forward') pins.keep(expectation, question.query.from, one.backend);
    }
  }
  return compared;
}

function show(value: unknown): string {
  return inspect(value, { depth: 8, breakLength: 110, compact: 4 });
}
