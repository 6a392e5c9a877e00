import assert from 'node:assert/strict';

import type { Query, Reason, SimulatorOptions, Verdict } from '../../../lib/simulator';
import type { FrontendSpec, Protocol, ServiceSpec } from '../../../lib/spec';
import { addresses, type Asker, askers, families, open, web } from './node';

type To = 'clusterIP' | 'vip' | 'externalIP' | 'node' | 'secondary';

/** A line of docs/packet-path.md and docs/simulator.md. */
interface Case {
  title: string;
  services?: Partial<ServiceSpec>[];
  options?: SimulatorOptions;
  to: To;
  port?: number;
  protocol?: Protocol;
  /** `verdict: reason` by who asks. */
  expected: Partial<Record<Asker, `${Verdict['verdict']}: ${Reason}`>>;
}

const frontends = (type: FrontendSpec['type'], to: To, port: number): FrontendSpec[] =>
  families.map((f) => ({ type, address: addresses[f][to] as string, port }));

const nodePort: FrontendSpec[] = [{ type: 'NodePort', port: 30080 }];
const served = 'forward: chosen';
const everybody = {
  outside: served,
  'a pod': served,
  "a pod's socket": served,
  "the node's socket": served,
} as const;
const silence = (reason: Reason) => `drop: ${reason}` as const;
const refused = (reason: Reason) => `reject: ${reason}` as const;
const untouched = (reason: Reason) => `untouched: ${reason}` as const;
const localRanges = ['203.0.113.0/24', '2001:db8:113::/48'];

