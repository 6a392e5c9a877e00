import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { cgroupMount } from '../support/cluster/cgroup';
import { skip } from '../support/skip';

/** `npm run soak` does the same for longer. */
describe('cycles of opening and closing', () => {
  it('leave nothing held', function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (cgroupMount() === undefined) skip(this, 'needs a cgroup v2 mount');
    const script = path.join(__dirname, '../soak/main.ts');
    const args = ['--expose-gc', '--import', 'tsx', script, '--native', '20', '--open', '2', '--kept', '2'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 55_000 });
    assert.match(stdout, /^3 passed, 0 failed, 0 skipped$/m, `${stdout}${stderr}`);
  });
});
