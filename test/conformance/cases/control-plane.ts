import type { ControlPlaneCase } from '../control-plane/case';

/* What is around the datapath, as control-plane cases. */

/** Of any kind. */
type AnyCase = ControlPlaneCase & Readonly<Record<string, unknown>>;

type Entry = readonly [
  to: string,
  toPort: number,
  from: string,
  fromPort: number,
  deleted: boolean,
  protocol?: string,
];

function conntrack(
  id: string,
  entries: readonly Entry[],
  { serviceDeleted = false, ...others }: { endpoints: unknown[]; serviceDeleted?: boolean; notes?: string },
): AnyCase {
  const expectDeleted = entries.filter(([, , , , deleted]) => deleted).length;
  const service = {
    clusterIP: '10.96.0.10',
    externalIPs: ['198.51.100.10'],
    lbVIPs: ['203.0.113.10'],
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP', nodePort: 30_053 },
      { name: 'web', port: 80, protocol: 'TCP' },
    ],
  };
  return {
    id: `conntrack-${id}`,
    kind: 'conntrack',
    ...others,
    serviceDeleted,
    service,
    expectDeleted,
    expectKept: entries.length - expectDeleted,
    entries: entries.map(([origDst, origDstPort, replySrc, replySrcPort, deleted, protocol = 'UDP']) => ({
      origDst,
      origDstPort,
      replySrc,
      replySrcPort,
      protocol,
      deleted,
    })),
  };
}

const [serving, gone] = ['10.244.2.1', '10.244.2.9'];
const dns = { ip: serving, port: 5353, portName: 'dns', serving: true };

const toNobody: Entry[] = [
  ['10.96.0.10', 53, serving, 5353, true],
  ['192.0.2.10', 30_053, serving, 5353, true],
  ['10.96.0.10', 54, serving, 5353, false],
];

const conntrackCases: AnyCase[] = [
  conntrack(
    'with-endpoints',
    [
      ['10.96.0.10', 53, serving, 5353, false],
      ['10.96.0.10', 53, gone, 5353, true],
      ['10.96.0.10', 53, serving, 53, true],
      ['203.0.113.10', 53, gone, 5353, true],
      ['198.51.100.10', 53, '198.51.100.10', 53, true],
      ['192.0.2.10', 30_053, gone, 5353, true],
      ['192.0.2.10', 30_053, serving, 5353, false],
      ['10.96.0.10', 54, gone, 5353, false],
      ['10.96.0.11', 53, gone, 5353, false],
      ['10.96.0.10', 53, gone, 5353, false, 'TCP'],
      ['10.96.0.10', 80, gone, 8080, false],
    ],
    { endpoints: [dns, { ...dns, ip: gone, serving: false }] },
  ),
  conntrack('without-endpoints', toNobody, { endpoints: [] }),
  conntrack('of-a-deleted-service', toNobody, { endpoints: [`${serving}:5353`], serviceDeleted: true }),
  conntrack('as-it-was', [['10.96.0.10', 53, serving, 5353, false]], {
    endpoints: [],
    notes: 'behaviour until kubernetes PR 139629',
  }),
];

type EndpointLists = Record<string, string[]>;

function endpointsMap(
  id: string,
  [before, after]: readonly [EndpointLists, EndpointLists],
  conntrackCleanupRequired: boolean,
  localReadyEndpointIPs: Record<string, number> = {},
): AnyCase {
  const mapOf = (lists: EndpointLists) =>
    Object.fromEntries(
      Object.entries(lists).map(([port, endpoints]) => [
        port,
        endpoints.map((text) => ({
          endpoint: text.replace(' local', ''),
          isLocal: text.endsWith(' local'),
        })),
      ]),
    );
  return {
    id: `endpoints-${id}`,
    kind: 'endpoints-map',
    node: 'node-a',
    protocol: 'UDP',
    old: mapOf(before),
    new: mapOf(after),
    conntrackCleanupRequired,
    localReadyEndpointIPs,
  };
}

