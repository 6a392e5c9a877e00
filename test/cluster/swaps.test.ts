import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import type { ServiceSpec } from '../../lib';
import { Cleanup } from '../support/cleanup';
import type { NodeFunctions } from '../support/cluster/agent';
import { cgroupMount, makeCgroup } from '../support/cluster/cgroup';
import { smallCapacity } from '../support/cluster/load-balancer';
import { Namespace } from '../support/cluster/namespace';
import { start } from '../support/cluster/process';
import { run } from '../support/cluster/shell';
import { skip } from '../support/skip';
import { specsOf, type Swaps, tell } from '../swaps/swap';

const threads = 3;

interface Kind {
  readonly more?: Pick<ServiceSpec, 'algorithm' | 'maglevTableSize'>;
  /** Of the places of a set; 1 each where nothing is said. */
  readonly weights?: readonly number[];
}

const kinds: readonly Kind[] = [
  {},
  { weights: [1, 2, 3, 4] },
  { more: { algorithm: 'maglev', maglevTableSize: 251 } },
  { more: { algorithm: 'least-connections' } },
];

/** Some of each kind: a commit swaps them all. */
const services: readonly Kind[] = Array.from({ length: 3 }, () => kinds).flat();

interface Choices {
  /** For each service, by the size of the set less one, by the place in the set. */
  readonly chosen: readonly (readonly (readonly number[])[])[];
  readonly mixed: number;
  readonly failed: number;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

describe('backend sets that are swapped', () => {
  const cleanup = new Cleanup();
  let directory: string;

  before('compile the client', function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (cgroupMount() === undefined) skip(this, 'needs a cgroup v2 mount');
    directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-swaps-'));
    cleanup.add(() => rmSync(directory, { recursive: true }));
    const source = path.join(__dirname, '..', 'swaps', 'choose.c');
    run(['cc', '-O2', '-Wall', '-pthread', '-o', path.join(directory, 'choose'), source]);
  });

  after(() => cleanup.run());

  it('are seen as the old or the new one by every connect() of many threads', async function () {
    const milliseconds = 4000;
    this.timeout(60_000);
    const namespace = Namespace.make(cleanup, 'swaps');
    namespace.ip('route add local 10.0.0.0/8 dev lo');
    const cgroup = makeCgroup(cleanup, 'swaps');
    const agent = await start<NodeFunctions>(cleanup, { namespace }, 'agent.ts');
    const id = await agent.open({ cgroup, capacity: smallCapacity });
    const swaps: Swaps = {
      services: services.map(({ more }, i) => ({
        name: `service ${i}`,
        frontends: (['TCP', 'UDP'] as const).map((protocol) => ({
          type: 'ClusterIP',
          address: `192.0.2.${i + 1}`,
          port: 80,
          protocol,
        })),
        ...more,
      })),
      port: 8080,
      weights: services.map(({ weights = [] }) => weights),
      file: path.join(directory, 'progress'),
      milliseconds: milliseconds + 1000,
    };
    await agent.upsertServices(id, specsOf(swaps, 1));
    tell(swaps.file, 1, 1);
    const swapping = agent.swap(id, swaps);
    const ask = namespace.enter(
      ...['sh', '-c', 'echo $$ > "$0" && exec "$@"', path.join(cgroup, 'cgroup.procs')],
      ...[path.join(directory, 'choose'), swaps.file, String(milliseconds), String(threads)],
      ...swaps.services.map((_, i) => `192.0.2.${i + 1}/80`),
    );
    const { stdout, stderr } = await promisify(execFile)(ask[0] as string, ask.slice(1));
    const choices = JSON.parse(stdout) as Choices;
    const swapped = await swapping;
    await agent.close(id);

    assert.deepEqual([choices.mixed, choices.failed], [0, 0], stderr);
    const checked = sum(choices.chosen.flat(2));
    const rate = Math.round(swapped / (swaps.milliseconds / 1000));
    console.log(`      ${swapped} swaps (${rate}/s), ${checked} choices of ${threads} threads`);
    for (const [service, sizes] of choices.chosen.entries()) {
      for (const places of sizes) {
        const shares = places.map((_, place) => services[service]?.weights?.[place] ?? 1);
        const isDrawn = services[service]?.more?.algorithm !== 'least-connections';
        places.forEach((count, place) => {
          const [share, due] = [count / sum(places), (shares[place] as number) / sum(shares)];
          const what = `service ${service}: ${count} of ${places.join(' + ')}, due ${due}`;
          assert.ok(isDrawn ? Math.abs(share - due) < 0.1 : count > 0, what);
        });
      }
    }
  });
});
