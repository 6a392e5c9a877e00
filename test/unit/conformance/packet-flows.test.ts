import assert from 'node:assert/strict';

import { packetFlowCases } from '../../conformance/cases/packet-flows';
import type { CaseFlow, Mode, PacketFlowCase } from '../../conformance/packet-flow-case';
import { type Outcome, Report } from '../../conformance/report';
import { run } from '../../conformance/run';

async function simulate(cases: readonly PacketFlowCase[], mode: Mode = 'nftables'): Promise<Report> {
  const report = new Report();
  await run(cases, { kernel: false, mode, report });
  return report;
}

function idsOf(report: Report, kind: Outcome['kind']): Set<string> {
  const found = report.results.filter(({ outcome }) => outcome.kind === kind);
  return new Set(found.map(({ id, name }) => `${id}: ${name}`));
}

function withFlows(change: (flow: CaseFlow) => CaseFlow | undefined): PacketFlowCase[] {
  return packetFlowCases.map((one) => {
    const changed = { ...one, flows: one.flows.flatMap((flow) => change(flow) ?? []) };
    delete changed.categorize;
    return changed;
  });
}

const otherEnd = { accept: 'drop', drop: 'reject', reject: 'none', none: 'drop' } as const;

/** Ways to expect something else of a flow; undefined where that cannot be seen. */
const mistakes: Record<string, (flow: CaseFlow) => CaseFlow | undefined> = {
  'another end': (flow) => ({ ...flow, expect: otherEnd[flow.expect], backends: [] }),
  'one backend more': (flow) =>
    flow.backends.length > 0 ? { ...flow, backends: [...flow.backends, '192.0.2.99:80'] } : undefined,
  'one backend less': (flow) =>
    flow.backends.length > 1 ? { ...flow, backends: flow.backends.slice(1) } : undefined,
  'another port of the backends': (flow) =>
    flow.backends.length > 0 ? { ...flow, backends: flow.backends.map((b) => `${b}1`) } : undefined,
  'another source': (flow) =>
    flow.backends.length > 0 && !['node', 'loopback'].includes(flow.fromKind)
      ? { ...flow, masquerade: !flow.masquerade }
      : undefined,
};

describe('conformance of packet flows, by the simulator', () => {
  for (const [mode, reasons] of [
    ['nftables', []],
    [
      'iptables',
      [/^other ports and protocols of a ClusterIP are refused/, /^source ranges come before everything else/],
    ],
  ] as const) {
    it(`in ${mode} mode: all flows, but those that were chosen to differ`, async () => {
      const report = await simulate(packetFlowCases, mode);
      assert.deepEqual([...idsOf(report, 'failed')], [], report.format());
      assert.ok(report.count('passed') > 400);
      const given = report.results.flatMap(({ outcome }) =>
        outcome.kind === 'skipped' && outcome.reason !== `not of ${mode} mode` ? [outcome.reason] : [],
      );
      assert.equal(new Set(given).size, reasons.length);
      for (const reason of reasons)
        assert.ok(
          given.some((one) => reason.test(one)),
          `${reason}`,
        );
    });
  }

  for (const [title, mistake] of Object.entries(mistakes)) {
    it(`fails where ${title} is expected`, async () => {
      const cases = withFlows(mistake);
      const passed = idsOf(await simulate(cases), 'passed');
      assert.deepEqual([...passed], []);
      assert.ok(cases.some(({ flows }) => flows.length > 0));
    });
  }

  it('fails where other lists of endpoints are expected', async () => {
    const cases = packetFlowCases.flatMap(({ categorize, ...one }) =>
      categorize ? [{ ...one, flows: [], categorize: { ...categorize, cluster: ['192.0.2.99'] } }] : [],
    );
    assert.equal((await simulate(cases)).count('failed'), cases.length);
  });

  it('steps of a sequence are updates: what an earlier one left is gone', async () => {
    const [first] = packetFlowCases;
    assert.ok(first);
    const sequence = (step: number) => ({ sequence: { group: 'g', step } });
    const gone = first.flows.map((flow) => ({ ...flow, expect: 'none' as const, backends: [] }));
    const config = { ...first.config, serviceCIDRs: [] };
    const report = await simulate([
      { ...first, id: 'after', config, services: [], endpointSlices: [], flows: gone, ...sequence(2) },
      { ...first, id: 'before', config, ...sequence(1) },
    ]);
    assert.equal(report.count('failed'), 0, report.format());
    assert.deepEqual(new Set(report.results.map(({ id }) => id)), new Set(['before', 'after']));
  });

  it('says what it does not know', async () => {
    const [first] = packetFlowCases;
    assert.ok(first);
    const flows = first.flows.slice(0, 1).map((flow) => ({ ...flow, fromKind: 'moon' }));
    const report = await simulate([{ ...first, flows }]);
    assert.match(report.format(), /moon/);
    assert.equal(report.count('failed'), 1);
  });
});