const same = { 'ns/a:p': ['10.0.0.1:1', '10.0.0.2:1 local'] };
const endpointsCases = [
  endpointsMap('nothing-changes', [same, same], false, { 'ns/a': 1 }),
  endpointsMap(
    'added',
    [{}, { 'ns/a:p': ['10.0.0.1:1 local'], 'ns/a:q': ['10.0.0.1:2 local', '10.0.0.2:2 local'] }],
    true,
    { 'ns/a': 2 },
  ),
  endpointsMap(
    'removed',
    [{ 'ns/a:p': ['10.0.0.1:1 local'], 'ns/b:p': ['10.0.0.3:1'] }, { 'ns/b:p': ['10.0.0.3:1'] }],
    true,
  ),
  endpointsMap('renumbered', [{ 'ns/a:': ['10.0.0.1:1'] }, { 'ns/a:': ['10.0.0.1:2'] }], true),
  endpointsMap('renamed', [{ 'ns/a:p': ['10.0.0.1:1'] }, { 'ns/a:q': ['10.0.0.1:1'] }], true),
];

const terminating = { ready: false, serving: true, terminating: true };

function healthCheckCount(id: string, endpoints: readonly object[], localReady: number): AnyCase {
  const status = localReady > 0 ? 200 : 503;
  return {
    id: `count-${id}`,
    kind: 'healthcheck-count',
    node: 'node-a',
    endpoints,
    localReady,
    status,
  };
}

function healthCheckResponse(id: string, localReady: number, proxyHealthy: boolean): AnyCase {
  const service = { namespace: 'ns', name: 'a' };
  return {
    id: `response-${id}`,
    kind: 'healthcheck-response',
    ...service,
    localReady,
    proxyHealthy,
    status: localReady > 0 && proxyHealthy ? 200 : 503,
    headers: {
      'Content-Type': 'application/json',
      'X-Content-Type-Options': 'nosniff',
      'X-Load-Balancing-Endpoint-Weight': `${localReady}`,
    },
    body: { service, localEndpoints: localReady, serviceProxyHealthy: proxyHealthy },
  };
}

const healthCheckCases = [
  healthCheckCount(
    'some',
    [
      { ip: '10.0.0.1', nodeName: 'node-a', ready: true },
      { ip: '10.0.0.2', nodeName: 'node-b', ready: true },
      { ip: '10.0.0.3', nodeName: 'node-a', ...terminating },
      { ip: '10.0.0.4', ready: true },
    ],
    1,
  ),
  healthCheckCount('none', [{ ip: '10.0.0.3', nodeName: 'node-a', ...terminating }], 0),
  healthCheckResponse('some', 2, true),
  healthCheckResponse('none', 0, true),
  healthCheckResponse('late', 2, false),
];

function healthz(when: string, code: number, livez = code, nodeEligible = true): AnyCase {
  return { id: `healthz: ${when}`, kind: 'healthz', when, healthz: code, livez, nodeEligible };
}

const healthzCases = [
  healthz('nothing queued yet', 200),
  healthz('an update is queued for less than 2*syncPeriod', 200),
  healthz('an update is queued for longer than 2*syncPeriod', 503),
  healthz('a late update has been synced', 200),
  healthz('node has taint ToBeDeletedByClusterAutoscaler', 503, 200, false),
  healthz('node has a deletionTimestamp', 503, 200, false),
  healthz('node has another taint', 200),
  healthz('node is cordoned', 200),
];

function localhost(gate: boolean, nodePortAddresses: string[], ipv4: boolean, ipv6: boolean): AnyCase {
  return {
    id: `localhost-${gate ? 'with' : 'without'}-the-gate: ${nodePortAddresses.join()}`,
    kind: 'localhost-nodeport-listener',
    gate,
    nodePortAddresses,
    listens: { '127.0.0.1': ipv4, '::1': ipv6 },
    protocols: ipv4 || ipv6 ? ['TCP'] : [],
  };
}

const localhostCases = [
  localhost(true, ['primary'], false, false),
  localhost(true, ['all'], false, false),
  localhost(true, ['0.0.0.0/0', '::/0'], false, false),
  localhost(true, ['primary', 'localhost'], true, true),
  localhost(true, ['all', 'localhost'], true, true),
  localhost(true, ['127.0.0.0/8'], true, false),
  localhost(true, ['all', '::1/128'], false, true),
  localhost(false, ['localhost'], false, false),
];

