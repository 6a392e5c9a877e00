import assert from 'node:assert/strict';
import { native, options, run } from '../support';
import { filters, makeVeth } from './devices';

// In a process of its own: attaches, prints how many filters there are, and ends without close().
async function attachAndEnd(ifindex: number): Promise<void> {
  const datapath = await native.load(options);
  await datapath.attachClsact('bpf_lb_ingress', ifindex, 'ingress');
  process.stdout.write(String(filters('ingress').length));
}

async function main(): Promise<void> {
  const ifindex = await makeVeth();
  assert.equal(run(process.execPath, '--import', 'tsx', __filename, String(ifindex)), '1');
  assert.deepEqual(filters('ingress'), []);
}

const ifindex = process.argv[2];
void (ifindex === undefined ? main() : attachAndEnd(Number(ifindex)));
