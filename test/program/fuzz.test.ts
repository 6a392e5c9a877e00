import assert from 'node:assert/strict';

import type { Step } from '../fuzz/case';
import { Kernel } from '../fuzz/kernel';
import { kinds, playCase, runRound } from '../fuzz/rounds';
import { cgroupMount } from '../support/cluster/cgroup';
import { skip } from '../support/skip';

/** Options change with the round. */
const firstSeed = 20_260;
const sizes = {
  packets: { rounds: 3, cases: 30 },
  sockets: { rounds: 3, cases: 30 },
  simulator: { rounds: 8, cases: 12 },
};

describe('program: random services, changes and questions', function () {
  /* A failure is made small before it is reported. */
  this.timeout(300_000);
  let kernel: Kernel | undefined;

  after(() => kernel?.close());

  async function kernelFor(context: Mocha.Context): Promise<Kernel> {
    if (process.getuid?.() !== 0) skip(context, 'needs root');
    if (cgroupMount() === undefined) skip(context, 'needs a cgroup v2 mount');
    return (kernel ??= await Kernel.make());
  }

  for (const kind of kinds) {
    const who = kind === 'simulator' ? 'the simulator and the model' : 'kernel, model and simulator';
    it(`${kind}: ${who} say the same`, async function () {
      if (kind !== 'simulator') await kernelFor(this);
      const { rounds, cases } = sizes[kind];
      let compared = 0;
      for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
        const { failure, model } = await runRound(kernel, { kind, seed, cases });
        assert.equal(failure, undefined, failure);
        compared += model;
      }
      assert.ok(compared > 100 * rounds, `only ${compared} answers were compared`);
    });
  }

  it('found: sockets reach an address of the node in serviceCIDRs that no service has', async function () {
    const target = { address: '10.96.0.9', port: 80, protocol: 'UDP' } as const;
    const asked = (['host', 'pod'] as const).map((of) => ({
      side: { kind: 'socket', of, mapped: false } as const,
      target,
      often: false,
    }));
    const steps: Step[] = [
      { kind: 'ask', drafts: asked },
      { kind: 'address', address: target.address, present: true },
      { kind: 'ask', drafts: asked },
    ];
    const options = { devices: ['eth0', 'eth1', 'lxc0'], serviceCIDRs: ['10.96.0.0/24'] };
    assert.equal(await playCase(await kernelFor(this), 'sockets', options, steps), 4);
  });
});
