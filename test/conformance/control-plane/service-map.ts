import type { KubernetesObject, ServiceObject } from '../../../lib/kubernetes';
import { WatchedCluster } from '../cluster';
import { compared } from '../report';
import type { CasePort, Check, ControlPlaneCase, Runner } from './case';

interface CaseService {
  /** `namespace/name`. */
  readonly service: string;
  readonly type: string;
  readonly clusterIP: string;
  readonly clusterIPs?: readonly string[];
  readonly ipFamilies?: readonly string[];
  readonly ports: readonly CasePort[];
  readonly externalIPs?: readonly string[];
  readonly loadBalancerIngress?: readonly (string | { readonly ip?: string })[];
  readonly externalTrafficPolicy?: string;
  readonly internalTrafficPolicy?: string;
  readonly healthCheckNodePort?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly expectServicePorts: number;
  readonly expectHealthCheckNodePort: number;
}

interface ServiceMapCase extends ControlPlaneCase {
  readonly expectTotal: number;
  readonly services: readonly CaseService[];
}

function objectOf(one: CaseService): ServiceObject & KubernetesObject {
  const [namespace = '', name = ''] = one.service.split('/');
  const ingress = (one.loadBalancerIngress ?? []).map((entry) =>
    typeof entry === 'string' ? { ip: entry } : entry,
  );
  const { type, clusterIP, clusterIPs, ipFamilies, externalIPs, externalTrafficPolicy } = one;
  const { internalTrafficPolicy, healthCheckNodePort } = one;
  const optional = { clusterIPs, ipFamilies, externalIPs, externalTrafficPolicy, internalTrafficPolicy };
  const given = Object.entries({ ...optional, healthCheckNodePort }).filter(
    ([, value]) => value !== undefined,
  );
  return {
    kind: 'Service',
    metadata: { namespace, name, labels: one.labels ?? {} },
    spec: { type, clusterIP, ports: one.ports, ...Object.fromEntries(given) },
    status: { loadBalancer: { ingress } },
  };
}

/** Which ports of Services are served, and which health checks. */
export const serviceMap: Runner<ServiceMapCase> = (steps) => {
  const cluster = new WatchedCluster('test-node');
  return steps.map((step): Check[] => {
    cluster.become({ Service: step.services.map(objectOf), EndpointSlice: [], Node: [] });
    const { services, healthChecks } = cluster.state;
    const names = [...services.keys()];
    return [
      { name: 'service ports in all', outcome: compared(step.expectTotal, names.length) },
      ...step.services.flatMap(({ service, expectServicePorts, expectHealthCheckNodePort }): Check[] => {
        const ports = names.filter(
          (name) =>
            name === service || (/^[:/]/.test(name.slice(service.length)) && name.startsWith(service)),
        );
        const check = healthChecks.find(({ namespace, name }) => `${namespace}/${name}` === service);
        return [
          { name: `service ports of ${service}`, outcome: compared(expectServicePorts, ports.length) },
          {
            name: `health check of ${service}`,
            outcome: compared(expectHealthCheckNodePort, check?.port ?? 0),
          },
        ];
      }),
    ];
  });
};
