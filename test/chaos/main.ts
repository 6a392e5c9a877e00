import { release } from 'node:os';
import { parseArgs } from 'node:util';

import { Cleanup } from '../support/cleanup';
import { sweepBpffs } from '../support/cluster/bpffs';
import { cgroupMount, sweepCgroups } from '../support/cluster/cgroup';
import { sweepNamespaces } from '../support/cluster/namespace';
import { buildVariant, compileLoad } from './build';
import { describe, play } from './run';
import { scenarios } from './scenarios';
import { World } from './world';

/*
 * npm run chaos -- [--seconds N] [--only NAME[,NAME]] [--seed S]: each scenario until it is enough, and for so many
 * seconds at most (default 300).
 */

function usage(): never {
  console.error(
    `usage: chaos [--seconds N] [--seed S] [--only NAME[,NAME]]: of ${Object.keys(scenarios).join(', ')}`,
  );
  process.exit(2);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '300' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: 'string', default: Object.keys(scenarios).join() },
    },
  });
  const [seconds, seed, names] = [Number(values.seconds), Number(values.seed), values.only.split(',')];
  if (!(seconds > 0) || !Number.isInteger(seed) || names.some((name) => !(name in scenarios))) usage();
  if (process.getuid?.() !== 0 || cgroupMount() === undefined) {
    console.log('skipped: all (needs root and cgroup v2)');
    console.log(`\n0 passed, 0 failed, ${names.length} skipped`);
    return;
  }
  sweepNamespaces();
  sweepCgroups();
  sweepBpffs();
  compileLoad();
  let skipped = 0;
  let [passed, failed] = [0, 0];
  const world = new World(new Cleanup());
  try {
    for (const name of names) {
      const { scenario, enough, needs } = scenarios[name]!;
      if (needs && !needs.isMet(release())) {
        console.log(`skipped: ${name} (${needs.reason})`);
        skipped++;
        continue;
      }
      if (name === 'upgrade') buildVariant();
      const outcome = await play(
        world,
        scenario,
        { ...enough, seconds: Math.min(seconds, enough.seconds) },
        seed,
      );
      console.log(describe(name, outcome));
      for (const problem of outcome.problems) console.log(`       ${problem}`);
      if (outcome.problems.length === 0) passed++;
      else failed++;
    }
  } finally {
    await world.close();
  }
  console.log(`seed ${seed}`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}

void main();
