import assert from 'node:assert/strict';

import { packetFlowCases } from '../conformance/cases/packet-flows';
import { Report } from '../conformance/report';
import { run } from '../conformance/run';
import { cgroupMount } from '../support/cluster/cgroup';
import { skip } from '../support/skip';

describe('conformance of packet flows, by the kernel', () => {
  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (cgroupMount() === undefined) skip(this, 'needs a cgroup v2 mount');
  });

  it('in nftables mode', async () => {
    const report = new Report();
    await run(packetFlowCases, { kernel: true, mode: 'nftables', report });
    assert.equal(report.count('failed'), 0, report.format());
    assert.ok(report.count('passed') > 400);
  }).timeout(180_000);

  it('in iptables mode, what is different there', async () => {
    const isOwn = ({ modes }: { modes?: readonly string[] }) => modes?.join() === 'iptables';
    const cases = packetFlowCases.filter((one) => isOwn(one) || one.flows.some(isOwn));
    const report = new Report();
    await run(cases, { kernel: true, mode: 'iptables', report });
    assert.equal(report.count('failed'), 0, report.format());
    assert.ok(report.count('passed') > 40);
  }).timeout(180_000);

  it('fails where something else is expected', async () => {
    const [first] = packetFlowCases;
    assert.ok(first);
    const report = new Report();
    const wrong = [
      first.flows.map((flow) => ({ ...flow, expect: 'drop' as const, backends: [] })),
      first.flows.map((flow) => ({ ...flow, backends: flow.backends.slice(1) })),
      first.flows.map((flow) => ({ ...flow, backends: [...flow.backends, '192.0.2.99:80'] })),
    ];
    const cases = wrong.map((flows, i) => ({ ...first, id: `wrong ${i}`, flows }));
    await run(cases, { kernel: true, mode: 'nftables', report });
    assert.equal(report.count('passed'), 0);
    assert.equal(report.count('failed'), wrong.length * first.flows.length);
  });
});
