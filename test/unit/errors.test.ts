import assert from 'node:assert/strict';
import { asPublicError, KernelError } from '../../lib/errors';

const loadFailure = (code: string, errno: number, log: string) =>
  Object.assign(new Error(`${code}: bpf_object__load`), { code, errno, syscall: 'bpf_object__load', log });

describe('errors of the kernel', () => {
  for (const [title, failure, code, advice] of [
    [
      'a missing capability is a matter of permission',
      loadFailure('EPERM', -1, 'libbpf: Error in bpf_create_map'),
      'ERR_BPF_PERMISSION',
      /Run as root/,
    ],
    [
      'a program that the verifier refuses is not, though the kernel says EACCES',
      loadFailure('EACCES', -13, '-- BEGIN PROG LOAD LOG --\ninvalid access\n-- END PROG LOAD LOG --'),
      'ERR_BPF_SYSCALL',
      /EACCES/,
    ],
  ] as const) {
    it(title, () => {
      const error = asPublicError(failure, 'load the programs');
      assert.ok(error instanceof KernelError);
      assert.equal(error.code, code);
      assert.match(error.message, advice);
      assert.equal(error.log, failure.log);
      assert.equal(error.cause, failure);
    });
  }

  it('an error that is none of the addon stays as it is', () => {
    const error = new TypeError('x');
    assert.equal(asPublicError(error, 'load the programs'), error);
  });
});
