import type { PacketFlowCase } from '../packet-flow-case';
import {
  addresses,
  type Backend,
  type CaseEndpoint,
  clientRanges,
  type End,
  flow,
  type FlowOptions,
  makeCase,
  node,
  nodeRanges,
  service,
  slices,
  type Source,
  type Target,
} from './objects';

/*
 * kube-proxy's rules as packet flows: which endpoints a port has, which of them a frontend offers to whom, who is refused
 * or dropped, who is given another address, and which addresses answer NodePorts.
 */

const nodePort = 30_080;
const own: Backend = ['here', 5];
const [here, there, there2]: readonly [Backend, Backend, Backend] = [
  ['here', 1],
  ['there', 1],
  ['there', 2],
];
const all = [here, there, there2];
const at = (backends: readonly Backend[]): CaseEndpoint[] => backends.map((backend) => ({ backend }));

const sources = ['pod', 'node', 'external'] as const;
const frontends = ['externalIP', 'vip', 'node'] as const;
const portOf = (target: Target, ofNode = nodePort) => (target === 'node' ? ofNode : 80);

/** The flows of all three to all three external frontends. */
function external(endOf: (source: Source) => End, optionsOf: (source: Source) => FlowOptions = () => ({})) {
  return sources.flatMap((source) =>
    frontends.map((target) => flow(source, target, portOf(target), endOf(source), optionsOf(source))),
  );
}

/** kube-proxy gives those that are no pods another address on their way to ClusterIPs. */
function internal(end: End, options: FlowOptions = {}) {
  return sources.map((source) =>
    flow(source, 'clusterIP', 80, end, {
      masquerade: typeof end !== 'string' && source !== 'pod',
      ...options,
    }),
  );
}

const everywhere = { vip: true, external: true, nodePort };
const local = { externalTrafficPolicy: 'Local' };
const internalLocal = { internalTrafficPolicy: 'Local' };
const snat = () => ({ masquerade: true });
const snatOfNode = (source: Source) => ({ masquerade: source === 'node' });
const nobody: readonly Backend[] = [];

