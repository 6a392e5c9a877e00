import assert from 'node:assert/strict';

import { required } from '../../lib/capabilities';
import { LoadBalancerError } from '../../lib/errors';
import type { KernelFeature } from '../../lib/kernel-features';
import { type FeatureName, judge, Probe } from '../../lib/probe';
import type { ProbeFacts } from '../../lib/probe-facts';

/** A machine on which everything can be done. */
const best: ProbeFacts = {
  release: '6.18.3-generic',
  btf: true,
  lockdown: '[none] integrity confidentiality',
  unprivilegedBpf: '2',
  privileges: { effective: new Set([...required, 'CAP_SYS_ADMIN']), inUserNamespace: false },
  kernel: { refused: undefined, missing: new Set() },
  cgroup: { path: '/sys/fs/cgroup', writable: true },
  stateDir: undefined,
  bpffs: ['/sys/fs/bpf'],
  reservedPorts: true,
};

function missing(facts: Partial<ProbeFacts>): Partial<Record<FeatureName, string>> {
  const { features } = judge({ ...best, ...facts });
  const entries = Object.entries(features).flatMap(([name, feature]) =>
    feature.available ? [] : [[name, `${feature.reason}. ${feature.help}.`]],
  );
  return Object.fromEntries(entries) as Partial<Record<FeatureName, string>>;
}

const lacking = (...features: KernelFeature[]) => ({
  kernel: { refused: undefined, missing: new Set(features) },
});

describe('probe', () => {
  it('finds nothing missing where everything is there', () => {
    assert.deepEqual(missing({}), {});
    const { kernel } = judge(best);
    assert.deepEqual(
      [kernel.supported, kernel.lockdown, kernel.unprivilegedBpf, kernel.missing],
      [true, 'none', 'disabled', []],
    );
  });

  for (const [title, facts, features, text] of [
    ['tcx', lacking('tcx'), ['tcx'], /Linux 6\.18\.3-generic lacks tcx\. Use Linux 6\.6 or later\./],
    [
      'a helper of packets',
      lacking('helper bpf_fib_lookup'),
      ['devices', 'tcx'],
      /lacks helper bpf_fib_lookup/,
    ],
    ['a helper of sockets', lacking('helper bpf_set_retval'), ['sockets'], /lacks helper bpf_set_retval/],
    ['a kfunc', lacking('kfunc bpf_sock_destroy'), ['socketDestruction'], /Linux 6\.5 or later/],
    [
      'the way into the kernel’s memory, under lockdown',
      { ...lacking('helper bpf_probe_read_kernel'), lockdown: 'none integrity [confidentiality]' },
      ['sockets'],
      /Lockdown in the mode confidentiality/,
    ],
    [
      'cgroup v2',
      { cgroup: new LoadBalancerError('ERR_BPF_NO_CGROUP2', 'No cgroup v2 hierarchy is mounted.') },
      ['sockets'],
      /No cgroup v2 hierarchy is mounted\. Mount/,
    ],
    [
      'the right to mount bpffs',
      { bpffs: [], privileges: { effective: new Set(required), inUserNamespace: false } },
      ['namespaceExceptions', 'stateDirectory'],
      /lacks CAP_SYS_ADMIN/,
    ],
    [
      'the sysctl',
      { reservedPorts: false },
      ['portReservation'],
      /ip_local_reserved_ports cannot be written/,
    ],
    [
      'membarrier',
      lacking('membarrier(MEMBARRIER_CMD_GLOBAL)'),
      ['gracePeriods'],
      /lacks membarrier\(MEMBARRIER_CMD_GLOBAL\)/,
    ],
  ] as const) {
    it(`without ${title}: says so for ${features.join(', ')}`, () => {
      const found = missing(facts);
      assert.deepEqual(Object.keys(found).sort(), [...features].sort());
      for (const feature of features) assert.match(found[feature] ?? '', text);
    });
  }

  it('says nothing about the kernel when bpf(2) is refused', () => {
    const data = judge({ ...best, kernel: { refused: 'EPERM', missing: new Set(['tcx']) } });
    assert.equal(data.kernel.missing, undefined);
    assert.match(JSON.stringify(data.features.sockets), /bpf\(2\) is refused \(EPERM\)/);
  });

  for (const [release, supported] of [
    ['5.15.0-91-generic', false],
    ['6.0.19', false],
    ['6.1.0-18-amd64', true],
    ['7.0.1', true],
  ] as const) {
    it(`Linux ${release} is ${supported ? '' : 'not '}supported`, () => {
      assert.equal(judge({ ...best, release }).kernel.supported, supported);
    });
  }

  it('is shown as a table', () => {
    const text = new Probe(judge({ ...best, ...lacking('tcx') })).format();
    assert.match(text, /^Kernel: +6\.18\.3-generic$/m);
    assert.match(text, /^- CAP_BPF: +Present \(maps and programs\)$/m);
    assert.match(text, /^- sockets: +Available$/m);
    assert.match(text, /^- tcx: +Missing: Linux .* lacks tcx\. Use Linux 6\.6 or later\.$/m);
  });
});
