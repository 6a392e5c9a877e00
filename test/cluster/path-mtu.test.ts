import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';

import type { OpenOptions } from '../../lib';
import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { connect, Namespace } from '../support/cluster/namespace';
import type { PeerFunctions } from '../support/cluster/peer';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { backendsOf, both, families, udpType } from './ways';

/** The least that IPv6 allows. */
const mtu = 1280;
const tooLong = 1400;
const nodePort = 30080;
const remote = { 4: '203.0.113.9', 6: '2001:db8:99::9' } as const;
const router = { 4: '203.0.113.1', 6: '2001:db8:99::1' } as const;

/** What `host` has learned about the way to an address; undefined: nothing. */
function learned(host: { namespace: Namespace }, address: string): number | undefined {
  const [route] = JSON.parse(host.namespace.run('ip', '-j', 'route', 'get', address)) as {
    metrics?: { mtu?: number }[];
  }[];
  return route?.metrics?.[0]?.mtu;
}

function forget({ namespace }: { namespace: Namespace }): void {
  namespace.run('ip', 'route', 'flush', 'cache');
  namespace.run('ip', '-6', 'route', 'flush', 'cache');
}

for (const devices of [['eth0'], ['eth0', 'lxc+']]) {
  describe(`path-MTU discovery works through ${devices.join(' and ')}`, () => {
    const cluster = useTwoNodes();
    let lb: RemoteLoadBalancer;
    /** Beyond the client, which is a router for it. */
    let outside: { namespace: Namespace; peer: Remote<PeerFunctions> };

    before(async () => {
      const { cleanup, client, nodes } = cluster;
      const namespace = Namespace.make(cleanup, 'remote');
      connect(
        {
          namespace: client.namespace,
          device: 'remote0',
          addresses: [`${router[4]}/24`, `${router[6]}/64`],
        },
        { namespace, device: 'eth0', addresses: [`${remote[4]}/24`, `${remote[6]}/64`] },
      );
      client.namespace.forward();
      cleanup.add(() => {
        client.namespace.ip('link del remote0');
        client.namespace.sysctl({ 'ipv4/ip_forward': 0, 'ipv6/conf/all/forwarding': 0 });
      });
      for (const family of families) {
        namespace.ip(`route add ${family === 4 ? '0.0.0.0/0' : '::/0'} via ${router[family]}`);
        for (const node of nodes) {
          node.namespace.ip(`route add ${remote[family]} via ${client.addresses[family]}`);
          cleanup.add(() => node.namespace.ip(`route del ${remote[family]}`));
        }
      }
      outside = { namespace, peer: await start<PeerFunctions>(cleanup, { namespace }, 'peer.ts') };
      const options: OpenOptions = { devices };
      lb = await openLoadBalancer(cleanup, nodes[0], options);
    });

    /** Gives a route of a host a smaller MTU until the test is over; then all forget what they learned. */
    function narrow(host: Host, address: string): void {
      const { namespace } = host;
      const [route] = JSON.parse(namespace.run('ip', '-j', 'route', 'get', address)) as {
        dev: string;
        gateway?: string;
      }[];
      const via = route?.gateway ? `via ${route.gateway} ` : '';
      const way = `${address} ${via}dev ${route?.dev}`;
      const shown = namespace.run('ip', isIPv6(address) ? '-6' : '-4', 'route', 'show', address);
      const had = shown.trim() !== '';
      // Locked: else the kernel tells a program only of the device's MTU.
      namespace.ip(`route replace ${way} mtu lock ${mtu}`);
      cluster.cleanupEach.add(() => {
        namespace.ip(had ? `route replace ${way}` : `route del ${way}`);
        for (const each of [...cluster.nodes, ...cluster.pods, cluster.client, outside]) forget(each);
      });
    }

    interface Place {
      title: string;
      /** Where packets that are longer do not go on. */
      narrow: (family: Family) => [Host, string];
      backend: () => (typeof cluster.pods)[number];
      /** Packets of clients are too long, or those of backends. */
      from: 'client' | 'backend';
      /** The balancer itself tells the sender, instead of translating what another router tells. */
      own: boolean;
    }

    const here = () => cluster.nodes[0];
    const there = () => cluster.nodes[1];
    const places: Place[] = [
      {
        title: 'a 1,280-byte link behind the balancer, through SNAT',
        narrow: (family) => [there(), there().pods[0].addresses[family]],
        backend: () => there().pods[0],
        from: 'client',
        own: false,
      },
      {
        title: "a 1,280-byte link at the balancer's own egress, through SNAT",
        narrow: (family) => [here(), there().pods[0].addresses[family]],
        backend: () => there().pods[0],
        from: 'client',
        own: true,
      },
      {
        title: 'a 1,280-byte link to a backend of this node',
        narrow: (family) => [here(), here().pods[0].addresses[family]],
        backend: () => here().pods[0],
        from: 'client',
        own: true,
      },
      {
        title: 'a 1,280-byte link before the client, through SNAT',
        narrow: (family) => [cluster.client, remote[family]],
        backend: () => there().pods[0],
        from: 'backend',
        own: false,
      },
      {
        title: 'a 1,280-byte link before the client, backend on this node',
        narrow: (family) => [cluster.client, remote[family]],
        backend: () => here().pods[0],
        from: 'backend',
        own: false,
      },
      {
        title: 'a 1,280-byte link from the balancer to the client, through SNAT',
        narrow: (family) => [here(), remote[family]],
        backend: () => there().pods[0],
        from: 'backend',
        own: true,
      },
    ];

    for (const place of places) {
      for (const family of families) {
        const frontend = (): Endpoint => ({ address: here().addresses[family], port: nodePort });

        async function put(): Promise<void> {
          await lb.upsertService({
            name: 'web',
            frontends: both({ type: 'NodePort', port: nodePort }),
            backends: backendsOf([place.backend()], here()),
          });
        }

        it(`${place.title}: TCP, IPv${family}`, async () => {
          await put();
          narrow(...place.narrow(family));
          const growth = await counted(lb, async () => {
            assert.equal(await outside.peer.transfer(frontend(), 2_000_000), true);
          });
          const counter = place.own ? growth.DROP_TOO_BIG : growth.ERROR_TRANSLATED;
          assert.ok(counter > 0, 'the sender was told');
          if (place.from === 'client') {
            assert.equal(learned(outside, frontend().address), mtu, 'the client knows, of the frontend');
            return;
          }
          // Behind SNAT the backend knows the balancer as its client.
          const isLocal = place.backend().node === here();
          const client = isLocal ? remote[family] : here().addresses[family];
          assert.equal(learned(place.backend(), client), mtu, 'the backend knows, of its client');
        });

        if (place.from === 'client') {
          it(`${place.title}: a UDP datagram that must not be fragmented, IPv${family}`, async () => {
            await put();
            narrow(...place.narrow(family));
            const ask = () =>
              outside.peer.connectedUdp(frontend(), {
                type: udpType(frontend().address),
                size: tooLong,
                timeout: 1000,
              });
            await assert.rejects(ask(), { code: 'EMSGSIZE' }, 'the error finds the socket');
            assert.equal(learned(outside, frontend().address), mtu);
            // Now the client sends fragments.
            const { server, source } = await ask();
            assert.equal(server, place.backend().name);
            assert.deepEqual(source, frontend());
          });
        }
      }
    }

    it('nothing is learned where every link is wide enough', async () => {
      for (const family of families) {
        await lb.upsertService({
          name: 'web',
          frontends: both({ type: 'NodePort', port: nodePort }),
          backends: [{ address: there().pods[0].addresses[family], port: podPort }],
        });
        const to = { address: here().addresses[family], port: nodePort };
        const growth = await counted(lb, () => outside.peer.transfer(to, 2_000_000));
        assert.deepEqual([growth.DROP_TOO_BIG, growth.ERROR_TRANSLATED], [0, 0]);
        assert.equal(learned(outside, to.address), undefined);
      }
    });
  });
}
