import type { Report } from '../report';
import type { Check, ControlPlaneCase, Runner } from './case';
import { conntrack } from './conntrack';
import { endpointsMap } from './endpoints-map';
import { healthCheckCount, healthCheckResponse } from './health-checks';
import { healthz } from './healthz';
import { localhostListener } from './localhost-listener';
import { noLocalEndpoints } from './no-local-endpoints';
import { containsLoopback, nodePortAddresses } from './node-port-addresses';
import { serviceMap } from './service-map';

/** Each kind has cases of its own. */
const runners: Readonly<Record<string, unknown>> = {
  conntrack,
  'endpoints-map': endpointsMap,
  'healthcheck-count': healthCheckCount,
  'healthcheck-response': healthCheckResponse,
  healthz,
  'localhost-nodeport-listener': localhostListener,
  'no-local-endpoints-metric': noLocalEndpoints,
  'nodeport-addresses': nodePortAddresses,
  'nodeport-contains-ipv4-loopback': containsLoopback,
  'service-map': serviceMap,
};

/** Runs the cases through the library. */
export async function runControlPlane(cases: readonly ControlPlaneCase[], report: Report): Promise<void> {
  for (const steps of groupsOf(cases)) {
    const results = await runSteps(steps);
    for (const [i, { id }] of steps.entries())
      for (const { name, outcome } of results[i] ?? []) report.add(id, name, outcome);
  }
}

async function runSteps(steps: readonly ControlPlaneCase[]): Promise<Check[][]> {
  const kind = steps[0]?.kind ?? '';
  const runner = (Object.hasOwn(runners, kind) ? runners[kind] : undefined) as
    Runner<ControlPlaneCase> | undefined;
  const failed = (got: string): Check[][] =>
    steps.map(() => [{ name: kind, outcome: { kind: 'failed', expected: 'an answer', got } }]);
  if (!runner) return failed(`there is no way to run cases of kind ${kind}`);
  try {
    return await runner(steps);
  } catch (error) {
    return failed(String(error));
  }
}

/** Steps of one sequence follow each other. */
function groupsOf(cases: readonly ControlPlaneCase[]): ControlPlaneCase[][] {
  const groups = new Map<string, ControlPlaneCase[]>();
  for (const [i, one] of cases.entries()) {
    const key = one.sequence ? `${one.kind} ${one.sequence.group}` : `case ${i}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((group) =>
    group.toSorted((a, b) => (a.sequence?.step ?? 0) - (b.sequence?.step ?? 0)),
  );
}
