import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { run } from './command';
import { type Figure, pairedFigure } from './figures';
import type { Lab } from './lab';

const operations = {
  random_number: 'random number',
  hash_same: 'hash lookup, always the same of 65,536',
  hash_random: 'hash lookup, a random one of 65,536',
  lru_insert_delete: 'LRU hash insert and delete',
} as const;

const repeat = 100_000;

/** What single BPF operations cost here, so that figures of two machines can be compared. */
export async function measureYardstick(lab: Lab, rounds: number): Promise<Figure[]> {
  const pins = path.join(lab.bpffs, 'yardstick');
  const packet = path.join(lab.work, 'packet');
  await writeFile(packet, new Uint8Array(64));
  await run('bpftool', ['prog', 'loadall', lab.object('yardstick'), pins]);
  const time = async (program: string) => {
    const output = await run('bpftool', [
      ...['--json', 'prog', 'run', 'pinned', path.join(pins, program)],
      ...['data_in', packet, 'repeat', String(repeat)],
    ]);
    return (JSON.parse(output) as { duration: number }).duration;
  };
  await time('fill');
  const baseline: number[] = [];
  const times = new Map(Object.keys(operations).map((program) => [program, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    baseline.push(await time('nothing'));
    for (const [program, values] of times) values.push(await time(program));
  }
  return Object.entries(operations).map(([program, name]) =>
    pairedFigure(
      'Yardstick',
      name,
      'ns',
      times.get(program) ?? [],
      { name: 'a program that does nothing', values: baseline },
      rounds * repeat,
    ),
  );
}
