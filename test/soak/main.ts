import path from 'node:path';
import { parseArgs } from 'node:util';

import { Cleanup } from '../support/cleanup';
import { mountBpffs, sweepBpffs } from '../support/cluster/bpffs';
import { cgroupMount, makeCgroup, sweepCgroups } from '../support/cluster/cgroup';
import { cycles, type Place } from './cycles';
import { type Holdings, holdings } from './holdings';

/*
 * npm run soak -- [--native N] [--open N] [--kept N]: so many cycles, then what is still held. `native`: the addon loads
 * tables and a program, attaches, watches, commits, closes. `open`: a LoadBalancer is opened, serves, tells, and is closed.
 * `kept`: the same, each on the state of the one before.
 */

/** Settled after so many cycles: what is made once is made. */
const warmUp = 50;
/** Tells how far it is after so many cycles. */
const stride = 1000;
/** What the heap may grow by in all cycles after that: the collector is in no hurry. */
const growth = 24 * 2 ** 20;

function describe({ bpf, descriptors, threads, rss }: Holdings): string {
  return `${bpf} BPF objects, ${descriptors} file descriptors, ${threads} threads, ${(rss / 2 ** 20).toFixed(1)} MiB`;
}

/** The kernel and the thread pool take a moment. */
async function settled(): Promise<Holdings> {
  for (let i = 0; ; i++) {
    const now = holdings();
    if (now.bpf === 0 || i === 50) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function soak(what: string, cycles: number, cycle: () => Promise<void>): Promise<boolean> {
  for (let i = 0; i < Math.min(warmUp, cycles); i++) await cycle();
  const before = await settled();
  const begin = performance.now();
  const elapsed = () => ((performance.now() - begin) / 1000).toFixed(0);
  for (let i = 1; i <= cycles; i++) {
    await cycle();
    if (i % stride === 0 && i < cycles) console.log(`${what}: ${i} of ${cycles} cycles, ${elapsed()} s`);
  }
  const seconds = elapsed();
  const after = await settled();
  const kept =
    after.bpf > before.bpf || after.descriptors > before.descriptors || after.threads > before.threads;
  const grown = after.rss - before.rss > growth;
  console.log(`${what}: ${cycles} cycles in ${seconds} s`);
  console.log(`  before: ${describe(before)}\n  after:  ${describe(after)}`);
  if (kept) console.log('  something is still held');
  if (grown) console.log(`  memory has grown by more than ${growth / 2 ** 20} MiB`);
  return !kept && !grown;
}

/** A cgroup, and a bpffs that goes with the run. */
function makePlace(cleanup: Cleanup): Place {
  const stateDir = path.join(mountBpffs(cleanup, 'soak'), 'state');
  return { cgroup: makeCgroup(cleanup, 'soak'), stateDir };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      native: { type: 'string', default: '10000' },
      open: { type: 'string', default: '500' },
      kept: { type: 'string', default: '500' },
    },
  });
  const names = Object.keys(cycles);
  if (process.getuid?.() !== 0 || cgroupMount() === undefined) {
    console.log('skipped: all (needs root and cgroup v2)');
    console.log(`\n0 passed, 0 failed, ${names.length} skipped`);
    return;
  }
  sweepCgroups();
  sweepBpffs();
  const cleanup = new Cleanup();
  let [passed, failed] = [0, 0];
  try {
    const place = makePlace(cleanup);
    for (const [name, cycle] of Object.entries(cycles)) {
      const count = Number(values[name as keyof typeof values]);
      if (!(count > 0)) continue;
      if (await soak(name, count, () => cycle(place))) passed++;
      else failed++;
    }
  } finally {
    await cleanup.run();
  }
  console.log(`\n${passed} passed, ${failed} failed, ${names.length - passed - failed} skipped`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

void main();
