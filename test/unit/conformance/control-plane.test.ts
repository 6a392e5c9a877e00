import assert from 'node:assert/strict';

import { controlPlaneCases } from '../../conformance/cases/control-plane';
import { Report } from '../../conformance/report';
import { run } from '../../conformance/run';

async function answers(cases: readonly object[]): Promise<Report> {
  const report = new Report();
  await run(cases, { kernel: false, mode: 'nftables', report });
  return report;
}

/** Another value of the same kind in the place of each that a case expects. */
function mistaken(value: unknown): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'string') return `${value}0`;
  if (Array.isArray(value)) return [...(value as unknown[]), '192.0.2.99'];
  return { ...(value as object), another: 1 };
}

const expectations: Record<string, readonly string[]> = {
  conntrack: ['expectDeleted'],
  'endpoints-map': ['conntrackCleanupRequired', 'localReadyEndpointIPs'],
  'healthcheck-count': ['localReady', 'status'],
  'healthcheck-response': ['status', 'body'],
  healthz: ['healthz', 'livez', 'nodeEligible'],
  'no-local-endpoints-metric': ['internal', 'external'],
  'nodeport-contains-ipv4-loopback': ['IPv4', 'IPv6'],
  'service-map': ['expectTotal'],
};

describe('conformance of the control plane', () => {
  it('all cases, but what is superseded', async () => {
    const report = await answers(controlPlaneCases);
    assert.equal(report.count('failed'), 0, report.format());
    assert.equal(report.count('skipped'), 1);
    for (const { id } of controlPlaneCases)
      assert.ok(
        report.results.some((result) => result.id === id),
        `${id} asks something`,
      );
  });

  for (const [kind, fields] of Object.entries(expectations)) {
    it(`${kind}: fails where something else is expected`, async () => {
      const cases = controlPlaneCases.filter((one) => one.kind === kind && !one.notes);
      assert.ok(cases.length > 0);
      for (const field of fields) {
        const wrong = cases.map((one) => ({
          ...one,
          [field]: mistaken(one[field]),
        }));
        const report = await answers(wrong);
        const failed = report.results.filter(({ outcome }) => outcome.kind === 'failed').map(({ id }) => id);
        assert.deepEqual(new Set(failed), new Set(cases.map(({ id }) => id)), field);
      }
    });
  }

  it('localhost-nodeport-listener: fails where something else is expected', async () => {
    const cases = controlPlaneCases.filter(({ kind }) => kind === 'localhost-nodeport-listener');
    const listens = { '127.0.0.1': true, '::1': true };
    const report = await answers(cases.map((one) => ({ ...one, listens })));
    assert.ok(report.count('passed') > 0 && report.count('failed') > 0);
  });

  it('nodeport-addresses: fails where something else is expected', async () => {
    const cases = controlPlaneCases.filter(({ kind }) => kind === 'nodeport-addresses');
    const other = { matchAll: false, ips: ['192.0.2.99'] };
    const report = await answers(cases.map((one) => ({ ...one, IPv4: other, IPv6: other })));
    assert.equal(report.count('passed'), 0);
  });

  it('fails for a kind that is not known, and for situations that are not', async () => {
    const report = await answers([
      { id: 'a', kind: 'constructor' },
      { id: 'b', kind: 'healthz', when: 'the moon is full', healthz: 200, livez: 200, nodeEligible: true },
    ]);
    assert.equal(report.count('failed'), 2);
    assert.match(report.format(), /constructor[^]*moon/);
  });
});
