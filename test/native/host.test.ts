import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { layouts } from '../../lib/abi';
import {
  child,
  cleanupAfterEach,
  inNamespace,
  makeBpffs,
  makeCgroup,
  makeNamespace,
  native,
  requireRoot,
  run,
} from './support';

const cgroup2 = 0x63677270;
const bpffs = 0xcafe4a11;

describe('native abi', () => {
  it('agrees with what the compiler of the BPF programs says', () => {
    assert.deepEqual(native.abi, layouts);
  });
});

describe('native netns()', () => {
  it('names the network namespace', function () {
    const { cookie, inode } = native.netns();
    assert.equal(inode, fs.statSync('/proc/self/ns/net').ino);
    assert.ok(cookie > 0n);
    assert.deepEqual(native.netns(), { cookie, inode });
  });
});

describe('native netnsOf()', () => {
  const cleanup = cleanupAfterEach();

  it('names the network namespace at a path', async function () {
    requireRoot(this);
    const name = makeNamespace(cleanup);
    const [cookie = '', inode] = run(...inNamespace(name), ...child('netns.ts')).split(' ');
    const told = await native.netnsOf(`/run/netns/${name}`);
    assert.deepEqual(told, { cookie: BigInt(cookie), inode: Number(inode) });
    assert.notDeepEqual(told, native.netns());
    assert.deepEqual(await native.netnsOf('/proc/self/ns/net'), native.netns());
  });

  it('leaves every thread of this process where it is', async function () {
    requireRoot(this);
    const name = makeNamespace(cleanup);
    await Promise.all(Array.from({ length: 20 }, () => native.netnsOf(`/run/netns/${name}`)));
    const threads = fs.readdirSync('/proc/self/task');
    assert.ok(threads.length > 1);
    const own = fs.readlinkSync('/proc/self/ns/net');
    for (const thread of threads) assert.equal(fs.readlinkSync(`/proc/self/task/${thread}/ns/net`), own);
  });

  it('rejects what is no network namespace', async function () {
    requireRoot(this);
    await assert.rejects(native.netnsOf('/proc/none'), {
      code: 'ENOENT',
      syscall: 'open',
      target: '/proc/none',
    });
    await assert.rejects(native.netnsOf('/proc/self/ns/mnt'), { code: 'EINVAL', syscall: 'setns' });
    await assert.rejects(native.netnsOf('/'), { code: 'EINVAL', syscall: 'setns', target: '/' });
  });

  it('throws for what is not a path', () => {
    assert.throws(() => native.netnsOf(1 as unknown as string), { name: 'TypeError' });
    assert.throws(() => native.netnsOf('a\0b'), { name: 'TypeError' });
  });
});

describe('native filesystemType()', () => {
  it('tells the file systems apart', () => {
    assert.equal(native.filesystemType('/proc'), 0x9fa0);
  });

  it('throws for a path that is not there', () => {
    assert.throws(() => native.filesystemType('/proc/none'), {
      name: 'Error',
      message: "ENOENT: no such file or directory, statfs '/proc/none'",
      code: 'ENOENT',
      errno: -2,
      syscall: 'statfs',
      target: '/proc/none',
    });
    assert.throws(() => native.filesystemType(1 as unknown as string), { name: 'TypeError' });
  });
});

