import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import { openLoadBalancer, type RemoteLoadBalancer } from '../support/cluster/load-balancer';
import { useTwoNodes } from '../support/cluster/suite';
import { backendsOf } from './ways';

const port = 30080;

describe('socket layer: bind() to the port of a NodePort', () => {
  const cluster = useTwoNodes();
  let lb: RemoteLoadBalancer;

  function service(protocol: 'TCP' | 'UDP', address: string): ServiceSpec {
    return {
      name: 'web',
      frontends: [
        { type: 'NodePort', port, protocol },
        { type: 'ClusterIP', address, port: 80, protocol },
      ],
      backends: backendsOf(cluster.pods, cluster.nodes[0], address.includes(':') ? 6 : 4),
    };
  }

  before(async () => {
    lb = await openLoadBalancer(cluster.cleanup, cluster.nodes[0]);
  });

  afterEach(() => lb.deleteService('web'));

  const everywhere = {
    IPv4: ['0.0.0.0', '127.0.0.1', '10.100.0.1', '::ffff:10.100.0.1', '::'],
    IPv6: ['::', '::1', 'fd00:100::1'],
  };

  for (const protocol of ['TCP', 'UDP'] as const) {
    const other = protocol === 'TCP' ? 'UDP' : 'TCP';
    for (const [family, frontend] of [
      ['IPv4', '10.96.0.1'],
      ['IPv6', 'fd00:96::1'],
    ] as const) {
      describe(`${protocol}, ${family}`, () => {
        it('fails with EADDRINUSE on every address of the host', async () => {
          await lb.upsertService(service(protocol, frontend));
          const peer = await cluster.nodes[0].peer();
          for (const address of everywhere[family]) {
            await assert.rejects(peer.bind(protocol, address, port), { code: 'EADDRINUSE' }, address);
          }
        });

        it('does not touch the other protocol, other ports and port 0', async () => {
          await lb.upsertService(service(protocol, frontend));
          const peer = await cluster.nodes[0].peer();
          for (const address of everywhere[family]) {
            assert.equal((await peer.bind(other, address, port)).port, port);
            assert.equal((await peer.bind(protocol, address, port + 1)).port, port + 1);
            assert.notEqual((await peer.bind(protocol, address, 0)).port, 0);
          }
        });

        it('does not touch pods', async () => {
          await lb.upsertService(service(protocol, frontend));
          const peer = await cluster.nodes[0].pods[0].peer();
          for (const address of ['0.0.0.0', '::', '127.0.0.1', '::1']) {
            assert.equal((await peer.bind(protocol, address, port)).port, port);
          }
        });

        it('works again when the service is gone', async () => {
          await lb.upsertService(service(protocol, frontend));
          await lb.deleteService('web');
          const peer = await cluster.nodes[0].peer();
          for (const address of everywhere[family]) {
            assert.equal((await peer.bind(protocol, address, port)).port, port);
          }
        });
      });
    }
  }

  it('leaves the other family alone', async () => {
    await lb.upsertService(service('TCP', 'fd00:96::1'));
    const peer = await cluster.nodes[0].peer();
    for (const address of ['0.0.0.0', '127.0.0.1', '10.100.0.1']) {
      assert.equal((await peer.bind('TCP', address, port)).port, port);
    }
  });

  it('leaves the port of a ClusterIP alone', async () => {
    await lb.upsertService(service('TCP', '10.96.0.1'));
    const peer = await cluster.nodes[0].peer();
    assert.equal((await peer.bind('TCP', '0.0.0.0', 80)).port, 80);
  });
});
