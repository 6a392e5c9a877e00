import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Datapath } from '../../types/native';
import {
  child,
  cleanupAfterEach,
  inNamespace,
  makeBpffs,
  makeCgroup,
  makeNamespace,
  native,
  options,
  requireRoot,
  run,
} from './support';

/** Names of the programs attached to a cgroup, as the kernel says. */
function programsAt(cgroup: string): string[] {
  const attached = JSON.parse(run('bpftool', '-j', 'cgroup', 'show', cgroup).trim() || '[]') as {
    name: string;
  }[];
  return attached.map(({ name }) => name).sort();
}

describe('native links', () => {
  const cleanup = cleanupAfterEach();
  let datapath: Datapath;

  before(function () {
    requireRoot(this);
  });

  beforeEach(async () => {
    datapath = await native.load({ ...options, skipPrograms: ['bpf_lb_ingress'] });
    cleanup.add(() => datapath.close());
  });

  describe('to a cgroup', () => {
    it('attaches and detaches', async () => {
      const cgroup = makeCgroup(cleanup);
      const connect = await datapath.attachCgroup('bpf_lb_connect4', cgroup);
      const recvmsg = await datapath.attachCgroup('bpf_lb_recvmsg6', cgroup);
      assert.ok(connect.id > 0);
      assert.notEqual(connect.id, recvmsg.id);
      assert.equal(connect.attached(), true);
      assert.deepEqual(programsAt(cgroup), ['bpf_lb_connect4', 'bpf_lb_recvmsg6']);

      connect.detach();
      connect.detach();
      assert.equal(connect.attached(), false);
      assert.equal(recvmsg.attached(), true);
      assert.deepEqual(programsAt(cgroup), ['bpf_lb_recvmsg6']);
      assert.throws(() => connect.pin('/nowhere'), { code: 'ERR_BPF_CLOSED' });
    });

    it('leaves programs of others in place', async () => {
      const cgroup = makeCgroup(cleanup);
      const other = await native.load({ ...options, skipPrograms: ['bpf_lb_ingress'] });
      cleanup.add(() => other.close());
      const foreign = await other.attachCgroup('bpf_lb_connect4', cgroup);
      const own = await datapath.attachCgroup('bpf_lb_connect4', cgroup);
      assert.deepEqual(programsAt(cgroup), ['bpf_lb_connect4', 'bpf_lb_connect4']);
      own.detach();
      assert.equal(foreign.attached(), true);
      assert.deepEqual(programsAt(cgroup), ['bpf_lb_connect4']);
    });

    it('detaches at close(), and refuses to work then', async () => {
      const cgroup = makeCgroup(cleanup);
      const link = await datapath.attachCgroup('bpf_lb_connect4', cgroup);
      datapath.close();
      assert.deepEqual(programsAt(cgroup), []);
      assert.throws(() => link.attached(), { code: 'ERR_BPF_CLOSED' });
      assert.throws(() => link.pin('/nowhere'), { code: 'ERR_BPF_CLOSED' });
      link.detach();
      assert.ok(link.id > 0);
    });

    it('attaches nothing when close() comes first', async () => {
      const cgroup = makeCgroup(cleanup);
      const attaching = datapath.attachCgroup('bpf_lb_connect4', cgroup);
      datapath.close();
      await assert.rejects(attaching, { code: 'ERR_BPF_CLOSED' });
      assert.deepEqual(programsAt(cgroup), []);
    });

    it('notices that its cgroup was removed', async () => {
      const cgroup = makeCgroup(cleanup);
      const inner = path.join(cgroup, 'inner');
      fs.mkdirSync(inner);
      const link = await datapath.attachCgroup('bpf_lb_connect4', inner);
      fs.rmdirSync(inner);
      // The kernel does this on a work queue.
      for (let i = 0; link.attached() && i < 100; i++) await setTimeout(20);
      assert.equal(link.attached(), false);
      link.detach();
    });

    it('stays after close() when it is pinned, until the pin goes', async () => {
      const cgroup = makeCgroup(cleanup);
      const pin = path.join(makeBpffs(cleanup), 'link');
      const link = await datapath.attachCgroup('bpf_lb_connect4', cgroup);
      link.pin(pin);
      datapath.close();
      assert.deepEqual(programsAt(cgroup), ['bpf_lb_connect4']);
      fs.unlinkSync(pin);
      assert.deepEqual(programsAt(cgroup), []);
    });

    it('detaches a pinned link and removes the pin', async () => {
      const cgroup = makeCgroup(cleanup);
      const pin = path.join(makeBpffs(cleanup), 'link');
      const link = await datapath.attachCgroup('bpf_lb_connect4', cgroup);
      link.pin(pin);
      link.detach();
      assert.deepEqual(programsAt(cgroup), []);
      assert.equal(fs.existsSync(pin), false);
      assert.equal(link.attached(), false);
    });

    it('does not pin over what is there', async () => {
      const pin = path.join(makeBpffs(cleanup), 'link');
      const link = await datapath.attachCgroup('bpf_lb_connect4', makeCgroup(cleanup));
      link.pin(pin);
      assert.throws(() => link.pin(pin), { code: 'EEXIST', syscall: 'bpf_obj_pin', target: pin });
    });

    it('rejects what is no cgroup', async () => {
      const attach = (target: string) => datapath.attachCgroup('bpf_lb_connect4', target);
      await assert.rejects(attach('/proc'), { code: 'EBADF', syscall: 'bpf_link_create', target: '/proc' });
      await assert.rejects(attach('/proc/none'), { code: 'ENOENT', syscall: 'open', target: '/proc/none' });
      await assert.rejects(attach('/proc/version'), { code: 'ENOTDIR', syscall: 'open' });
    });

    it('names the cgroup, and the programs on the hook', async () => {
      const cgroup = makeCgroup(cleanup);
      const inner = fs.mkdtempSync(path.join(cgroup, 'inner-'));
      cleanup.add(() => fs.rmdirSync(inner));
      const link = await datapath.attachCgroup('bpf_lb_connect4', cgroup);
      assert.equal(link.cgroup(), fs.statSync(cgroup, { bigint: true }).ino);
      assert.equal(link.state(), 'attached');
      const { id } = datapath.programInfo('bpf_lb_connect4');
      const programs = [{ id, name: 'bpf_lb_connect4' }];
      assert.deepEqual(datapath.cgroupPrograms('bpf_lb_connect4', cgroup, false), { multi: true, programs });
      assert.deepEqual(datapath.cgroupPrograms('bpf_lb_connect4', inner, false).programs, []);
      assert.deepEqual(datapath.cgroupPrograms('bpf_lb_connect4', inner, true).programs, programs);
      assert.deepEqual(datapath.cgroupPrograms('bpf_lb_connect6', cgroup, true).programs, []);
      link.detach();
      assert.deepEqual([link.cgroup(), link.state()], [0n, 'detached']);
      assert.throws(() => datapath.cgroupPrograms('bpf_lb_connect4', '/', false), {
        syscall: 'bpf_prog_query',
      });
      assert.throws(() => datapath.cgroupPrograms('bpf_lb_egress', cgroup, false), { name: 'TypeError' });
    });

    it('rejects programs that belong elsewhere', async () => {
      const cgroup = makeCgroup(cleanup);
      const invalid = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
      await assert.rejects(datapath.attachCgroup('bpf_lb_egress', cgroup), invalid);
      await assert.rejects(datapath.attachTcx('bpf_lb_connect4', 1), invalid);
      await assert.rejects(datapath.attachClsact('bpf_lb_connect4', 1, 'egress'), invalid);
      assert.throws(() => datapath.attachCgroup('bpf_lb_ingress', cgroup), invalid);
    });
  });

  it('throws for arguments of the wrong type', () => {
    const wrong = datapath as unknown as Record<string, (...args: unknown[]) => unknown>;
    assert.throws(() => wrong['attachCgroup']!('bpf_lb_connect4'), { name: 'TypeError' });
    assert.throws(() => wrong['attachCgroup']!(1, '/'), { name: 'TypeError' });
    assert.throws(() => wrong['attachTcx']!('bpf_lb_egress', '1'), { name: 'TypeError' });
    assert.throws(() => wrong['attachTcx']!('bpf_lb_egress', -1), { name: 'RangeError' });
    assert.throws(() => wrong['attachTcx']!('bpf_lb_egress', 2 ** 31), { name: 'RangeError' });
    assert.throws(() => wrong['attachClsact']!('bpf_lb_egress', 1, 'both'), { name: 'TypeError' });
    const detach = (...args: unknown[]) => (native.detachFilter as (...args: unknown[]) => void)(...args);
    const place = { priority: 1, handle: 1 };
    assert.throws(() => detach('/nowhere', 1, 'both', place), { name: 'TypeError' });
    assert.throws(() => detach('/nowhere', 1, 'ingress', {}), { name: 'TypeError' });
    assert.throws(() => detach('/nowhere', 1, 'ingress', { ...place, priority: 65536 }), {
      name: 'RangeError',
    });
    assert.throws(() => detach('/nowhere', 1, 'ingress', place), { code: 'ENOENT', syscall: 'bpf_obj_get' });
  });

  // Each of these scripts asserts by itself, in a network namespace made for it.
  for (const [title, script] of [
    ['attaches to a device with tcx', 'tcx.ts'],
    ['attaches to a device with clsact filters', 'clsact.ts'],
    ['removes clsact filters when a process ends without close()', 'clsact-exit.ts'],
  ] as const) {
    it(title, () => {
      run(...inNamespace(makeNamespace(cleanup)), ...child(script, '--expose-gc'));
    });
  }
});
