import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { bpftool } from '../../support/bpftool';
import { makeBpffs, run } from '../support';
import { makeVeth, withDatapath } from './devices';

/** Ids of the links of a program, as the kernel says. */
function linksOf(program: number): number[] {
  const links = bpftool<{ id: number; prog_id: number }>('link', 'show');
  return links.filter(({ prog_id }) => prog_id === program).map(({ id }) => id);
}

void withDatapath(async (datapath, cleanup) => {
  const ifindex = await makeVeth();
  const { id: program } = datapath.programInfo('bpf_lb_ingress');

  const ingress = await datapath.attachTcx('bpf_lb_ingress', ifindex);
  const egress = await datapath.attachTcx('bpf_lb_egress', ifindex);
  assert.deepEqual(linksOf(program), [ingress.id]);
  assert.equal(ingress.attached(), true);
  ingress.detach();
  ingress.detach();
  assert.equal(ingress.attached(), false);
  assert.deepEqual(linksOf(program), []);
  assert.equal(egress.attached(), true);

  // The kernel refuses the same program twice: only ours, attached anew, is there.
  const again = await datapath.attachTcx('bpf_lb_ingress', ifindex);
  await assert.rejects(datapath.attachTcx('bpf_lb_ingress', ifindex), {
    code: 'EEXIST',
    syscall: 'bpf_link_create',
    target: String(ifindex),
  });

  // Pinned: outlives nothing but close(); detach() removes it for good.
  const pin = path.join(makeBpffs(cleanup), 'link');
  again.pin(pin);
  again.detach();
  assert.equal(fs.existsSync(pin), false);
  assert.deepEqual(linksOf(program), []);

  await assert.rejects(datapath.attachTcx('bpf_lb_ingress', 999_999), { code: 'ENODEV', target: '999999' });
  await assert.rejects(datapath.attachTcx('bpf_lb_ingress', 0), { code: 'ENODEV' });

  run('ip', 'link', 'del', 'test0');
  assert.equal(egress.attached(), false);
  egress.detach();
});
