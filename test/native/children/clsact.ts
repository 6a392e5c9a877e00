import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { makeBpffs, native, options, run } from '../support';
import { filters, makeVeth, withDatapath } from './devices';

const qdiscs = () => run('tc', 'qdisc', 'show', 'dev', 'test0');

void withDatapath(async (datapath, cleanup) => {
  const ifindex = await makeVeth();
  const { id: program } = datapath.programInfo('bpf_lb_ingress');
  const attach = () => datapath.attachClsact('bpf_lb_ingress', ifindex, 'ingress');

  const first = await attach();
  assert.equal(first.id, 0);
  assert.ok(first.filter && first.filter.priority > 0 && first.filter.handle > 0);
  assert.match(qdiscs(), /clsact/);
  assert.deepEqual(filters('ingress'), [program]);
  assert.equal(first.attached(), true);

  // With the qdisc in place, and next to a filter of somebody else.
  const other = await native.load(options);
  cleanup.add(() => other.close());
  const foreign = await other.attachClsact('bpf_lb_ingress', ifindex, 'ingress');
  const egress = await datapath.attachClsact('bpf_lb_egress', ifindex, 'egress');
  assert.equal(filters('ingress').length, 2);
  first.detach();
  first.detach();
  assert.equal(first.attached(), false);
  assert.equal(first.state(), 'detached');
  assert.equal(foreign.attached(), true);
  assert.equal(egress.attached(), true);
  assert.deepEqual(filters('ingress'), [other.programInfo('bpf_lb_ingress').id]);

  // A link whose filter was replaced by another program is not attached, and leaves that one alone.
  const replaced = await attach();
  const place = JSON.parse(run('tc', '-j', 'filter', 'show', 'dev', 'test0', 'ingress')) as {
    pref: number;
    options?: { handle: string; prog?: { id: number } };
  }[];
  const ours = place.find(({ options }) => options?.prog?.id === program);
  assert.ok(ours?.options);
  const pin = path.join(makeBpffs(cleanup), 'program');
  foreign.pin(pin);
  run(
    ...['tc', 'filter', 'replace', 'dev', 'test0', 'ingress', 'protocol', 'all'],
    ...['pref', String(ours.pref), 'handle', ours.options.handle, 'bpf', 'direct-action', 'pinned', pin],
  );
  assert.equal(replaced.attached(), false);
  assert.equal(replaced.state(), 'replaced');
  const before = filters('ingress');
  assert.equal(before.length, 2);
  replaced.detach();
  assert.deepEqual(filters('ingress'), before);

  // A pinned one stays at close(); the program lives on in its filter.
  other.close();
  assert.deepEqual(filters('ingress'), before);
  assert.ok(fs.existsSync(pin));

  // A later process takes it away by what the link said, but nothing from another place.
  assert.ok(foreign.filter);
  const elsewhere = { ...foreign.filter, priority: foreign.filter.priority - 100 };
  const copy = path.join(path.dirname(pin), 'copy');
  run('bpftool', 'prog', 'pin', 'pinned', pin, copy);
  native.detachFilter(copy, ifindex, 'ingress', elsewhere);
  assert.deepEqual(filters('ingress'), before);
  assert.equal(fs.existsSync(copy), false);
  native.detachFilter(pin, ifindex, 'ingress', foreign.filter);
  before.pop();
  assert.deepEqual(filters('ingress'), before);
  assert.equal(fs.existsSync(pin), false);

  // Collected without detach(), it goes.
  await (async () => void (await attach()))();
  assert.equal(filters('ingress').length, before.length + 1);
  for (let i = 0; filters('ingress').length > before.length && i < 100; i++) {
    global.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(filters('ingress'), before);

  await assert.rejects(datapath.attachClsact('bpf_lb_ingress', 999_999, 'ingress'), {
    code: 'ENODEV',
    syscall: 'bpf_tc_hook_create',
    target: '999999',
  });

  // close() detaches what is not pinned and leaves the qdisc.
  datapath.close();
  assert.deepEqual(filters('egress'), []);
  assert.match(qdiscs(), /clsact/);
  assert.throws(() => egress.attached(), { code: 'ERR_BPF_CLOSED' });

  const late = await native.load(options);
  cleanup.add(() => late.close());
  const orphan = await late.attachClsact('bpf_lb_ingress', ifindex, 'ingress');
  run('ip', 'link', 'del', 'test0');
  assert.equal(orphan.attached(), false);
  orphan.detach();
});
