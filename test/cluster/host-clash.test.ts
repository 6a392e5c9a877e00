import assert from 'node:assert/strict';

import type { Family } from '../../lib/address';
import type { Endpoint } from '../support/cluster/exchange';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host } from '../support/cluster/two-nodes';
import { counted } from './counters';
import { backendsOf, both, families, udpType } from './ways';

const nodePort = 30080;

/** In the window of source ports, and above the ports that the kernel gives to sockets. */
let nextPort = 61_000;

/** A conversation that goes on until it is closed. */
interface Talk {
  /** The client's port, as the backend sees it. */
  port: number;
  /** Says something and hears the backend; rejects when nothing comes back. */
  goOn(): Promise<unknown>;
  close(): Promise<unknown>;
}

type StartTalk = (host: Host, to: Endpoint, localPort: number) => Promise<Talk>;

const talks: Record<'TCP' | 'UDP', StartTalk> = {
  TCP: async (host, to, localPort) => {
    const peer = await host.peer();
    const { id, client, peer: name } = await peer.open(to, { localPort });
    assert.deepEqual(name, to);
    return {
      port: client.port,
      goOn: async () => assert.equal(await peer.echo(id, `from ${host.name}`), `from ${host.name}`),
      close: () => peer.dropConnection(id, true),
    };
  },
  UDP: async (host, to, localPort) => {
    const peer = await host.peer();
    const id = await peer.openUdp({ type: udpType(to.address), localPort });
    const goOn = async () => {
      const [answer] = await peer.sendUdp(id, [to]);
      assert.deepEqual(answer?.peer, to, 'the answer comes from where the question went');
      return answer;
    };
    const { client } = await goOn();
    return { port: client.port, goOn, close: () => peer.closeUdp(id) };
  },
};

describe('a NATed flow and a connection that the host itself opens never share a tuple', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  before(async () => {
    const [node, other] = cluster.nodes;
    lb = await openLoadBalancer(cluster.cleanup, node, { devices: ['eth0'] });
    await lb.upsertService({
      name: 'there',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends: backendsOf([other.pods[0]], node),
    });
  });

  /** Both conversations work, in turns, and the backend tells them apart by their ports. */
  async function assertApart(one: Talk, other: Talk): Promise<void> {
    assert.notEqual(one.port, other.port, 'the tuples differ');
    for (const talk of [one, other, one, other]) await talk.goOn();
  }

  /** Starts two conversations with one port number; `clash` is what the second one does to the counters. */
  async function assertBoth(
    start: StartTalk,
    first: [Host, Endpoint],
    second: [Host, Endpoint],
    clash: { moved: number },
  ): Promise<void> {
    const port = nextPort++;
    const one = await start(...first, port);
    cluster.cleanupEach.add(() => one.close());
    assert.equal(one.port, port, 'the first one keeps its port');
    const growth = await counted(lb, async () => {
      const other = await start(...second, port);
      cluster.cleanupEach.add(() => other.close());
      await assertApart(one, other);
    });
    assert.equal(growth.HOST_FLOW_MOVED, clash.moved);
  }

  const frontend = (family: Family): Endpoint => ({
    address: cluster.nodes[0].addresses[family],
    port: nodePort,
  });
  const backend = (family: Family): Endpoint => ({
    address: cluster.nodes[1].pods[0].addresses[family],
    port: podPort,
  });

  for (const protocol of ['TCP', 'UDP'] as const) {
    for (const family of families) {
      it(`${protocol}, IPv${family}: the host's connection was there first`, async () => {
        const host = cluster.nodes[0];
        await assertBoth(talks[protocol], [host, backend(family)], [cluster.client, frontend(family)], {
          moved: 0,
        });
      });

      it(`${protocol}, IPv${family}: the NATed flow was there first`, async () => {
        const host = cluster.nodes[0];
        await assertBoth(talks[protocol], [cluster.client, frontend(family)], [host, backend(family)], {
          moved: 1,
        });
      });

      it(`${protocol}, IPv${family}: a socket of the host that is only bound keeps its port`, async () => {
        const [host] = cluster.nodes;
        const port = nextPort++;
        const peer = await host.peer();
        await peer.listen({ protocol, port, name: 'bound' });
        cluster.cleanupEach.add(() => peer.stopListening(protocol, port));
        const talk = await talks[protocol](cluster.client, frontend(family), port);
        cluster.cleanupEach.add(() => talk.close());
        assert.notEqual(talk.port, port);
        await talk.goOn();
      });

      for (const [title, masqueraded] of [
        ['a flow that the stack has given its address was there first', true],
        ['the NATed flow was there first, before one that the stack gives its address', false],
      ] as const) {
        it(`${protocol}, IPv${family}: ${title}`, async () => {
          const [host] = cluster.nodes;
          const name = `clash${nextPort}`;
          host.namespace.run(
            'nft',
            `add table inet ${name}; ` +
              `add chain inet ${name} out { type nat hook postrouting priority 100; }; ` +
              `add rule inet ${name} out iifname lxc2 oifname eth0 masquerade`,
          );
          cluster.cleanupEach.add(() => host.namespace.run('nft', `delete table inet ${name}`));
          const nat: [Host, Endpoint] = [cluster.client, frontend(family)];
          const masquerade: [Host, Endpoint] = [host.pods[1], backend(family)];
          if (masqueraded) await assertBoth(talks[protocol], masquerade, nat, { moved: 0 });
          else await assertBoth(talks[protocol], nat, masquerade, { moved: 1 });
        });
      }
    }
  }
});

