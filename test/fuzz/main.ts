import { parseArgs } from 'node:util';

import { InputFuzzer, type InputKind, inputKinds } from './inputs';
import { Kernel } from './kernel';
import { type Kind as ComparedKind, kinds as comparedKinds, runRound } from './rounds';

/*
 * npm run fuzz -- [--seconds N] [--rounds N] [--seed S] [--only KIND[,KIND]] [--path P]: random cases for so many seconds
 * (default 60), or so many rounds of each kind. Each round of cases has options of its own.
 */

const kinds = [...comparedKinds, ...inputKinds] as const;
type Kind = ComparedKind | InputKind;

const casesPerRound: Record<ComparedKind, number> = { packets: 200, sockets: 200, simulator: 50 };

/** They ask the kernel nothing. */
const withoutRoot: readonly Kind[] = ['simulator', 'records', 'rtnetlink', 'saved', 'tables'];

function isCompared(kind: Kind): kind is ComparedKind {
  return (comparedKinds as readonly Kind[]).includes(kind);
}

/** Of one kind: counts by what was counted. */
interface Round {
  readonly counts: Readonly<Record<string, number>>;
  readonly failure: string | undefined;
}

/** What rounds need; made on first use. */
class Rounds {
  #kernel: Kernel | undefined;
  readonly #inputs = new InputFuzzer();

  async run(kind: Kind, seed: number, path: string | undefined): Promise<Round> {
    if (!isCompared(kind)) {
      const { inputs, failure } = await this.#inputs.run(kind, seed);
      const again = `again: npm run fuzz -- --only ${kind} --seed ${seed} --rounds 1`;
      return { counts: { inputs }, failure: failure && `${kind}: ${failure}\n${again}` };
    }
    if (kind !== 'simulator') this.#kernel ??= await Kernel.make();
    const round = { kind, seed, cases: casesPerRound[kind], path };
    const { cases, model, simulator, failure } = await runRound(this.#kernel, round);
    const counts = {
      cases,
      'answers compared with the model': model,
      ...(simulator > 0 && { 'with the simulator': simulator }),
    };
    return { counts, failure };
  }

  async close(): Promise<void> {
    await this.#inputs.close();
    await this.#kernel?.close();
  }
}

class Total {
  readonly #counts = new Map<string, number>();
  #seconds = 0;

  add(counts: Readonly<Record<string, number>>, seconds: number): void {
    for (const [what, n] of Object.entries(counts)) this.#counts.set(what, (this.#counts.get(what) ?? 0) + n);
    this.#seconds += seconds;
  }

  toString(): string {
    const counts = [...this.#counts];
    const rate = Math.round((counts.at(-1)?.[1] ?? 0) / this.#seconds);
    return `${counts.map(([what, n]) => `${n} ${what}`).join(', ')}; ${rate} per second`;
  }
}

function usage(): never {
  console.error(
    `usage: fuzz [--seconds N] [--rounds N] [--seed S] [--only KIND[,KIND]] [--path P]; kinds: ${kinds.join(', ')}`,
  );
  process.exit(2);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      rounds: { type: 'string', default: 'Infinity' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: 'string' },
      path: { type: 'string' },
    },
  });
  const only = values.only?.split(',') ?? kinds;
  if (!only.every((kind) => (kinds as readonly string[]).includes(kind))) usage();
  const wanted = kinds.filter((kind) => only.includes(kind));
  const [seconds, rounds, first] = [Number(values.seconds), Number(values.rounds), Number(values.seed)];
  if (!(seconds > 0) || !(rounds > 0) || !Number.isInteger(first)) usage();
  const isRoot = process.getuid?.() === 0;
  const able = wanted.filter((kind) => isRoot || withoutRoot.includes(kind));
  const skipped = wanted.filter((kind) => !able.includes(kind));
  for (const kind of skipped) console.log(`skipped: ${kind} (needs root)`);

  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  const totals = new Map<Kind, Total>(able.map((kind) => [kind, new Total()]));
  let [passed, failed] = [0, 0];
  const played = new Rounds();
  const last = values.path === undefined ? first + rounds : first + 1;
  try {
    for (let seed = first; seed < last && elapsed() < seconds && failed === 0 && able.length > 0; seed++) {
      for (const kind of able) {
        const start = elapsed();
        const { counts, failure } = await played.run(kind, seed, values.path);
        totals.get(kind)?.add(counts, elapsed() - start);
        if (failure === undefined) passed++;
        else failed++;
        if (failure !== undefined) console.log(`${failure}\n`);
      }
    }
  } finally {
    await played.close();
  }
  for (const [kind, total] of totals) console.log(`${kind}: ${String(total)}`);
  console.log(`seed ${first}`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

void main();
