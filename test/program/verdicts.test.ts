import assert from 'node:assert/strict';

import type { FrontendSpec, ServiceSpec, TrafficPolicy } from '../../lib/spec';
import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, type Packet, parse } from './packets';

const all = Object.values(families);
const protocols = ['TCP', 'UDP', 'SCTP'] as const;

/** Whether and where a service has backends. */
const places = {
  'no backend': { offset: 0, local: false, remote: false },
  'backends elsewhere only': { offset: 1, local: false, remote: true },
  'backends here and elsewhere': { offset: 2, local: true, remote: true },
} as const;
type Place = keyof typeof places;

const kinds = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalIPs'] as const;
type Kind = (typeof kinds)[number];

/** Every combination of policy and place has ports of its own. */
const portOf = (kind: Kind, policy: TrafficPolicy, place: Place) =>
  (kind === 'NodePort' ? 30000 : 100) + places[place].offset + (policy === 'Local' ? 10 : 0);

function addressOf(kind: Kind, f: FamilyAddresses): string {
  return { ClusterIP: f.clusterIP, NodePort: f.node, LoadBalancer: f.vip, ExternalIPs: f.externalIP }[kind];
}

function frontendsOf(policy: TrafficPolicy, place: Place): FrontendSpec[] {
  return protocols.flatMap((protocol) =>
    kinds.flatMap((type): FrontendSpec[] => {
      const port = portOf(type, policy, place);
      if (type === 'NodePort') return [{ type, port, protocol }];
      return all.map((f) => ({ type, address: addressOf(type, f), port, protocol }));
    }),
  );
}

function backendsOf(place: Place): ServiceSpec['backends'] {
  const { local, remote } = places[place];
  return all.flatMap((f) => [
    ...(local ? [{ address: f.local, port: 8080, local: true }] : []),
    ...(remote ? [{ address: f.remote, port: 8080 }] : []),
  ]);
}

const sources = {
  outside: { device: 'eth0', address: (f: FamilyAddresses) => f.client },
  'a pod': { device: 'lxc0', address: (f: FamilyAddresses) => f.pod },
} as const;
type Source = keyof typeof sources;

let lastPort = 1024;

const request = (source: Source, f: FamilyAddresses, changes: Partial<Packet>): Packet => ({
  source: sources[source].address(f),
  sourcePort: ++lastPort,
  destination: f.vip,
  destinationPort: 80,
  protocol: 'TCP',
  ...changes,
});

/** In so many draws of two backends one is left out with a probability of 2^-39. */
const draws = 40;

async function destinations(harness: Harness, source: Source, packet: () => Packet): Promise<string[]> {
  const found = new Set<string>();
  for (let i = 0; i < draws; i++) {
    const { retval, frame } = await harness.enter(sources[source].device, build(packet()));
    assert.equal(retval, verdicts.redirect);
    const { destination, valid } = parse(frame);
    assert.ok(valid);
    found.add(destination);
  }
  return [...found].sort();
}

/** Sends one packet, and says what was done to it: `untouched`, `served`, `answered`, or dropped, and counted as what. */
async function outcomeOf(harness: Harness, source: Source, packet: Packet): Promise<string> {
  const sent = build(packet);
  let outcome = '';
  const counted = await harness.countedBy(async () => {
    const { retval, frame } = await harness.enter(sources[source].device, sent);
    if (retval === verdicts.next) {
      assertSameFrame(frame, sent);
      outcome = 'untouched';
    } else if (retval === verdicts.redirect) {
      outcome = frame.indexOf(sent.subarray(0, 6)) === 0 ? 'served' : 'answered';
    } else {
      assert.equal(retval, verdicts.drop);
      outcome = 'dropped';
    }
  });
  const reasons = Object.keys(counted).filter((name) => name !== 'FLOW_CREATED');
  assert.ok(Object.values(counted).every((n) => n === 1));
  return [outcome, ...reasons].join(' ');
}