/** Section 5: which list a frontend uses, and what an empty one means. */
const frontendCases: PacketFlowCase[] = [
  makeCase('clusterip', [service('a')], [slices('a', at(all))], internal(all)),
  makeCase(
    'clusterip-itp-local',
    [service('a', { nodePort, spec: internalLocal })],
    [slices('a', at(all))],
    [...internal([here]), ...sources.map((source) => flow(source, 'node', nodePort, all, snat()))],
  ),
  makeCase(
    'clusterip-itp-local-none-here',
    [service('a', { spec: internalLocal })],
    [slices('a', at([there]))],
    internal('drop'),
  ),
  makeCase('clusterip-itp-local-none', [service('a', { spec: internalLocal })], [], internal('reject')),
  makeCase(
    'external-etp-cluster',
    [service('a', everywhere)],
    [slices('a', at(all))],
    external(() => all, snat),
  ),
  makeCase(
    'external-etp-local',
    [service('a', { ...everywhere, spec: local })],
    [slices('a', at(all))],
    [...external((source) => (source === 'external' ? [here] : all), snatOfNode), ...internal(all)],
  ),
  makeCase(
    'external-etp-local-none-here',
    [service('a', { ...everywhere, spec: local })],
    [slices('a', at([there, there2]))],
    external((source) => (source === 'external' ? 'drop' : [there, there2]), snatOfNode),
  ),
  ...['Cluster', 'Local'].map((externalTrafficPolicy) =>
    makeCase(
      `no-endpoints-etp-${externalTrafficPolicy}`,
      [service('a', { ...everywhere, spec: { externalTrafficPolicy } })],
      [],
      [...external(() => 'reject'), ...internal('reject')],
    ),
  ),
  makeCase(
    'what-no-service-has',
    [service('a', everywhere)],
    [slices('a', at(all))],
    [
      ...(['TCP', 'UDP'] as const).flatMap((protocol) => {
        const port = protocol === 'TCP' ? 81 : 80;
        return [
          flow('pod', 'clusterIP', port, 'none', { protocol, mode: 'iptables' }),
          flow('pod', 'clusterIP', port, 'reject', { protocol, mode: 'nftables' }),
          flow('node', 'clusterIP', port, 'reject', { protocol, mode: 'nftables' }),
          flow('external', 'clusterIP', port, 'reject', { protocol, mode: 'nftables' }),
        ];
      }),
      ...sources.flatMap((source) => [
        flow(source, 'unallocated', 80, 'none', { mode: 'iptables' }),
        flow(source, 'unallocated', 80, 'drop', { mode: 'nftables' }),
        ...frontends.map((target) => flow(source, target, 8081, 'none')),
        flow(source, 'externalIP', 80, 'none', { number: 9 }),
      ]),
    ],
  ),
  makeCase(
    'health-check-node-port',
    [service('a', { ...everywhere, spec: { ...local, healthCheckNodePort: 30_099 } })],
    [slices('a', at(all))],
    [
      flow('external', 'node', 30_099, 'listener', { mode: 'iptables' }),
      flow('external', 'otherNodeAddress', 30_099, 'listener', { mode: 'iptables' }),
    ],
  ),
  makeCase(
    'protocols',
    [
      service('a', {
        ports: (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({
          name: protocol.toLowerCase(),
          port: 53,
          protocol,
          nodePort: 30_053,
        })),
      }),
    ],
    [
      slices('a', at(all), [
        { name: 'tcp', port: 1001, protocol: 'TCP' },
        { name: 'udp', port: 1002, protocol: 'UDP' },
        { name: 'sctp', port: 1003, protocol: 'SCTP' },
      ]),
    ],
    (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol, i) => [
      flow('pod', 'clusterIP', 53, all, { protocol, backendPort: 1001 + i }),
      flow('external', 'node', 30_053, all, { protocol, backendPort: 1001 + i, masquerade: true }),
      ...(protocol === 'SCTP'
        ? []
        : [flow('node', 'clusterIP', 53, all, { protocol, backendPort: 1001 + i, masquerade: true })]),
    ]),
  ),
];

/** Section 6: ranges of clients. */
const rangeCases: PacketFlowCase[] = [
  makeCase(
    'source-ranges',
    [service('a', { ...everywhere, spec: { loadBalancerSourceRanges: clientRanges } })],
    [slices('a', at(all))],
    [
      flow('external', 'vip', 80, all, snat()),
      ...(['external-blocked', 'pod', 'node', 'lb-vip'] as const).map((s) => flow(s, 'vip', 80, 'drop')),
      flow('external-blocked', 'node', nodePort, all, snat()),
      flow('external-blocked', 'externalIP', 80, all, snat()),
      flow('pod', 'clusterIP', 80, all),
    ],
  ),
  makeCase(
    'source-ranges-with-the-node',
    [service('a', { vip: true, spec: { loadBalancerSourceRanges: nodeRanges } })],
    [slices('a', at(all))],
    [
      flow('node', 'vip', 80, all, snat()),
      flow('lb-vip', 'vip', 80, all, snat()),
      flow('external', 'vip', 80, 'drop'),
    ],
  ),
  makeCase(
    'source-ranges-of-one-family',
    [service('a', { vip: true, spec: { loadBalancerSourceRanges: clientRanges.slice(0, 1) } })],
    [slices('a', at(all))],
    [
      flow('external-blocked', 'vip', 80, 'drop', { families: [4] }),
      flow('external-blocked', 'vip', 80, all, { families: [6], masquerade: true }),
    ],
  ),
  makeCase(
    'source-ranges-without-endpoints',
    [service('a', { vip: true, spec: { loadBalancerSourceRanges: clientRanges } })],
    [],
    [
      flow('external', 'vip', 80, 'reject'),
      flow('external-blocked', 'vip', 80, 'drop', { mode: 'nftables' }),
      flow('external-blocked', 'vip', 80, 'reject', { mode: 'iptables' }),
    ],
  ),
];

const two = [
  service('a', everywhere),
  service('b', { ...everywhere, number: 2, nodePort: 30_081, spec: local }),
];
const ofTwo = [slices('a', at(all)), slices('b', at(all))];

