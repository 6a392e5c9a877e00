import { parseArgs } from 'node:util';

import { Kernel } from './kernel';
import { type Kind, kinds, runRound } from './rounds';

/*
 * npm run fuzz -- [--seconds N] [--seed S] [--only packets|sockets|simulator] [--path P]: random cases for so many
 * seconds (default 60). Each round of cases has options of its own.
 */

const casesPerRound: Record<Kind, number> = { packets: 200, sockets: 200, simulator: 50 };

interface Total {
  cases: number;
  model: number;
  simulator: number;
  seconds: number;
}

function usage(): never {
  console.error(`usage: fuzz [--seconds N] [--seed S] [--only ${kinds.join('|')}] [--path P]`);
  process.exit(2);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: 'string' },
      path: { type: 'string' },
    },
  });
  const wanted = kinds.filter((kind) => values.only === undefined || values.only === kind);
  const [seconds, first] = [Number(values.seconds), Number(values.seed)];
  if (wanted.length === 0 || !(seconds > 0) || !Number.isInteger(first)) usage();
  const isRoot = process.getuid?.() === 0;
  const able = wanted.filter((kind) => kind === 'simulator' || isRoot);
  const skipped = wanted.filter((kind) => !able.includes(kind));
  for (const kind of skipped) console.log(`skipped: ${kind} (needs root)`);

  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  const totals = new Map<Kind, Total>();
  let [passed, failed] = [0, 0];
  const kernel = able.some((kind) => kind !== 'simulator') ? await Kernel.make() : undefined;
  try {
    for (let seed = first; elapsed() < seconds && failed === 0 && able.length > 0; seed++) {
      for (const kind of able) {
        const start = elapsed();
        const round = { kind, seed, cases: casesPerRound[kind], path: values.path };
        const { cases, model, simulator, failure } = await runRound(kernel, round);
        const total = totals.get(kind) ?? { cases: 0, model: 0, simulator: 0, seconds: 0 };
        totals.set(kind, {
          cases: total.cases + cases,
          model: total.model + model,
          simulator: total.simulator + simulator,
          seconds: total.seconds + elapsed() - start,
        });
        if (failure === undefined) passed++;
        else failed++;
        if (failure !== undefined) console.log(`${failure}\n`);
      }
      if (values.path !== undefined) break;
    }
  } finally {
    await kernel?.close();
  }
  for (const [kind, { cases, model, simulator, seconds: taken }] of totals) {
    const rate = Math.round(model / taken);
    const also = simulator > 0 ? `, ${simulator} with the simulator` : '';
    console.log(
      `${kind}: ${model} answers compared with the model${also}; ${cases} cases, ${rate} per second`,
    );
  }
  console.log(`seed ${first}`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

void main();
