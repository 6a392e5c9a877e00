import assert from 'node:assert/strict';
import { release } from 'node:os';

import { Cleanup } from '../support/cleanup';
import { cgroupMount } from '../support/cluster/cgroup';
import { skip } from '../support/skip';
import { buildVariant, compileLoad } from '../chaos/build';
import { describe as inWords, play } from '../chaos/run';
import { scenarios } from '../chaos/scenarios';
import { World } from '../chaos/world';

/** `npm run chaos` does the same for longer. */
describe('connections and flows under load', () => {
  let world: World | undefined;

  before('make the cluster', function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (cgroupMount() === undefined) skip(this, 'needs a cgroup v2 mount');
    compileLoad();
    world = new World(new Cleanup());
  });

  after(() => world?.close());

  for (const [name, { what, scenario, needs }] of Object.entries(scenarios)) {
    it(`none is lost by ${what}`, async function () {
      if (needs && !needs.isMet(release())) skip(this, needs.reason);
      this.timeout(120_000);
      if (name === 'upgrade') buildVariant();
      const outcome = await play(world!, scenario, { times: 4, seconds: 3 }, 1);
      assert.deepEqual(outcome.problems, [], inWords(name, outcome));
    });
  }
});