/** Section 7: who is given another address. */
const masqueradeCases: PacketFlowCase[] = [
  makeCase(
    'hairpin',
    [service('a', everywhere), service('b', { ...everywhere, number: 2, nodePort: 30_081, spec: local })],
    [slices('a', at([own])), slices('b', at([own]))],
    [
      ...(['clusterIP', ...frontends] as const).flatMap((target) => [
        flow('pod', target, portOf(target), [own], snat()),
        flow('pod', target, portOf(target, 30_081), [own], { number: 2, masquerade: true }),
      ]),
      flow('pod', 'clusterIP', 80, [own], { pod: 6 }),
    ],
  ),
  makeCase(
    'hairpin-among-others',
    [service('a')],
    [slices('a', at([own, there]))],
    [flow('pod', 'clusterIP', 80, [own, there])],
  ),
  makeCase(
    'masquerade-all',
    two,
    ofTwo,
    [
      ...internal(all, snat()),
      flow('pod', 'vip', 80, all, { number: 2 }),
      flow('external', 'vip', 80, [here], { number: 2 }),
    ],
    { settings: { masqueradeAll: true } },
  ),
  ...[false, true].map((masqueradeAll) =>
    makeCase(
      `no-detector${masqueradeAll ? '-masquerade-all' : ''}`,
      two,
      ofTwo,
      [
        ...internal(all, { masquerade: masqueradeAll }),
        ...external(() => all, snat),
        ...sources.flatMap((source) =>
          frontends.map((target) =>
            flow(source, target, portOf(target, 30_081), source === 'node' ? all : [here], {
              number: 2,
              masquerade: source === 'node',
            }),
          ),
        ),
      ],
      { settings: { localPodCIDRs: null, masqueradeAll } },
    ),
  ),
  makeCase(
    'no-detector-hairpin',
    [service('a')],
    [slices('a', at([own]))],
    [flow('pod', 'clusterIP', 80, [own], snat())],
    { settings: { localPodCIDRs: null } },
  ),
  makeCase(
    'detector-of-one-family',
    two,
    ofTwo,
    [
      flow('pod', 'vip', 80, all, { number: 2, families: [4] }),
      flow('pod', 'vip', 80, [here], { number: 2, families: [6] }),
      flow('external', 'clusterIP', 80, all, { families: [4], masquerade: true }),
      flow('external', 'clusterIP', 80, all, { families: [6] }),
    ],
    { settings: { localPodCIDRs: ['10.244.0.0/16'] } },
  ),
];

const onNode = (source: Source, target: Target, options: FlowOptions = {}) =>
  flow(source, target, nodePort, all, { masquerade: true, ...options });
const notOnNode = (source: Source, target: Target, options: FlowOptions = {}) =>
  flow(source, target, nodePort, 'none', options);

/** A Service with a NodePort, and where that is answered. */
function addressCase(
  id: string,
  flows: Parameters<typeof makeCase>[3],
  others: Parameters<typeof makeCase>[4] = {},
): PacketFlowCase {
  return makeCase(
    `node-port-addresses-${id}`,
    [service('a', { nodePort })],
    [slices('a', at(all))],
    flows,
    others,
  );
}

const gate = { KubeProxyNFTablesLocalhostNodePorts: true };

