import { setTimeout as sleep } from 'node:timers/promises';

import { Cleanup } from '../support/cleanup';
import type { Counts } from './load';
import type { Enough, Scenario } from './scenarios';
import type { World } from './world';

export interface Outcome {
  readonly counts: Counts;
  /** What was done. */
  readonly done: string;
  readonly seconds: number;
  /** Why it failed; empty: it passed. */
  readonly problems: readonly string[];
}

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Plays a scenario under load until it is enough, from a LoadBalancer that is opened to one that is closed. */
export async function play(world: World, scenario: Scenario, enough: Enough, seed: number): Promise<Outcome> {
  const cleanup = new Cleanup();
  const problems: string[] = [];
  try {
    const first = await world.startProcess(cleanup);
    const firstId = await first.agent.open(world.options);
    await first.agent.apply(firstId, world.services());
    const load = await world.startLoad(cleanup);
    await sleep(500);
    const begin = performance.now();
    const isTime = (times: number) =>
      times < enough.times && performance.now() - begin < enough.seconds * 1000;
    const scene = { world, load, first, firstId, cleanup, isTime, random: randomFrom(seed) };
    const done = await scenario(scene).catch((error: Error) => {
      problems.push(error.stack ?? error.message);
      return 'not done';
    });
    const taken = (performance.now() - begin) / 1000;
    await sleep(500);
    const counts = await load.stop();
    problems.push(...load.complaints);
    const { attempted, failed, lost, unanswered } = counts;
    if (failed + lost + unanswered > 0 && problems.length === 0) problems.push('see the counts');
    if (attempted === 0) problems.push('no connection was attempted');
    return { counts, done, seconds: taken, problems };
  } finally {
    await cleanup.run();
    await closeForGood(world);
  }
}

/** What the last process left is adopted, and removed. */
async function closeForGood(world: World): Promise<void> {
  const cleanup = new Cleanup();
  try {
    const { agent } = await world.startProcess(cleanup);
    await agent.close(await agent.open(world.options));
  } finally {
    await cleanup.run();
  }
}

/** One line. */
export function describe(name: string, { counts, done, seconds, problems }: Outcome): string {
  const { attempted, failed, failures, slow, longest, flows, lost, bytes, questions, unanswered } = counts;
  const why = Object.entries(failures)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  return [
    `${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name}: ${done} in ${seconds.toFixed(1)} s`,
    `connections ${attempted} attempted, ${failed} failed${why.length > 0 ? ` (${why.join(', ')})` : ''}`,
    `flows ${flows} established, ${lost} lost`,
    `${questions} datagrams of flows, ${unanswered} lost`,
    `${Math.round(bytes / 1024)} KiB echoed; longest connection ${longest} ms, ${slow} over 900 ms`,
  ].join('; ');
}
