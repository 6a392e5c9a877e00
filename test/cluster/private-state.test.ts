import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { unprivilegedUser, withCapabilities } from '../support/cluster/unprivileged';
import { programsAtCgroup } from './kernel';

describe('state directory: other users', () => {
  const cluster = useTwoNodes();
  let stateDir: string;

  /** On a bpffs as most systems mount it: everybody may make directories there. */
  beforeEach(() => {
    const bpffs = mkdtempSync(path.join(tmpdir(), 'bpf-lb-private-'));
    chmodSync(bpffs, 0o755);
    cluster.cleanupEach.add(() => rmdirSync(bpffs));
    execFileSync('mount', ['-t', 'bpf', 'bpf-lb-test', bpffs]);
    cluster.cleanupEach.add(() => execFileSync('umount', [bpffs]));
    stateDir = path.join(bpffs, 'state');
  });

  const open = () => openLoadBalancer(cluster.cleanupEach, cluster.nodes[0], { stateDir, devices: ['eth0'] });

  /** Everything below a directory, by its path. */
  function below(directory: string): string[] {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const name = path.join(directory, entry.name);
      return entry.isDirectory() ? [name, ...below(name)] : [name];
    });
  }

  /** As another user who may use bpf(2), but not pass over the modes of files. */
  function readAsAnother(pin: string): boolean {
    const [file = '', ...args] = [...withCapabilities('CAP_BPF'), 'bpftool', 'map', 'show', 'pinned', pin];
    return spawnSync(file, args).status === 0;
  }

  it('nobody else can reach what is pinned', async () => {
    await open();
    const paths = [stateDir, ...below(stateDir)];
    assert.ok(paths.length > 20);
    for (const each of paths) assert.equal(statSync(each).mode & 0o077, 0, `${each} is open to others`);
    const pin = paths.find((each) => each.endsWith('/backends'));
    assert.ok(pin);
    assert.equal(readAsAnother(pin), false);

    /* It is the modes that keep the other user out. */
    for (let directory = path.dirname(pin); directory !== path.dirname(stateDir);) {
      chmodSync(directory, 0o755);
      directory = path.dirname(directory);
    }
    assert.equal(readAsAnother(pin), false);
    chmodSync(pin, 0o666);
    assert.equal(readAsAnother(pin), true);
  });

  it('a directory that is open to others is closed to them', async () => {
    mkdirSync(stateDir);
    chmodSync(stateDir, 0o777);
    await open();
    assert.equal(statSync(stateDir).mode & 0o777, 0o700);
  });

  it('a directory of another user is refused', async () => {
    mkdirSync(stateDir, { mode: 0o700 });
    chownSync(stateDir, unprivilegedUser, unprivilegedUser);
    await assert.rejects(open(), { code: 'ERR_BPF_PERMISSION', message: /belongs to user 64321, who could/ });
    assert.deepEqual(programsAtCgroup(cluster.nodes[0].cgroup), []);
    assert.deepEqual(readdirSync(stateDir), []);
  });
});