describe('native host', () => {
  const cleanup = cleanupAfterEach();

  before(function () {
    requireRoot(this);
  });

  describe('mountBpffs()', () => {
    it('mounts a bpf file system that stays private', () => {
      const directory = makeBpffs(cleanup);
      assert.equal(native.filesystemType(directory), bpffs);
      const mount = fs
        .readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .find((line) => line.split(' ')[4] === directory);
      assert.ok(mount);
      assert.doesNotMatch(mount, /shared:|master:/);
    });

    it('throws for a path that is not there', () => {
      const expected = { code: 'ENOENT', syscall: 'mount', target: '/proc/none' };
      assert.throws(() => native.mountBpffs('/proc/none'), expected);
    });
  });

  describe('network()', () => {
    it('reads what `ip` reads, of many kinds of links, addresses and routes', () => {
      run(...inNamespace(makeNamespace(cleanup)), ...child('network.ts'));
    });
  });

  describe('network(path)', () => {
    it('reads another network namespace', async () => {
      const namespace = makeNamespace(cleanup);
      run('ip', '-n', namespace, 'tuntap', 'add', 'dev', 'tap7', 'mode', 'tap');
      const { links } = await native.network(`/run/netns/${namespace}`);
      assert.deepEqual(
        links.map(({ name, kind }) => ({ name, kind })),
        [
          { name: 'lo', kind: '' },
          { name: 'tap7', kind: 'tun' },
        ],
      );
      await assert.rejects(native.network('/none'), { code: 'ENOENT', syscall: 'open' });
    });
  });

  describe('canary()', () => {
    it('connects from inside the cgroup and leaves nothing behind', async () => {
      const cgroup = makeCgroup(cleanup);
      assert.equal(native.filesystemType(cgroup), cgroup2);
      const result = await native.canary(cgroup, '127.0.0.1', 80);
      assert.deepEqual(result, { connectErrno: 0, local: '127.0.0.1', peer: '127.0.0.1:80' });
      assert.deepEqual(
        fs.readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory()),
        [],
      );
    });

    it('connects over IPv6', async () => {
      const result = await native.canary(makeCgroup(cleanup), '::1', 80);
      assert.deepEqual(result, { connectErrno: 0, local: '::1', peer: '[::1]:80' });
    });

    it('runs several at a time', async () => {
      const cgroup = makeCgroup(cleanup);
      const ports = Array.from({ length: 10 }, (_, i) => i + 1);
      const results = await Promise.all(ports.map((port) => native.canary(cgroup, '127.0.0.1', port)));
      assert.deepEqual(
        results.map(({ peer }) => peer),
        ports.map((port) => `127.0.0.1:${port}`),
      );
    });

    it('connects in another network namespace', async () => {
      const cgroup = makeCgroup(cleanup);
      const namespace = makeNamespace(cleanup);
      const netns = `/run/netns/${namespace}`;
      run('ip', '-n', namespace, 'addr', 'add', '192.0.2.7/32', 'dev', 'lo');
      const { connectErrno, local } = await native.canary(cgroup, '192.0.2.7', 80, netns);
      assert.deepEqual({ connectErrno, local }, { connectErrno: 0, local: '192.0.2.7' });
      await assert.rejects(native.canary(cgroup, '127.0.0.1', 80, '/run/netns'), {
        code: 'EINVAL',
        syscall: 'setns',
      });
      await assert.rejects(native.canary(cgroup, '127.0.0.1', 80, '/none'), {
        code: 'ENOENT',
        syscall: 'open',
      });
    });

    it('reports why connect() failed', async () => {
      // Without the broadcast option, connecting a datagram socket to a broadcast address is forbidden.
      const result = await native.canary(makeCgroup(cleanup), '255.255.255.255', 80);
      assert.deepEqual(result, { connectErrno: os.constants.errno.EACCES, local: '', peer: '' });
    });

    it('rejects a directory that is no cgroup, and makes nothing there', async () => {
      const missing = path.join(makeCgroup(cleanup), 'none');
      await assert.rejects(native.canary(missing, '127.0.0.1', 80), { code: 'ENOENT', syscall: 'mkdtemp' });
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bpf-lb-test-'));
      cleanup.add(() => fs.rmdirSync(directory));
      await assert.rejects(native.canary(directory, '127.0.0.1', 80), { code: 'ENOENT', syscall: 'open' });
      assert.deepEqual(fs.readdirSync(directory), []);
    });

    it('throws for arguments that make no sense', () => {
      assert.throws(() => native.canary('/', 'localhost', 80), { name: 'TypeError' });
      assert.throws(() => native.canary('/', '127.0.0.1', 65_536), { name: 'RangeError' });
      assert.throws(() => native.canary('/', '127.0.0.1', -1), { name: 'RangeError' });
    });
  });
});