/** Section 8: which addresses answer NodePorts. */
const addressCases: PacketFlowCase[] = [
  addressCase('ranges', [
    ...sources.flatMap((source) => [onNode(source, 'node'), notOnNode(source, 'otherNodeAddress')]),
    notOnNode('loopback', 'loopback'),
  ]),
  addressCase(
    'all',
    [
      ...sources.flatMap((source) => [onNode(source, 'node'), onNode(source, 'otherNodeAddress')]),
      notOnNode('loopback', 'loopback'),
    ],
    { settings: { nodePortAddresses: null } },
  ),
  addressCase(
    'primary',
    [
      ...sources.flatMap((source) => [onNode(source, 'node'), notOnNode(source, 'otherNodeAddress')]),
      notOnNode('loopback', 'loopback'),
    ],
    { modes: ['nftables'], settings: { nodePortAddresses: ['primary'] } },
  ),
  addressCase(
    'of-one-family',
    [
      onNode('external', 'node'),
      notOnNode('external', 'otherNodeAddress', { families: [4] }),
      onNode('external', 'otherNodeAddress', { families: [6] }),
    ],
    { settings: { nodePortAddresses: ['192.0.2.10/32'] } },
  ),
  addressCase(
    'zero-ranges',
    [onNode('external', 'node'), onNode('external', 'otherNodeAddress'), notOnNode('loopback', 'loopback')],
    { settings: { nodePortAddresses: ['0.0.0.0/0', '::/0'] } },
  ),
  addressCase(
    'localhost-iptables',
    [onNode('loopback', 'loopback', { families: [4] }), notOnNode('loopback', 'loopback', { families: [6] })],
    {
      modes: ['iptables'],
      settings: { nodePortAddresses: null, localhostNodePorts: true },
    },
  ),
  addressCase('localhost-iptables-off', [notOnNode('loopback', 'loopback')], {
    modes: ['iptables'],
    settings: { nodePortAddresses: null },
  }),
  addressCase('localhost-iptables-elsewhere', [notOnNode('loopback', 'loopback')], {
    modes: ['iptables'],
    settings: { localhostNodePorts: true },
  }),
  addressCase(
    'localhost-nftables',
    [onNode('loopback', 'loopback'), onNode('external', 'node'), notOnNode('external', 'otherNodeAddress')],
    {
      modes: ['nftables'],
      featureGates: gate,
      settings: { nodePortAddresses: ['primary', 'localhost'] },
    },
  ),
];

const zones = (...names: string[]) => ({ zones: names });
const terminating = { conditions: { ready: false, serving: true, terminating: true } };
const gone = { conditions: { ready: false, serving: false, terminating: true } };
const unready = { conditions: { ready: false } };

/** A Service that is offered from a ClusterIP, and if there are `fromOutside`, with policy Local from a NodePort. */
function choiceCase(
  id: string,
  endpoints: readonly CaseEndpoint[],
  fromPods: readonly Backend[],
  fromOutside?: readonly Backend[],
  others: Parameters<typeof makeCase>[4] = {},
): PacketFlowCase {
  const options = fromOutside ? { nodePort, spec: local } : {};
  const listOf = (backends: readonly Backend[]) => backends.flatMap(([place, n]) => addresses(place, n));
  const [cluster, ofNode] = [listOf(fromPods), fromOutside ? listOf(fromOutside) : null];
  return makeCase(
    id,
    [service('a', options)],
    [slices('a', endpoints)],
    [
      flow('pod', 'clusterIP', 80, fromPods.length > 0 ? fromPods : 'reject'),
      ...(fromOutside ? [flow('external', 'node', nodePort, fromOutside)] : []),
    ],
    {
      categorize: {
        cluster,
        local: ofNode,
        allReachable: [...new Set([...cluster, ...(ofNode ?? [])])],
        hasAnyEndpoints: fromPods.length > 0,
      },
      ...others,
    },
  );
}

const inZones: CaseEndpoint[] = [
  { backend: here, ...zones('zone-1') },
  { backend: there, ...zones('zone-1') },
  { backend: there2, ...zones('zone-2') },
];