const noLocalEndpointsCases = (
  [
    ['Local', 'Local', 'local', 0, 0],
    ['Local', 'Local', 'remote', 1, 1],
    ['Cluster', 'Local', 'remote', 0, 1],
    ['Local', 'Cluster', 'remote', 1, 0],
    ['Cluster', 'Cluster', 'remote', 0, 0],
    ['Local', 'Local', 'none', 0, 0],
  ] as const
).map(([internalTrafficPolicy, externalTrafficPolicy, endpoints, internal, external]): AnyCase => ({
  id: `no-local-endpoints: ${internalTrafficPolicy}, ${externalTrafficPolicy}, ${endpoints}`,
  kind: 'no-local-endpoints-metric',
  internalTrafficPolicy,
  externalTrafficPolicy,
  endpoints,
  internal,
  external,
  metric: 'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
}));

type Matched = readonly [matchAll: boolean, ...ips: string[]];

function nodePortAddresses(cidrs: string[], ofIPv4: Matched, ofIPv6: Matched): AnyCase {
  const expected = ([matchAll, ...ips]: Matched) => ({ matchAll, ips });
  return {
    id: `addresses: ${cidrs.join() || 'none'}`,
    kind: 'nodeport-addresses',
    cidrs,
    interfaceAddresses: ['192.0.2.10/24', '127.0.0.1/8', '2001:db8::1/64', '::1/128'],
    IPv4: expected(ofIPv4),
    IPv6: expected(ofIPv6),
  };
}

function loopback(cidrs: string[], contained: boolean): AnyCase {
  return {
    id: `loopback: ${cidrs.join() || 'none'}`,
    kind: 'nodeport-contains-ipv4-loopback',
    cidrs,
    IPv4: contained,
    IPv6: false,
  };
}

const addressCases = [
  nodePortAddresses([], [true, '192.0.2.10', '127.0.0.1'], [true, '2001:db8::1', '::1']),
  nodePortAddresses(['192.0.2.0/24'], [false, '192.0.2.10'], [true, '2001:db8::1', '::1']),
  nodePortAddresses(['198.51.100.0/24', '2001:db8:1::/64'], [false], [false]),
  nodePortAddresses(
    ['0.0.0.0/0', '192.0.2.0/24', '2001:db8::/64'],
    [true, '192.0.2.10', '127.0.0.1'],
    [false, '2001:db8::1'],
  ),
  nodePortAddresses(['127.0.0.0/8', '2001:db8::/64'], [false, '127.0.0.1'], [false, '2001:db8::1']),
  loopback([], true),
  loopback(['127.0.0.0/8'], true),
  loopback(['192.0.2.0/24', '127.1.0.0/16'], true),
  loopback(['0.0.0.0/0'], true),
  loopback(['192.0.2.0/24'], false),
  loopback(['192.0.2.0/24', '::1/128'], false),
];

const web = {
  service: 'ns/a',
  type: 'ClusterIP',
  clusterIP: '10.96.0.1',
  ports: [
    { name: 'p', protocol: 'TCP', port: 80, nodePort: 0 },
    { name: 'q', protocol: 'UDP', port: 80, nodePort: 0 },
  ],
  expectServicePorts: 2,
  expectHealthCheckNodePort: 0,
};
const balanced = {
  ...web,
  type: 'LoadBalancer',
  loadBalancerIngress: ['203.0.113.1'],
  externalTrafficPolicy: 'Local',
  healthCheckNodePort: 30_099,
  expectHealthCheckNodePort: 30_099,
};

const serviceMapCases = [
  { services: [web], expectTotal: 2 },
  { services: [balanced, { ...web, service: 'ns/ab', clusterIP: '10.96.0.2' }], expectTotal: 4 },
  {
    services: [{ ...balanced, externalTrafficPolicy: 'Cluster', expectHealthCheckNodePort: 0 }],
    expectTotal: 2,
  },
  { services: [{ ...web, clusterIP: 'None', expectServicePorts: 0 }], expectTotal: 0 },
].map((step, i): AnyCase => ({
  id: `services-${i + 1}`,
  kind: 'service-map',
  sequence: { group: 'services', step: i + 1 },
  ...step,
}));

/** All of them. */
export const controlPlaneCases: readonly AnyCase[] = [
  ...conntrackCases,
  ...endpointsCases,
  ...healthCheckCases,
  ...healthzCases,
  ...localhostCases,
  ...noLocalEndpointsCases,
  ...addressCases,
  ...serviceMapCases,
];