describe('a connection to a backend itself, from the port of a flow that is closing', () => {
  const cluster = useTwoNodes();

  before(async () => {
    const [node] = cluster.nodes;
    const lb = await openLoadBalancer(cluster.cleanup, node, { devices: ['eth0'] });
    await lb.upsertService({
      name: 'here',
      frontends: both({ type: 'NodePort', port: nodePort }),
      backends: backendsOf([node.pods[0]], node),
      externalTrafficPolicy: 'Local',
    });
    // So that the client can speak to the pods itself.
    const networks = { 4: '10.244.1.0/24', 6: 'fd00:244:1::/64' };
    const routes = families.map((f) => `${networks[f]} via ${node.addresses[f]}`);
    cluster.client.namespace.ip(...routes.map((route) => `route add ${route}`));
    cluster.cleanup.add(() => cluster.client.namespace.ip(...routes.map((route) => `route del ${route}`)));
  });

  const frontend = (family: Family): Endpoint => ({
    address: cluster.nodes[0].addresses[family],
    port: nodePort,
  });
  const backend = (family: Family): Endpoint => ({
    address: cluster.nodes[0].pods[0].addresses[family],
    port: podPort,
  });

  for (const family of families) {
    it(`works, IPv${family}`, async () => {
      const localPort = nextPort++;
      const peer = await cluster.client.peer();
      for (const to of [frontend(family), backend(family), backend(family), backend(family)]) {
        const { id, client } = await peer.open(to, { localPort });
        assert.equal(client.port, localPort);
        assert.equal(await peer.echo(id, 'word'), 'word');
        await peer.dropConnection(id, true);
      }
    });
  }
});

describe('a connection of the host that has to leave its port', () => {
  const cluster = useTwoNodes();

  for (const family of families) {
    it(`takes one that no other socket of the host has, IPv${family}`, async () => {
      const [node, other] = cluster.nodes;
      const [first, last] = [62_000, 62_007];
      const lb = await openLoadBalancer(cluster.cleanupEach, node, {
        devices: ['eth0'],
        snatPorts: [first, last],
      });
      await lb.upsertService({
        name: 'there',
        frontends: both({ type: 'NodePort', port: nodePort }),
        backends: backendsOf([other.pods[0]], node),
      });
      const to = { address: other.pods[0].addresses[family], port: podPort };
      const flow = await talks.TCP(
        cluster.client,
        { address: node.addresses[family], port: nodePort },
        first,
      );
      const own: Talk[] = [];
      for (let port = first + 1; port < last; port++) own.push(await talks.TCP(node, to, port));
      for (const talk of [flow, ...own]) cluster.cleanupEach.add(() => talk.close());
      const growth = await counted(lb, async () => {
        const moved = await talks.TCP(node, to, first);
        cluster.cleanupEach.add(() => moved.close());
        assert.equal(moved.port, last, 'the only one that is free');
        for (const talk of [flow, ...own, moved]) await talk.goOn();
      });
      assert.equal(growth.HOST_FLOW_MOVED, 1);
    });
  }
});
