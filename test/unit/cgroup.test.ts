import assert from 'node:assert/strict';

import { mountPoints } from '../../lib/cgroup';

describe('mount points in mountinfo', () => {
  const unified = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
  const hybrid =
    '24 23 0:21 / /sys/fs/cgroup rw shared:2 - tmpfs tmpfs rw,mode=755\n' +
    '25 24 0:22 / /sys/fs/cgroup/cpu rw shared:3 - cgroup cgroup rw,cpu\n' +
    '31 24 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw\n';

  it('of cgroup v2 alone', () => {
    assert.deepEqual(mountPoints(unified, 'cgroup2'), ['/sys/fs/cgroup']);
  });

  it('of cgroup v2 beside v1 controllers', () => {
    assert.deepEqual(mountPoints(hybrid, 'cgroup2'), ['/sys/fs/cgroup/unified']);
  });

  it('without optional fields', () => {
    const line = '31 24 0:27 / /mnt/cgroup rw - cgroup2 none rw\n';
    assert.deepEqual(mountPoints(line, 'cgroup2'), ['/mnt/cgroup']);
  });

  it('that only show a part of the hierarchy do not count', () => {
    const bound = '77 24 0:27 /system.slice /run/part rw - cgroup2 cgroup2 rw\n';
    assert.deepEqual(mountPoints(bound, 'cgroup2'), []);
    assert.deepEqual(mountPoints(bound + unified, 'cgroup2'), ['/sys/fs/cgroup']);
  });

  it('with blanks in their path', () => {
    const line = '31 24 0:27 / /mnt/my\\040cgroup\\134x rw - cgroup2 none rw\n';
    assert.deepEqual(mountPoints(line, 'cgroup2'), ['/mnt/my cgroup\\x']);
  });

  it('are none where there is none', () => {
    assert.deepEqual(mountPoints('', 'cgroup2'), []);
    assert.deepEqual(mountPoints(hybrid.split('\n').slice(0, 2).join('\n'), 'cgroup2'), []);
  });
});
