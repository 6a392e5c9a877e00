import { ClusterSync, type EndpointSliceObject, ProxyMetrics } from '../../../lib/kubernetes';
import { WatchedCluster } from '../cluster';
import { compared } from '../report';
import { type Check, type ControlPlaneCase, each } from './case';

interface MetricCase extends ControlPlaneCase {
  readonly internalTrafficPolicy: string;
  readonly externalTrafficPolicy: string;
  /** Where there are any. */
  readonly endpoints: string;
  readonly metric: string;
  readonly internal: number;
  readonly external: number;
}

const nodeName = 'test-node';
const places: Readonly<Record<string, readonly string[]>> = {
  local: [nodeName, 'another-node'],
  remote: ['another-node', 'another-node'],
  none: [],
  empty: [],
};

function slice(nodes: readonly string[]): EndpointSliceObject {
  return {
    kind: 'EndpointSlice',
    metadata: { namespace: 'ns', name: 'svc-1', labels: { 'kubernetes.io/service-name': 'svc' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 80 }],
    endpoints: nodes.map((node, i) => ({
      addresses: [`10.0.1.${i + 1}`],
      conditions: { ready: true },
      nodeName: node,
    })),
  };
}

/** The metric about Services that have endpoints, but none on the node. */
export const noLocalEndpoints = each(async (one: MetricCase): Promise<Check[]> => {
  const nodes = Object.hasOwn(places, one.endpoints) ? places[one.endpoints] : undefined;
  if (!nodes) throw new Error(`it is not known where endpoints are that are ${one.endpoints}`);
  const { internalTrafficPolicy, externalTrafficPolicy } = one;
  const cluster = new WatchedCluster(nodeName);
  cluster.become({
    Service: [
      {
        kind: 'Service',
        metadata: { namespace: 'ns', name: 'svc' },
        spec: {
          type: 'NodePort',
          clusterIP: '172.30.1.1',
          ports: [{ name: 'http', port: 80, nodePort: 123 }],
          internalTrafficPolicy,
          externalTrafficPolicy,
        },
      },
    ],
    EndpointSlice: [slice(nodes)],
    Node: [],
  });
  const accepted = () => Promise.resolve();
  const lb = {
    services: { names: () => [] },
    apply: accepted,
    upsertService: accepted,
    deleteService: accepted,
  };
  const sync = new ClusterSync(cluster.state, lb);
  using metrics = await ProxyMetrics.open({ sync, cluster: cluster.state });
  const text = await metrics.registry.metrics();
  return (['internal', 'external'] as const).map((policy) => {
    const sample = new RegExp(`^${one.metric}\\{[^}]*traffic_policy="${policy}"[^}]*\\} (\\S+)$`, 'm').exec(
      text,
    );
    return { name: policy, outcome: compared(one[policy], sample && Number(sample[1])) };
  });
});
