import assert from 'node:assert/strict';

import { type Capability, explainRefusal, parsePrivileges } from '../../lib/capabilities';

const initial = '         0          0 4294967295\n';
const bit = { CAP_DAC_OVERRIDE: 1, CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 };

function privileges(...capabilities: Capability[]) {
  const mask = capabilities.reduce((sum, name) => sum | (1n << BigInt(bit[name])), 0n);
  return parsePrivileges(
    `CapPrm:\t${'f'.repeat(16)}\nCapEff:\t${mask.toString(16).padStart(16, '0')}\n`,
    initial,
  );
}

describe('capabilities', () => {
  it('are read from the kernel’s words for a thread', () => {
    const { effective, inUserNamespace } = privileges('CAP_BPF', 'CAP_NET_ADMIN');
    assert.deepEqual([...effective].sort(), ['CAP_BPF', 'CAP_NET_ADMIN']);
    assert.equal(inUserNamespace, false);
  });

  it('CAP_SYS_ADMIN includes those that were taken out of it, and no others', () => {
    const { effective } = privileges('CAP_SYS_ADMIN');
    assert.deepEqual([...effective].sort(), ['CAP_BPF', 'CAP_PERFMON', 'CAP_SYS_ADMIN']);
  });

  for (const [syscall, have, advice] of [
    ['bpf_object__load', [], /lacks CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN:/],
    ['bpf_object__load', ['CAP_BPF', 'CAP_NET_ADMIN'], /lacks CAP_PERFMON:/],
    ['mount', ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON'], /lacks CAP_SYS_ADMIN:/],
    ['mkdtemp', ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON'], /directory .* or CAP_DAC_OVERRIDE$/],
    ['mkdtemp', ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN', 'CAP_DAC_OVERRIDE'], /a security module, or lockdown/],
  ] as const) {
    it(`${syscall} refused to ${have.join(', ') || 'a process without any'}`, () => {
      assert.match(explainRefusal(syscall, privileges(...have)), advice);
    });
  }

  it('those of a user namespace help nobody', () => {
    const nested = parsePrivileges(`CapEff:\t${'f'.repeat(16)}\n`, '0 100000 65536\n');
    assert.match(explainRefusal('bpf_object__load', nested), /in a user namespace/);
  });
});
