import { HealthCheckServers } from '../../../lib/kubernetes';
import { WatchedCluster } from '../cluster';
import { compared } from '../report';
import { type Check, type ControlPlaneCase, each } from './case';

interface CountCase extends ControlPlaneCase {
  readonly node: string;
  readonly endpoints: readonly {
    readonly ip: string;
    readonly nodeName?: string;
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  }[];
  readonly localReady: number;
  readonly status: number;
}

interface ResponseCase extends ControlPlaneCase {
  readonly namespace: string;
  readonly name: string;
  readonly localReady: number;
  readonly proxyHealthy: boolean;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

interface Identity {
  readonly namespace: string;
  readonly name: string;
}

/** Asks the server of a Service that has so many endpoints. */
async function askServer(service: Identity, localEndpoints: number, healthy: boolean): Promise<Response> {
  await using servers = new HealthCheckServers({ health: { healthy }, addresses: () => ['127.0.0.1'] });
  /* Any port that is free. */
  await servers.syncServices([{ ...service, port: 0 }]);
  servers.syncEndpoints([{ ...service, localEndpoints }]);
  return await read(await fetch(`http://${servers.addresses[0]}/healthz`));
}

/** With all of its body, so that the server can be closed. */
async function read(response: Response): Promise<Response> {
  const { status, headers } = response;
  return new Response(await response.text(), { status, headers });
}

/** How many endpoints count, and what that is answered with. */
export const healthCheckCount = each(async (one: CountCase): Promise<Check[]> => {
  const service = { namespace: 'ns', name: 'svc' };
  const cluster = new WatchedCluster(one.node);
  cluster.become({
    Service: [
      {
        kind: 'Service',
        metadata: service,
        spec: {
          type: 'LoadBalancer',
          clusterIP: '172.30.0.1',
          externalTrafficPolicy: 'Local',
          healthCheckNodePort: 30_000,
          ports: [{ name: 'http', port: 80 }],
        },
      },
    ],
    EndpointSlice: [
      {
        kind: 'EndpointSlice',
        metadata: { namespace: 'ns', name: 'svc-1', labels: { 'kubernetes.io/service-name': 'svc' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080 }],
        endpoints: one.endpoints.map(({ ip, nodeName, ...conditions }) => ({
          addresses: [ip],
          conditions,
          ...(nodeName !== undefined && { nodeName }),
        })),
      },
    ],
    Node: [],
  });
  const [check] = cluster.state.healthChecks;
  const { status } = await askServer(service, check?.localEndpoints ?? 0, true);
  return [
    { name: 'ready endpoints on the node', outcome: compared(one.localReady, check?.localEndpoints) },
    { name: 'status', outcome: compared(one.status, status) },
  ];
});

/** What is answered, word for word. */
export const healthCheckResponse = each(async (one: ResponseCase): Promise<Check[]> => {
  const response = await askServer(one, one.localReady, one.proxyHealthy);
  const headers = Object.keys(one.headers).map((name) => [name, response.headers.get(name)]);
  return [
    { name: 'status', outcome: compared(one.status, response.status) },
    { name: 'headers', outcome: compared(one.headers, Object.fromEntries(headers)) },
    { name: 'body', outcome: compared(one.body, await response.json()) },
  ];
});