/** Section 4: which endpoints of a port are used. */
const choiceCases: PacketFlowCase[] = [
  choiceCase('zone', inZones, [here, there]),
  choiceCase(
    'zone-and-etp-local',
    [
      { backend: here, ...zones('zone-2') },
      { backend: own, ...zones('zone-1') },
      { backend: there, ...zones('zone-1') },
    ],
    [own, there],
    [here, own],
  ),
  choiceCase(
    'zone-that-nobody-names',
    [
      { backend: here, ...zones('zone-2') },
      { backend: there, ...zones('zone-3') },
    ],
    [here, there],
  ),
  choiceCase('zone-and-one-without-hints', [...inZones.slice(0, 1), { backend: there2 }], [here, there2]),
  choiceCase(
    'zone-and-one-that-is-not-ready',
    [{ backend: here, ...zones('zone-2') }, ...inZones.slice(1, 2), { backend: there2, ...unready }],
    [there],
  ),
  choiceCase(
    'zone-with-none-that-is-ready',
    [
      { backend: here, ...zones('zone-1'), ...unready },
      { backend: there, ...zones('zone-2') },
    ],
    [there],
  ),
  choiceCase('node-without-a-zone', inZones, all, undefined, { node: { ...node, zone: '' } }),
  choiceCase(
    'node',
    [
      { backend: here, ...zones('zone-1'), nodes: ['node-a'] },
      { backend: there, ...zones('zone-1'), nodes: ['node-b'] },
    ],
    [here],
  ),
  choiceCase(
    'node-that-nobody-names',
    [
      { backend: there, ...zones('zone-1'), nodes: ['node-b'] },
      { backend: there2, ...zones('zone-2'), nodes: ['node-c'] },
    ],
    [there],
  ),
  choiceCase(
    'several-zones',
    [
      { backend: here, ...zones('zone-1', 'zone-2') },
      { backend: there, ...zones('zone-2') },
    ],
    [here],
  ),
  choiceCase('terminating', [{ backend: here }, { backend: there, ...terminating }], [here]),
  choiceCase(
    'terminating-as-a-last-resort',
    [
      { backend: here, ...terminating },
      { backend: there, ...terminating },
      { backend: there2, ...gone },
      { backend: own, ...unready },
    ],
    [here, there],
  ),
  choiceCase(
    'terminating-in-the-local-list-alone',
    [{ backend: here, ...terminating }, { backend: there }],
    [there],
    [here],
  ),
  choiceCase(
    'terminating-whatever-the-zone',
    [
      { backend: here, ...terminating },
      { backend: there, ...terminating, ...zones('zone-1') },
    ],
    [here, there],
  ),
  choiceCase(
    'terminating-but-ready',
    [
      { backend: here, conditions: { ready: true, serving: true, terminating: true } },
      { backend: there, ...terminating },
    ],
    [here],
  ),
  choiceCase(
    'none-that-serves',
    [
      { backend: here, ...gone },
      { backend: there, ...unready },
    ],
    nobody,
  ),
];

const shared = { externalIPs: addresses('externalIP', 7) };

/** Sections 1 to 3: what objects mean. */
const objectCases: PacketFlowCase[] = [
  makeCase(
    'services-that-are-ignored',
    [
      service('a', { spec: { clusterIP: 'None', clusterIPs: ['None'] } }),
      service('b', { number: 2, nodePort: 30_081, spec: { type: 'ExternalName' } }),
      {
        ...service('c', { number: 3 }),
        metadata: {
          namespace: 'ns',
          name: 'c',
          labels: { 'service.kubernetes.io/service-proxy-name': 'another' },
        },
      },
    ],
    ['a', 'b', 'c'].map((name) => slices(name, at(all))),
    [
      flow('pod', 'clusterIP', 80, 'drop', { number: 2, mode: 'nftables' }),
      flow('pod', 'clusterIP', 80, 'none', { number: 2, mode: 'iptables' }),
      flow('external', 'node', 30_081, 'none'),
      flow('pod', 'clusterIP', 80, 'drop', { number: 3, mode: 'nftables' }),
    ],
  ),
  makeCase(
    'addresses-with-zeros',
    [service('a', { spec: { clusterIP: '10.096.0.001', clusterIPs: ['10.096.0.001', 'fd00:96::1'] } })],
    [
      [
        {
          kind: 'EndpointSlice',
          metadata: { namespace: 'ns', name: 'a-1', labels: { 'kubernetes.io/service-name': 'a' } },
          addressType: 'IPv4',
          ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
          endpoints: [{ addresses: ['10.244.002.001'] }],
        },
      ],
    ],
    [
      flow('pod', 'clusterIP', 80, [there], { families: [4] }),
      flow('pod', 'clusterIP', 80, 'reject', { families: [6] }),
    ],
  ),
  makeCase(
    'ip-mode-proxy',
    [
      {
        ...service('a'),
        status: { loadBalancer: { ingress: addresses('vip', 1).map((ip) => ({ ip, ipMode: 'Proxy' })) } },
      },
    ],
    [slices('a', at(all))],
    sources.map((source) => flow(source, 'vip', 80, 'none')),
  ),
  makeCase(
    'slices-are-merged',
    [service('a')],
    [
      slices('a', at([here])),
      slices('a', at([here, there]), undefined, '-b'),
      slices('a', at([there2]), [{ name: 'q', port: 8080, protocol: 'TCP' }, { name: 'p' }], '-c'),
    ],
    [flow('pod', 'clusterIP', 80, [here, there])],
  ),
  makeCase(
    'one-external-ip-of-two-services',
    [service('b', { number: 2, spec: shared }), service('a', { spec: shared })],
    [slices('a', at([here])), slices('b', at([there]))],
    [
      flow('external', 'externalIP', 80, [here], { number: 7, masquerade: true }),
      flow('pod', 'clusterIP', 80, [there], { number: 2 }),
    ],
  ),
  makeCase(
    'session-affinity',
    [service('a', { nodePort, spec: { sessionAffinity: 'ClientIP' } })],
    [slices('a', at(all))],
    [...internal(all), onNode('external', 'node')],
  ),
];

