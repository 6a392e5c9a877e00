import assert from 'node:assert/strict';

import type { OpenOptions } from '../../lib/options';
import type { FrontendSpec, TrafficPolicy } from '../../lib/spec';
import { skip } from '../support/skip';
import { families, type FamilyAddresses } from './families';
import { Harness, verdicts } from './harness';
import { assertSameFrame, build, type Packet, parse } from './packets';

const all = Object.values(families);
const protocols = ['TCP', 'UDP', 'SCTP'] as const;

const kinds = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalIPs', 'HostPort'] as const;
type Kind = (typeof kinds)[number];
type Place = 'local' | 'remote';
type Source = 'outside' | 'a pod';

const policies = ['Cluster', 'Local'] as const;

function addressOf(kind: Kind, f: FamilyAddresses): string {
  const { clusterIP, node, vip, externalIP } = f;
  return { ClusterIP: clusterIP, NodePort: node, LoadBalancer: vip, ExternalIPs: externalIP, HostPort: node }[
    kind
  ];
}

function portOf(kind: Kind, policy: TrafficPolicy, number: number): number {
  const base = { ClusterIP: 100, NodePort: 30000, LoadBalancer: 100, ExternalIPs: 100, HostPort: 200 }[kind];
  return base + number + (policy === 'Local' ? 50 : 0);
}

const frontendsOf = (policy: TrafficPolicy, number: number): FrontendSpec[] =>
  protocols.flatMap((protocol) =>
    kinds.flatMap((type): FrontendSpec[] => {
      const port = portOf(type, policy, number);
      if (type === 'NodePort' || type === 'HostPort') return [{ type, port, protocol }];
      return all.map((f) => ({ type, address: addressOf(type, f), port, protocol }));
    }),
  );

let lastPort = 1024;

const request = (f: FamilyAddresses, kind: Kind, policy: TrafficPolicy, number: number): Packet => ({
  source: f.client,
  sourcePort: ++lastPort,
  destination: addressOf(kind, f),
  destinationPort: portOf(kind, policy, number),
  protocol: 'TCP',
});

const devices: OpenOptions = {
  devices: ['eth0', 'eth1', 'lxc0'],
  externalClusterIP: true,
  externalIPRanges: ['192.0.2.0/24', '2001:db8:e::/64'],
};

/** A harness with services of both policies; `numbers` are their places among the ports. */
async function opened(
  options: OpenOptions,
  services: readonly {
    number: number;
    backends: (f: FamilyAddresses) => [address: string, local: boolean];
  }[],
): Promise<Harness> {
  const harness = await Harness.open({ ...devices, ...options });
  for (const policy of policies) {
    for (const { number, backends } of services) {
      await harness.call('put', {
        name: `${policy} ${number}`,
        frontends: frontendsOf(policy, number),
        backends: all.map((f) => {
          const [address, local] = backends(f);
          return { address, port: 8080, local };
        }),
        externalTrafficPolicy: policy,
      });
    }
  }
  return harness;
}

