import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { inputKinds } from '../fuzz/inputs';
import { cgroupMount } from '../support/cluster/cgroup';
import { skip } from '../support/skip';

const seed = 20_260;

describe('program: malformed input', function () {
  this.timeout(120_000);

  /* In a process of its own: a crash is a failed test. */
  for (const kind of inputKinds) {
    it(`${kind}: is taken or refused, and breaks nothing`, function () {
      const kernel = kind === 'api' || kind === 'native' || kind === 'frames';
      if (kernel && process.getuid?.() !== 0) skip(this, 'needs root');
      if (kind === 'api' && cgroupMount() === undefined) skip(this, 'needs a cgroup v2 mount');
      const main = path.join(__dirname, '..', 'fuzz', 'main.ts');
      const args = ['--import', 'tsx', main, '--only', kind, '--rounds', '1', '--seed', String(seed)];
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.equal(signal ?? status, 0, stdout + stderr);
      assert.match(stdout, new RegExp(`^${kind}: [1-9]\\d{3,} inputs;`, 'm'));
    });
  }
});
