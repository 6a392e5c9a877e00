import assert from 'node:assert/strict';
import type { Datapath } from '../../types/native';
import { native, options, requireRoot } from './support';

describe('native testRun()', () => {
  let datapath: Datapath;

  before(async function () {
    requireRoot(this);
    datapath = await native.load(options);
  });

  after(() => datapath?.close());

  /** An Ethernet frame of a protocol that no program touches. */
  const frame = new Uint8Array(60).map((_, i) => i);

  it('runs a tc program on a packet', () => {
    const result = datapath.testRun('bpf_lb_ingress', { data: frame, mark: 0x1234, ifindex: 1, repeat: 100 });
    assert.equal(result.retval, 0xffffffff); // TCX_NEXT
    assert.deepEqual(result.data, frame);
    assert.equal(result.mark, 0x1234);
    assert.ok(result.duration < 1e9);
  });

  it('throws what the kernel says', () => {
    const syscall = 'bpf_prog_test_run_opts';
    assert.throws(() => datapath.testRun('bpf_lb_ingress', { data: new Uint8Array(13) }), {
      code: 'EINVAL',
      syscall,
      target: 'bpf_lb_ingress',
    });
    assert.throws(() => datapath.testRun('bpf_lb_ingress', { data: frame, ifindex: 999_999 }), {
      code: 'ENODEV',
      syscall,
    });
    assert.throws(() => datapath.testRun('bpf_lb_connect4', { data: frame }), { code: 'ENOTSUPP', syscall });
  });

  it('throws for arguments that make no sense', () => {
    const run = (options: unknown) => () =>
      datapath.testRun('bpf_lb_ingress', options as { data: Uint8Array });
    assert.throws(run(undefined), { name: 'TypeError' });
    assert.throws(run({}), { name: 'TypeError' });
    assert.throws(run({ data: frame, repeat: 2 ** 31 }), { name: 'RangeError' });
    assert.throws(run({ data: frame, mark: -1 }), { name: 'RangeError' });
    assert.throws(() => datapath.testRun('nothing', { data: frame }), { name: 'TypeError' });
  });
});