describe('program: source NAT', function () {
  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  const numbers = { local: 0, remote: 1 } as const;
  const places = [
    { number: numbers.local, backends: (f: FamilyAddresses): [string, boolean] => [f.local, true] },
    { number: numbers.remote, backends: (f: FamilyAddresses): [string, boolean] => [f.remote, false] },
  ];

  const settings: Record<string, OpenOptions> = {
    'by default': {},
    'with masqueradeAll': { masqueradeAll: true },
    'as kube-proxy does by default': { masqueradeLocal: true },
    'as kube-proxy does with masqueradeAll': { masqueradeLocal: true, masqueradeAll: true },
  };

  for (const [title, options] of Object.entries(settings)) {
    /** The table of kube-proxy's rules; but backends of this node see their clients without masqueradeLocal. */
    function masqueraded(kind: Kind, policy: TrafficPolicy, source: Source, place: Place): boolean {
      if (place === 'local' && !options.masqueradeLocal) return false;
      if (kind === 'ClusterIP') return source === 'outside' || options.masqueradeAll === true;
      return policy === 'Cluster';
    }

    describe(title, () => {
      let harness: Harness;

      before(async () => {
        harness = await opened(options, places);
      });

      after(() => harness?.close());

      for (const kind of kinds) {
        for (const policy of policies) {
          for (const source of ['outside', 'a pod'] as const) {
            for (const place of ['local', 'remote'] as const) {
              /* Policy Local has nobody for those outside. */
              if (policy === 'Local' && kind !== 'ClusterIP' && source === 'outside' && place === 'remote')
                continue;
              const expected = masqueraded(kind, policy, source, place);
              const what = expected ? 'leaves with an address of the node' : 'keeps the client’s address';
              it(`${kind}, policy ${policy}, from ${source}, to a ${place} backend: ${what}`, async () => {
                for (const f of all) {
                  for (const protocol of protocols) {
                    const client = source === 'outside' ? f.client : f.pod;
                    const packet = { ...request(f, kind, policy, numbers[place]), source: client, protocol };
                    const { retval, frame } = await harness.enter(
                      source === 'outside' ? 'eth0' : 'lxc0',
                      build(packet),
                    );
                    assert.equal(retval, verdicts.redirect);
                    const after = parse(frame);
                    assert.ok(after.valid);
                    assert.equal(after.destination, f[place]);
                    assert.equal(
                      after.source,
                      !expected ? client : place === 'remote' ? f.snat : f.podGateway,
                    );
                    assert.equal(
                      after.sourcePort > 32767 && after.sourcePort <= 65535,
                      expected,
                      `source port ${after.sourcePort}`,
                    );
                  }
                }
              });
            }
          }
        }
      }
    });
  }

  describe('hairpin: a client that is the backend itself', () => {
    let harness: Harness;

    const pod = 0;
    const outside = 1;

    before(async () => {
      harness = await opened({}, [
        { number: pod, backends: (f) => [f.pod, true] },
        { number: outside, backends: (f) => [f.client, false] },
      ]);
    });

    after(() => harness?.close());

    for (const kind of kinds) {
      for (const policy of policies) {
        for (const protocol of protocols) {
          it(`a pod through ${kind}, policy ${policy}, on all four hops: ${protocol}`, async () => {
            for (const f of all) {
              const packet = { ...request(f, kind, policy, pod), source: f.pod, protocol };
              await fourHops(packet, 'lxc0', f.podGateway);
            }
          });
        }
      }

      it(`a host outside through ${kind}, on all four hops`, async () => {
        for (const f of all) {
          for (const protocol of protocols) {
            await fourHops({ ...request(f, kind, 'Cluster', outside), protocol }, 'eth0', f.node);
          }
        }
      });
    }

    /**
     * In and out of the same device, there and back. The second hop is that of a packet of ours, which the program
     * tells by a mark that cannot be given to a test run: real traffic shows it.
     */
    async function fourHops(packet: Packet, device: string, source: string): Promise<void> {
      const there = await harness.enter(device, build(packet));
      assert.equal(there.retval, verdicts.redirect);
      const { sourcePort } = parse(there.frame);
      const after: Packet = {
        ...packet,
        source,
        sourcePort,
        destination: packet.source,
        destinationPort: 8080,
        ttl: 63,
      };
      assertSameFrame(there.frame, build(after));
      const reply: Packet = {
        ...packet,
        source: packet.source,
        sourcePort: 8080,
        destination: source,
        destinationPort: sourcePort,
        flags: 'SA',
        chunk: 'INIT ACK',
      };
      const back = await harness.enter(device, build(reply));
      assert.equal(back.retval, verdicts.redirect);
      const returned: Packet = {
        ...reply,
        source: packet.destination,
        sourcePort: packet.destinationPort,
        destination: packet.source,
        destinationPort: packet.sourcePort,
        ttl: 63,
      };
      assertSameFrame(back.frame, build(returned));
      const out = await harness.leave(device, build(returned));
      assert.equal(out.retval, verdicts.next);
      assertSameFrame(out.frame, build(returned));
    }
  });
});