const cases: Case[] = [
  {
    title: 'a ClusterIP',
    to: 'clusterIP',
    expected: { ...everybody, outside: silence('not-served-outside') },
  },
  {
    title: 'a ClusterIP that is served outside',
    options: { externalClusterIP: true },
    to: 'clusterIP',
    expected: everybody,
  },
  {
    title: 'another port of a ClusterIP',
    to: 'clusterIP',
    port: 81,
    expected: {
      outside: silence('not-served-outside'),
      'a pod': refused('unknown-port'),
      "a pod's socket": refused('unknown-port'),
      "the node's socket": refused('unknown-port'),
    },
  },
  {
    title: 'a LoadBalancer IP',
    services: [{ frontends: frontends('LoadBalancer', 'vip', 80) }],
    to: 'vip',
    expected: everybody,
  },
  {
    title: 'another port of a LoadBalancer IP',
    services: [{ frontends: frontends('LoadBalancer', 'vip', 80) }],
    to: 'vip',
    port: 81,
    expected: {
      outside: silence('unserved-port'),
      'a pod': untouched('no-service'),
      "a pod's socket": untouched('no-service'),
      "the node's socket": untouched('no-service'),
    },
  },
  {
    title: 'another port of a LoadBalancer IP that the node has',
    services: [{ frontends: frontends('LoadBalancer', 'node', 80) }],
    to: 'node',
    port: 81,
    expected: {
      outside: untouched('own-address'),
      'a pod': untouched('no-service'),
      "a pod's socket": untouched('no-service'),
      "the node's socket": untouched('no-service'),
    },
  },
  {
    title: 'a LoadBalancer IP with source ranges that let clients outside in',
    services: [{ frontends: frontends('LoadBalancer', 'vip', 80), sourceRanges: localRanges }],
    to: 'vip',
    expected: {
      outside: served,
      'a pod': silence('denied-by-source-ranges'),
      "a pod's socket": silence('denied-by-source-ranges'),
      "the node's socket": silence('denied-by-source-ranges'),
    },
  },
  {
    title: 'a LoadBalancer IP with source ranges that keep clients outside away',
    services: [
      {
        frontends: frontends('LoadBalancer', 'vip', 80),
        sourceRanges: localRanges,
        sourceRangesPolicy: 'deny',
      },
    ],
    to: 'vip',
    expected: { ...everybody, outside: silence('denied-by-source-ranges') },
  },
  {
    title: 'an external IP of nobody',
    services: [{ frontends: frontends('ExternalIPs', 'externalIP', 80) }],
    to: 'externalIP',
    expected: {
      outside: served,
      'a pod': untouched('not-served-inside'),
      "a pod's socket": untouched('not-served-inside'),
      "the node's socket": untouched('not-served-inside'),
    },
  },
  {
    title: 'an external IP that the embedder trusts',
    services: [{ frontends: frontends('ExternalIPs', 'externalIP', 80) }],
    options: { externalIPRanges: ['198.51.100.0/24', '2001:db8:51::/48'] },
    to: 'externalIP',
    expected: everybody,
  },
  {
    title: 'a NodePort at the primary address',
    services: [{ frontends: nodePort }],
    to: 'node',
    port: 30080,
    expected: everybody,
  },
  {
    title: 'a NodePort at another address',
    services: [{ frontends: nodePort }],
    to: 'secondary',
    port: 30080,
    expected: {
      outside: untouched('no-service'),
      'a pod': untouched('no-service'),
      "a pod's socket": untouched('no-service'),
      "the node's socket": untouched('no-service'),
    },
  },
  {
    title: 'a NodePort at another address, when all answer',
    services: [{ frontends: nodePort }],
    options: { nodePortAddresses: ['all'] },
    to: 'secondary',
    port: 30080,
    expected: everybody,
  },
  {
    title: 'a HostPort without hostIP, at any address of the node',
    services: [{ frontends: [{ type: 'HostPort', port: 8088 }] }],
    to: 'secondary',
    port: 8088,
    expected: everybody,
  },
  {
    title: 'a service without backends',
    services: [{ frontends: frontends('LoadBalancer', 'vip', 80), backends: [] }],
    to: 'vip',
    expected: {
      outside: refused('no-backend'),
      'a pod': refused('no-backend'),
      "a pod's socket": refused('no-backend'),
      "the node's socket": refused('no-backend'),
    },
  },
  {
    title: 'a service without backends, where packets are dropped',
    services: [{ frontends: frontends('LoadBalancer', 'vip', 80), backends: [] }],
    options: { noBackend: 'drop' },
    to: 'vip',
    expected: {
      outside: silence('no-backend'),
      'a pod': silence('no-backend'),
      "a pod's socket": refused('no-backend'),
      "the node's socket": refused('no-backend'),
    },
  },
  {
    title: 'external policy Local without a backend here',
    services: [
      {
        frontends: frontends('LoadBalancer', 'vip', 80),
        backends: families.map((f) => ({ address: addresses[f].there, port: 8080 })),
        externalTrafficPolicy: 'Local',
      },
    ],
    to: 'vip',
    expected: { ...everybody, outside: silence('no-local-backend') },
  },
  {
    title: 'internal policy Local without a backend here',
    services: [
      {
        backends: families.map((f) => ({ address: addresses[f].there, port: 8080 })),
        internalTrafficPolicy: 'Local',
      },
    ],
    to: 'clusterIP',
    expected: {
      outside: silence('not-served-outside'),
      'a pod': silence('no-local-backend'),
      "a pod's socket": silence('no-local-backend'),
      "the node's socket": silence('no-local-backend'),
    },
  },
  {
    title: 'an address in serviceCIDRs that no service has',
    services: [],
    options: { serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/48'] },
    to: 'clusterIP',
    expected: {
      outside: silence('unallocated-cluster-ip'),
      'a pod': silence('unallocated-cluster-ip'),
      "a pod's socket": silence('unallocated-cluster-ip'),
      "the node's socket": silence('unallocated-cluster-ip'),
    },
  },
  {
    title: 'an address of the node in serviceCIDRs',
    services: [],
    options: { serviceCIDRs: ['192.0.2.0/24', '2001:db8::/48'] },
    to: 'node',
    expected: {
      outside: untouched('own-address'),
      'a pod': untouched('own-address'),
      "a pod's socket": untouched('own-address'),
      "the node's socket": untouched('own-address'),
    },
  },
  {
    title: 'SCTP',
    services: [
      {
        frontends: families.map((f) => ({
          type: 'ClusterIP',
          address: addresses[f].clusterIP,
          port: 80,
          protocol: 'SCTP',
        })),
      },
    ],
    to: 'clusterIP',
    protocol: 'SCTP',
    expected: {
      'a pod': served,
      "a pod's socket": untouched('protocol-not-translated'),
      "the node's socket": untouched('protocol-not-translated'),
    },
  },
  {
    title: 'a ClusterIP, where only the sockets of the host are translated',
    options: { socketLB: { hostNamespaceOnly: true } },
    to: 'clusterIP',
    expected: {
      'a pod': served,
      "a pod's socket": untouched('pod-socket'),
      "the node's socket": served,
    },
  },
  {
    title: 'a ClusterIP, where no sockets are translated',
    options: { socketLB: false },
    to: 'clusterIP',
    expected: {
      'a pod': served,
      "a pod's socket": untouched('sockets-not-translated'),
      "the node's socket": untouched('sockets-not-translated'),
    },
  },
  {
    title: 'an address of nobody',
    services: [],
    to: 'vip',
    expected: {
      outside: untouched('no-service'),
      'a pod': untouched('no-service'),
      "a pod's socket": untouched('no-service'),
      "the node's socket": untouched('no-service'),
    },
  },
];

describe('simulator: verdicts', () => {
  for (const { title, services = [{}], options, to, port = 80, protocol = 'TCP', expected } of cases) {
    it(title, async () => {
      const simulator = await open(services.map(web), options);
      for (const family of families) {
        const address = addresses[family][to];
        if (address === undefined) continue;
        for (const [asker, wanted] of Object.entries(expected)) {
          const query = { ...askers[asker as Asker](family), to: address, port, protocol } as Query;
          const { verdict, reason } = simulator.simulate(query);
          assert.equal(`${verdict}: ${reason}`, wanted, `${asker}, IPv${family}`);
        }
      }
    });
  }

  it('names the service and its frontend, also where it does not serve', async () => {
    const simulator = await open([
      web({
        frontends: [
          ...web().frontends,
          ...nodePort,
          ...frontends('LoadBalancer', 'vip', 80),
          ...frontends('ExternalIPs', 'externalIP', 80),
        ],
        sourceRanges: localRanges,
      }),
      { name: 'empty', frontends: [{ type: 'ClusterIP', address: '10.96.0.9', port: 80 }], backends: [] },
    ]);
    const told = (query: Query) => {
      const { reason, service, frontend } = simulator.simulate(query);
      return [reason, service, frontend];
    };
    const pod = { from: '10.244.1.9', socket: { hostNetwork: false } };
    const client = { from: '203.0.113.5', device: 'eth0' };
    const client6 = { from: '2001:db8:113::5', device: 'eth0' };
    assert.deepEqual(told({ ...pod, to: '10.96.0.1', port: 80 }), [
      'chosen',
      'default/web',
      '10.96.0.1:80/TCP',
    ]);
    assert.deepEqual(told({ ...client, to: '192.0.2.10', port: 30080 }), [
      'chosen',
      'default/web',
      '0.0.0.0:30080/TCP',
    ]);
    assert.deepEqual(told({ ...client6, to: '2001:db8::10', port: 30080 }), [
      'chosen',
      'default/web',
      '[::]:30080/TCP',
    ]);
    /* Not as it was written, but as the frontend is known. */
    assert.deepEqual(told({ ...client6, to: '2001:0DB8:51:0::1', port: 80 }), [
      'chosen',
      'default/web',
      '[2001:db8:51::1]:80/TCP',
    ]);
    assert.deepEqual(told({ ...pod, to: '198.51.100.1', port: 80 }), [
      'denied-by-source-ranges',
      'default/web',
      '198.51.100.1:80/TCP',
    ]);
    assert.deepEqual(told({ ...pod, to: '198.51.100.9', port: 80 }), [
      'not-served-inside',
      'default/web',
      '198.51.100.9:80/TCP',
    ]);
    assert.deepEqual(told({ ...client, to: '10.96.0.1', port: 80 }), [
      'not-served-outside',
      'default/web',
      '10.96.0.1:80/TCP',
    ]);
    assert.deepEqual(told({ ...pod, to: '10.96.0.9', port: 80 }), [
      'no-backend',
      'empty',
      '10.96.0.9:80/TCP',
    ]);
    assert.deepEqual(told({ ...pod, to: '10.96.0.1', port: 81 }), ['unknown-port', undefined, undefined]);
  });

  it('an IPv4 address mapped into IPv6 is one of IPv4', async () => {
    const simulator = await open([web()]);
    const query = { from: '::ffff:10.244.1.9', to: '::ffff:10.96.0.1', port: 80, socket: true as const };
    assert.equal(simulator.simulate(query).frontend, '10.96.0.1:80/TCP');
  });

  it('NodePorts at loopback addresses are for sockets of the host, when they are asked for', async () => {
    const asked = async (options: SimulatorOptions, hostNetwork: boolean) => {
      const simulator = await open([web({ frontends: nodePort })], options);
      return ['127.0.0.1', '127.9.9.9', '::1'].map((to) => {
        const from = to.includes(':') ? addresses[6].node : addresses[4].node;
        const { verdict, reason } = simulator.simulate({ from, to, port: 30080, socket: { hostNetwork } });
        return `${verdict}: ${reason}`;
      });
    };
    const localhost = { nodePortAddresses: ['primary', 'localhost'] };
    assert.deepEqual(new Set(await asked(localhost, true)), new Set([served]));
    assert.deepEqual(new Set(await asked(localhost, false)), new Set([untouched('loopback-of-pod')]));
    assert.deepEqual(new Set(await asked({}, true)), new Set([untouched('no-service')]));
  });

  it('a device that is not selected, or not there, lets everything through', async () => {
    const simulator = await open([web()], { externalClusterIP: true });
    for (const device of ['eth9', 'eth1']) {
      const { verdict, reason } = simulator.simulate({
        from: '203.0.113.5',
        to: '10.96.0.1',
        port: 80,
        device,
      });
      assert.deepEqual([verdict, reason], ['untouched', 'device-not-selected']);
    }
  });

  it('while no external device is selected, NodePorts answer those inside at all but pod devices', async () => {
    const node = { addresses: ['192.0.2.10'], devices: [{ name: 'lxc1', addresses: ['10.244.1.1'] }] };
    const simulator = await open([web({ frontends: nodePort })], { node });
    const ask = (to: string) =>
      simulator.simulate({ from: '10.244.1.9', to, port: 30080, device: 'lxc1' }).verdict;
    assert.equal(ask('192.0.2.10'), 'forward');
    assert.equal(ask('10.244.1.1'), 'untouched');
  });
});

describe('simulator: source NAT', () => {
  const snat = async (
    type: 'ClusterIP' | 'LoadBalancer',
    spec: Partial<ServiceSpec>,
    options: SimulatorOptions,
    asker: Asker,
    backends: 'here' | 'there',
  ) => {
    const to = type === 'ClusterIP' ? 'clusterIP' : 'vip';
    const simulator = await open(
      [
        web({
          frontends: frontends(type, to, 80),
          backends: families.map((f) => ({
            address: addresses[f][backends],
            port: 8080,
            local: backends === 'here',
          })),
          ...spec,
        }),
      ],
      { externalClusterIP: true, ...options },
    );
    const found = families.map((f) => {
      const query = { ...askers[asker](f), to: addresses[f][to], port: 80 } as Query;
      return simulator.simulate(query).snat;
    });
    assert.equal(found[0], found[1], 'both families are treated alike');
    return found[0];
  };

  it('of what goes to a ClusterIP: from outside; from pods with masqueradeAll', async () => {
    assert.equal(await snat('ClusterIP', {}, {}, 'outside', 'there'), true);
    assert.equal(await snat('ClusterIP', {}, {}, 'a pod', 'there'), false);
    assert.equal(await snat('ClusterIP', {}, { masqueradeAll: true }, 'a pod', 'there'), true);
  });

  it('of what goes to a frontend of policy Cluster, and not of policy Local', async () => {
    const local = { externalTrafficPolicy: 'Local' } as const;
    assert.equal(await snat('LoadBalancer', {}, {}, 'outside', 'there'), true);
    assert.equal(await snat('LoadBalancer', {}, {}, 'a pod', 'there'), true);
    assert.equal(await snat('LoadBalancer', local, {}, 'outside', 'here'), false);
    assert.equal(await snat('LoadBalancer', local, {}, 'a pod', 'there'), false);
  });

  it('where the backend runs here: with masqueradeLocal', async () => {
    assert.equal(await snat('LoadBalancer', {}, {}, 'outside', 'here'), false);
    assert.equal(await snat('LoadBalancer', {}, { masqueradeLocal: true }, 'outside', 'here'), true);
  });

  it('of what goes to the client itself, whatever the policy', async () => {
    const simulator = await open([
      web({
        backends: [{ address: '10.244.1.9', port: 8080, local: true }],
        frontends: frontends('ClusterIP', 'clusterIP', 80).slice(0, 1),
      }),
    ]);
    const query = { from: '10.244.1.9', to: '10.96.0.1', port: 80 };
    assert.equal(simulator.simulate({ ...query, device: 'lxc1' }).snat, true);
    assert.equal(simulator.simulate({ ...query, socket: { hostNetwork: false } }).snat, false);
  });

  it('never of what sockets send', async () => {
    assert.equal(await snat('LoadBalancer', {}, { masqueradeAll: true }, "a pod's socket", 'there'), false);
    assert.equal(await snat('ClusterIP', {}, { masqueradeAll: true }, "the node's socket", 'there'), false);
  });
});