const life = (step: number) => ({ sequence: { group: 'life', step } });
const zone = (step: number) => ({ sequence: { group: 'zone', step } });

/** States that follow each other. */
const sequenceCases: PacketFlowCase[] = [
  makeCase(
    'life-1-without-endpoints',
    [service('a', { nodePort })],
    [],
    [flow('pod', 'clusterIP', 80, 'reject')],
    life(1),
  ),
  makeCase(
    'life-2-endpoints-come',
    [service('a', { nodePort })],
    [slices('a', at(all))],
    [flow('pod', 'clusterIP', 80, all), onNode('external', 'node')],
    life(2),
  ),
  makeCase(
    'life-3-one-goes-and-the-node-port-is-another',
    [service('a', { nodePort: 30_090 })],
    [slices('a', at([here, there]))],
    [
      flow('pod', 'clusterIP', 80, [here, there]),
      notOnNode('external', 'node'),
      flow('external', 'node', 30_090, [here, there], snat()),
    ],
    life(3),
  ),
  makeCase(
    'life-4-policies-change',
    [service('a', { nodePort: 30_090, spec: { ...local, ...internalLocal } })],
    [slices('a', at([here, there]))],
    [flow('pod', 'clusterIP', 80, [here]), flow('external', 'node', 30_090, [here])],
    life(4),
  ),
  makeCase(
    'life-5-another-service-takes-the-node-port',
    [service('b', { number: 2, nodePort: 30_090 })],
    [slices('a', at([here, there])), slices('b', at([there2]))],
    [
      flow('external', 'node', 30_090, [there2], snat()),
      flow('pod', 'clusterIP', 80, 'drop', { mode: 'nftables' }),
    ],
    life(5),
  ),
  makeCase(
    'life-6-it-is-deleted',
    [],
    [],
    [
      flow('external', 'node', 30_090, 'none'),
      flow('pod', 'clusterIP', 80, 'none', { number: 2, mode: 'iptables' }),
    ],
    life(6),
  ),
  makeCase(
    'zone-1',
    [service('a')],
    [slices('a', inZones)],
    [flow('pod', 'clusterIP', 80, [here, there])],
    zone(1),
  ),
  makeCase(
    'zone-2-the-node-is-in-another',
    [service('a')],
    [slices('a', inZones)],
    [flow('pod', 'clusterIP', 80, [there2])],
    { ...zone(2), node: { ...node, zone: 'zone-2' } },
  ),
];

/** All of them. */
export const packetFlowCases: readonly PacketFlowCase[] = [
  ...frontendCases,
  ...rangeCases,
  ...masqueradeCases,
  ...addressCases,
  ...choiceCases,
  ...objectCases,
  ...sequenceCases,
];