describe('program: verdicts', function () {
  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  describe('who gets which list of backends', () => {
    let harness: Harness;

    before(async () => {
      harness = await Harness.open({
        devices: ['eth0', 'eth1', 'lxc0'],
        externalClusterIP: true,
        externalIPRanges: ['192.0.2.0/24', '2001:db8:e::/64'],
      });
      for (const policy of ['Cluster', 'Local'] as const) {
        for (const place of Object.keys(places) as Place[]) {
          await harness.call('put', {
            name: `${policy} ${place}`,
            frontends: frontendsOf(policy, place),
            backends: backendsOf(place),
            externalTrafficPolicy: policy,
            internalTrafficPolicy: policy,
          });
        }
      }
    });

    after(() => harness?.close());

    /** What the table of kube-proxy's rules says (nftables): reject, drop, or a list of backends. */
    function expected(kind: Kind, policy: TrafficPolicy, source: Source, place: Place) {
      if (place === 'no backend') return 'reject';
      if (policy === 'Cluster' || (kind !== 'ClusterIP' && source === 'a pod')) return 'cluster';
      return places[place].local ? 'local' : 'drop';
    }

    const meanings = {
      reject: 'rejected',
      drop: 'dropped in silence',
      cluster: 'the cluster-wide list',
      local: 'the list of this node',
    };

    for (const kind of kinds) {
      for (const policy of ['Cluster', 'Local'] as const) {
        for (const source of Object.keys(sources) as Source[]) {
          for (const place of Object.keys(places) as Place[]) {
            const outcome = expected(kind, policy, source, place);
            it(`${kind}, policy ${policy}, from ${source}, ${place}: ${meanings[outcome]}`, async () => {
              for (const f of all) {
                for (const protocol of protocols) {
                  const packet = () =>
                    request(source, f, {
                      destination: addressOf(kind, f),
                      destinationPort: portOf(kind, policy, place),
                      protocol,
                    });
                  if (outcome === 'cluster' || outcome === 'local') {
                    const list = [
                      ...(places[place].local ? [f.local] : []),
                      ...(outcome === 'cluster' ? [f.remote] : []),
                    ];
                    assert.deepEqual(await destinations(harness, source, packet), list.sort());
                    continue;
                  }
                  const counted = await harness.countedBy(async () => {
                    const { retval } = await harness.enter(sources[source].device, build(packet()));
                    assert.equal(retval, outcome === 'drop' ? verdicts.drop : verdicts.redirect);
                  });
                  assert.deepEqual(
                    counted,
                    outcome === 'drop' ? { DROP_NO_LOCAL_BACKEND: 1 } : { REJECT_NO_BACKEND: 1 },
                  );
                }
              }
            });
          }
        }
      }
    }

    it('unknown ports of a ClusterIP that is served outside are rejected there, too', async () => {
      for (const f of all) {
        const packet = request('outside', f, { destination: f.clusterIP, destinationPort: 99 });
        assert.equal(await outcomeOf(harness, 'outside', packet), 'answered REJECT_PORT');
      }
    });

    it('backends of one family only: the other family is rejected', async () => {
      await harness.call('put', {
        name: 'one family',
        frontends: all.map((f) => ({ type: 'LoadBalancer' as const, address: f.vip, port: 120 })),
        backends: [{ address: families.IPv4.remote, port: 8080 }],
      });
      const there = await harness.enter(
        'eth0',
        build(request('outside', families.IPv4, { destinationPort: 120 })),
      );
      assert.equal(parse(there.frame).destination, families.IPv4.remote);
      assert.deepEqual(
        await harness.countedBy(() =>
          harness.enter('eth0', build(request('outside', families.IPv6, { destinationPort: 120 }))),
        ),
        { REJECT_NO_BACKEND: 1 },
      );
    });
  });

  describe('addresses of frontends', () => {
    let harness: Harness;

    before(async () => {
      harness = await Harness.open({
        devices: ['eth0', 'eth1', 'lxc0'],
        serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/112'],
      });
      await harness.call('put', {
        name: 'web',
        frontends: [
          ...all.flatMap((f) => [
            { type: 'ClusterIP' as const, address: f.clusterIP, port: 80 },
            { type: 'LoadBalancer' as const, address: f.vip, port: 80 },
            { type: 'ExternalIPs' as const, address: f.externalIP, port: 80 },
            { type: 'LoadBalancer' as const, address: f.node, port: 80 },
          ]),
          { type: 'NodePort', port: 30001 },
        ],
        backends: all.map((f) => ({ address: f.remote, port: 8080 })),
      });
    });

    after(() => harness?.close());

    const rows: [
      title: string,
      to: (f: FamilyAddresses) => Partial<Packet>,
      outcomes: Record<Source, string>,
    ][] = [
      [
        'a ClusterIP is dropped from outside unless it is served there',
        (f) => ({ destination: f.clusterIP }),
        { outside: 'dropped DROP_CLUSTER_IP', 'a pod': 'served' },
      ],
      [
        'unknown ports of an active ClusterIP are rejected',
        (f) => ({ destination: f.clusterIP, destinationPort: 81 }),
        { outside: 'dropped DROP_CLUSTER_IP', 'a pod': 'answered REJECT_PORT' },
      ],
      [
        'unknown protocols of an active ClusterIP are rejected',
        (f) => ({ destination: f.clusterIP, protocol: 'UDP' }),
        { outside: 'dropped DROP_CLUSTER_IP', 'a pod': 'answered REJECT_PORT' },
      ],
      [
        'an unallocated address in serviceCIDRs is dropped',
        (f) => ({ destination: f.clusterIP.replace(/1$/, '9') }),
        { outside: 'dropped DROP_UNALLOCATED', 'a pod': 'dropped DROP_UNALLOCATED' },
      ],
      [
        'a VIP’s unserved ports do not loop between routers',
        (f) => ({ destinationPort: 81, destination: f.vip }),
        { outside: 'dropped DROP_PORT', 'a pod': 'untouched' },
      ],
      [
        'a VIP’s unserved protocols do not loop between routers',
        (f) => ({ protocol: 'SCTP', destination: f.vip }),
        { outside: 'dropped DROP_PORT', 'a pod': 'untouched' },
      ],
      [
        'an external IP’s unserved ports do not loop between routers',
        (f) => ({ destinationPort: 81, destination: f.externalIP }),
        { outside: 'dropped DROP_PORT', 'a pod': 'untouched' },
      ],
      [
        'an external IP that nobody vouches for is not followed by pods',
        (f) => ({ destination: f.externalIP }),
        { outside: 'served', 'a pod': 'untouched' },
      ],
      [
        'a VIP that is an address of the node is served',
        (f) => ({ destination: f.node }),
        { outside: 'served', 'a pod': 'served' },
      ],
      [
        'the other ports of a VIP that is an address of the node are the node’s',
        (f) => ({ destination: f.node, destinationPort: 22 }),
        { outside: 'untouched', 'a pod': 'untouched' },
      ],
      [
        'a NodePort is served',
        (f) => ({ destination: f.node, destinationPort: 30001 }),
        { outside: 'served', 'a pod': 'served' },
      ],
      [
        'a NodePort that no service has is left to the node',
        (f) => ({ destination: f.node, destinationPort: 30002 }),
        { outside: 'untouched', 'a pod': 'untouched' },
      ],
      [
        'addresses that are not served are never touched',
        (f) => ({ destination: f.remote, destinationPort: 80 }),
        { outside: 'untouched', 'a pod': 'untouched' },
      ],
      [
        'neighbours of a VIP are never touched',
        (f) => ({ destination: f.vip.replace(/7$/, '8') }),
        { outside: 'untouched', 'a pod': 'untouched' },
      ],
    ];
    for (const [title, to, outcomes] of rows) {
      it(title, async () => {
        for (const f of all) {
          for (const source of Object.keys(sources) as Source[]) {
            const packet = request(source, f, to(f));
            assert.equal(
              await outcomeOf(harness, source, packet),
              outcomes[source],
              `${source}, IPv${f.version}`,
            );
          }
        }
      });
    }

    it('an address is unallocated again when its service has gone', async () => {
      const address = '10.96.0.40';
      const packet = () => request('a pod', families.IPv4, { destination: address });
      await harness.call('put', {
        name: 'short-lived',
        frontends: [{ type: 'ClusterIP', address, port: 80 }],
        backends: [{ address: families.IPv4.remote, port: 8080 }],
      });
      assert.equal(await outcomeOf(harness, 'a pod', packet()), 'served');
      await harness.call('remove', 'short-lived');
      assert.equal(await outcomeOf(harness, 'a pod', packet()), 'dropped DROP_UNALLOCATED');
    });
  });

  describe('source ranges', () => {
    let harness: Harness;

    const clients = { IPv4: '203.0.113.0/24', IPv6: '2001:db8:1::/64' };
    const services: Partial<ServiceSpec>[] = [
      { name: '80', sourceRanges: [clients.IPv4, clients.IPv6] },
      { name: '81', sourceRanges: [clients.IPv4, clients.IPv6], sourceRangesPolicy: 'deny' },
      { name: '82', sourceRanges: [clients.IPv4] },
      { name: '83', sourceRanges: [clients.IPv4], sourceRangesPolicy: 'deny' },
      { name: '84', sourceRanges: ['192.0.2.0/24', '2001:db8:ffff::/48'] },
      { name: '85', sourceRanges: ['192.0.2.0/24', '2001:db8:ffff::/48'], backends: [] },
      { name: '86', sourceRanges: [clients.IPv4, clients.IPv6], backends: [] },
    ];

    before(async () => {
      harness = await Harness.open({ devices: ['eth0', 'eth1', 'lxc0'], externalClusterIP: true });
      for (const service of services) {
        const port = Number(service.name);
        await harness.call('put', {
          name: `service ${port}`,
          frontends: [
            ...all.flatMap((f) => [
              { type: 'LoadBalancer' as const, address: f.vip, port },
              { type: 'LoadBalancer' as const, address: f.node, port },
              { type: 'ExternalIPs' as const, address: f.externalIP, port },
              { type: 'ClusterIP' as const, address: f.clusterIP, port },
            ]),
            { type: 'NodePort', port: 30000 + port },
          ],
          backends: all.map((f) => ({ address: f.remote, port: 8080 })),
          ...service,
        });
      }
    });

    after(() => harness?.close());

    const denied = 'dropped DROP_DENIED';
    const rows: [title: string, port: number, outcomes: Record<'IPv4' | 'IPv6', Record<Source, string>>][] = [
      [
        'who is in a range may come',
        80,
        { IPv4: { outside: 'served', 'a pod': denied }, IPv6: { outside: 'served', 'a pod': denied } },
      ],
      [
        'the deny form: who is in a range may not come',
        81,
        { IPv4: { outside: denied, 'a pod': 'served' }, IPv6: { outside: denied, 'a pod': 'served' } },
      ],
      [
        'ranges of one family leave the other one open',
        82,
        { IPv4: { outside: 'served', 'a pod': denied }, IPv6: { outside: 'served', 'a pod': 'served' } },
      ],
      [
        'denied ranges of one family leave the other one open',
        83,
        { IPv4: { outside: denied, 'a pod': 'served' }, IPv6: { outside: 'served', 'a pod': 'served' } },
      ],
      [
        'ranges are checked before backends are looked for',
        85,
        { IPv4: { outside: denied, 'a pod': denied }, IPv6: { outside: denied, 'a pod': denied } },
      ],
      [
        'who may come is rejected when there is no backend',
        86,
        {
          IPv4: { outside: 'answered REJECT_NO_BACKEND', 'a pod': denied },
          IPv6: { outside: 'answered REJECT_NO_BACKEND', 'a pod': denied },
        },
      ],
    ];
    for (const [title, port, outcomes] of rows) {
      it(title, async () => {
        for (const name of ['IPv4', 'IPv6'] as const) {
          for (const source of Object.keys(sources) as Source[]) {
            const packet = request(source, families[name], { destinationPort: port });
            assert.equal(
              await outcomeOf(harness, source, packet),
              outcomes[name][source],
              `${name} ${source}`,
            );
          }
        }
      });
    }

    it('ranges are for VIPs only: never for NodePorts, external IPs or ClusterIPs', async () => {
      for (const f of all) {
        for (const to of [
          { destination: f.node, destinationPort: 30084 },
          { destination: f.externalIP, destinationPort: 84 },
          { destination: f.clusterIP, destinationPort: 84 },
        ]) {
          assert.equal(await outcomeOf(harness, 'outside', request('outside', f, to)), 'served');
        }
        const pod = request('a pod', f, { destination: f.node, destinationPort: 30084 });
        assert.equal(await outcomeOf(harness, 'a pod', pod), 'served');
      }
    });

    it('a node that may come may come by the VIP as its address', async () => {
      for (const f of all) {
        const self = { source: f.vip, destination: f.vip };
        /* The node's own address is in the ranges of 80, and not in those of 84. */
        assert.equal(
          await outcomeOf(harness, 'outside', request('outside', f, { ...self, destinationPort: 80 })),
          'served',
        );
        assert.equal(
          await outcomeOf(harness, 'outside', request('outside', f, { ...self, destinationPort: 84 })),
          denied,
        );
        const other = { source: f.vip, destination: f.node, destinationPort: 80 };
        assert.equal(await outcomeOf(harness, 'outside', request('outside', f, other)), denied);
      }
    });

    it('ranges that change hold for new connections', async () => {
      const port = 87;
      const put = (sourceRanges: string[]) =>
        harness.call('put', {
          name: 'service 87',
          frontends: [{ type: 'LoadBalancer', address: families.IPv4.vip, port }],
          backends: [{ address: families.IPv4.remote, port: 8080 }],
          sourceRanges,
        });
      const outcome = () =>
        outcomeOf(harness, 'outside', request('outside', families.IPv4, { destinationPort: port }));
      await put(['192.0.2.0/24']);
      assert.equal(await outcome(), denied);
      await put(['192.0.2.0/24', '203.0.113.2/32']);
      assert.equal(await outcome(), 'served');
      await put(['203.0.113.3/32']);
      assert.equal(await outcome(), denied);
      await put([]);
      assert.equal(await outcome(), 'served');
    });
  });

  it('noBackend: a service without backends can be silent', async () => {
    const harness = await Harness.open({ noBackend: 'drop' });
    try {
      await harness.call('put', {
        name: 'empty',
        frontends: [{ type: 'NodePort', port: 30001 }],
        backends: [],
      });
      for (const f of all) {
        const packet = request('outside', f, { destination: f.node, destinationPort: 30001 });
        assert.equal(await outcomeOf(harness, 'outside', packet), 'dropped DROP_NO_BACKEND');
      }
    } finally {
      await harness.close();
    }
  });
});
