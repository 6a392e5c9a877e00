import assert from 'node:assert/strict';

import type { AffectedConnections, ServiceSpec } from '../../lib';
import type { Pod } from '../support/cluster/two-nodes';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import { backendsOf, both } from './ways';

const clusterIP = { address: '10.96.0.1', port: 80 };
const nodePort = 30_088;

describe('planConnections()', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  const web = (pods: readonly Pod[], rest: Partial<ServiceSpec> = {}): ServiceSpec => ({
    name: 'web',
    frontends: [...both({ type: 'ClusterIP', ...clusterIP }), ...both({ type: 'NodePort', port: nodePort })],
    backends: backendsOf(pods, cluster.nodes[0], 4),
    ...rest,
  });

  it('tells which sockets and flows would leave their backend, and takes none away', async () => {
    const [node] = cluster.nodes;
    const [old, next] = node.pods;
    lb = await openLoadBalancer(cluster.cleanupEach, node, { devices: ['eth0'] });
    await lb.upsertService(web([old]));
    const outside = { address: node.addresses[4], port: nodePort };
    const [inside, client] = [await node.pods[1].peer(), await cluster.client.peer()];

    const tcp = await inside.open(clusterIP);
    const udp = await inside.connectUdp(clusterIP, { type: 'udp4' });
    const flow = await client.openUdp({ type: 'udp4' });
    const throughFlow = await client.open(outside);
    cluster.cleanupEach.add(async () => {
      await inside.dropConnection(tcp.id, true);
      await client.dropConnection(throughFlow.id, true);
      await inside.closeUdp(udp);
      await client.closeUdp(flow);
    });
    const ask = async () => (await client.sendUdp(flow, [outside]))[0]?.server;
    assert.equal(await ask(), old.name);

    const affected = (sockets: number, flows: number): AffectedConnections[] => [
      { service: 'web', backend: `${old.addresses[4]}:${podPort}`, sockets, flows },
    ];
    assert.deepEqual(await lb.planConnections([web([old])]), []);
    assert.deepEqual(await lb.planConnections([web([old, next])]), []);
    assert.deepEqual(await lb.planConnections([web([next])]), affected(1, 1));
    assert.deepEqual(await lb.planConnections([web([next], { resetOnRemoval: true })]), affected(2, 1));
    const elsewhere = { ...web([next]), name: 'other' };
    assert.deepEqual(await lb.planConnections([elsewhere]), affected(1, 1));
    assert.deepEqual(await lb.planConnections([]), affected(1, 1));

    assert.equal(await inside.echo(tcp.id, 'still here'), 'still here');
    assert.equal(await client.echo(throughFlow.id, 'still here'), 'still here');
    assert.equal(await ask(), old.name);
  });
});
