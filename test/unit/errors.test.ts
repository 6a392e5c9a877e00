import assert from 'node:assert/strict';
import { asPublicError, KernelError } from '../../lib/errors';

const loadFailure = (code: string, errno: number, log: string) =>
  Object.assign(new Error(`${code}: bpf_object__load`), { code, errno, syscall: 'bpf_object__load', log });

const verifierLog = '-- BEGIN PROG LOAD LOG --\ninvalid access\n-- END PROG LOAD LOG --';
const all = ['CAP_BPF', 'CAP_PERFMON', 'CAP_NET_ADMIN', 'CAP_DAC_OVERRIDE'] as const;

describe('errors of the kernel', () => {
  for (const [title, failure, effective, code, advice] of [
    [
      'a missing capability is a matter of permission',
      loadFailure('EPERM', -1, 'libbpf: Error in bpf_create_map'),
      ['CAP_PERFMON', 'CAP_NET_ADMIN'],
      'ERR_BPF_PERMISSION',
      /lacks CAP_BPF:/,
    ],
    [
      'so is a program that the verifier refuses to who lacks CAP_PERFMON',
      loadFailure('EACCES', -13, verifierLog),
      ['CAP_BPF', 'CAP_NET_ADMIN'],
      'ERR_BPF_PERMISSION',
      /lacks CAP_PERFMON:/,
    ],
    [
      'a program that the verifier refuses to who may do everything is not, though the kernel says EACCES',
      loadFailure('EACCES', -13, verifierLog),
      all,
      'ERR_BPF_SYSCALL',
      /EACCES/,
    ],
  ] as const) {
    it(title, () => {
      const privileges = { effective: new Set(effective), inUserNamespace: false };
      const error = asPublicError(failure, 'load the programs', () => privileges);
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
