import assert from 'node:assert/strict';

import type { Endpoint } from '../../support/cluster/exchange';
import type { Host } from '../../support/cluster/two-nodes';
import { eventually } from '../../support/eventually';
import type { Bed } from './bed';
import type { Spec, TestService } from './test-service';

const port = { name: 'udp', port: 80, protocol: 'UDP' } as const;
const sourcePort = 12_345;

export function conntrack(bed: Bed): void {
  /** Sends from one port again and again, each time from a socket of its own, until `server` has answered ten times. */
  const reaches = async (from: Host, to: Endpoint, server: Host) => {
    const peer = await from.peer();
    await eventually(async () => {
      for (let i = 0; i < 10; i++) {
        const options = { type: 'udp4', localPort: sourcePort, timeout: 500 } as const;
        assert.equal((await peer.connectedUdp(to, options)).server, server.name);
      }
    }, 20_000);
  };

  /** One socket that is never closed sends on, too. */
  const cycles = async (
    from: Host,
    servers: readonly [Host, Host],
    spec: Partial<Spec>,
    at: (service: TestService) => Endpoint | Promise<Endpoint> = (service) => service.clusterIP(),
  ) => {
    const service = await bed.service({ ports: [port], ...spec });
    const to = await at(service);
    const peer = await from.peer();
    const socket = await peer.openUdp({ type: 'udp4' });
    bed.cluster.cleanupEach.add(() => peer.closeUdp(socket));
    for (const server of [...servers, servers[0]]) {
      await service.serveFrom(server);
      await reaches(from, to, server);
      await eventually(async () => {
        const [answer] = await peer.sendUdp(socket, [to], 500);
        assert.equal(answer?.server, server.name, 'the socket that stays open');
      }, 20_000);
    }
  };

  describe('Conntrack', () => {
    it('should be able to preserve UDP traffic when server pod cycles for a NodePort service', async () => {
      const [client, , pod3, pod4] = bed.pods;
      const spec: Partial<Spec> = { type: 'NodePort', ports: [{ ...port, nodePort: bed.freeNodePort() }] };
      await cycles(client, [pod3, pod4], spec, (service) => service.nodePort(bed.nodes[0]));
    });

    it('should be able to preserve UDP traffic when server pod cycles for a ClusterIP service', async () => {
      const [client, , pod3, pod4] = bed.pods;
      await cycles(client, [pod3, pod4], {});
    });

    it('should be able to preserve UDP traffic when server pod cycles for a ClusterIP service with InternalTrafficPolicy set to Local', async () => {
      const [client, server] = bed.nodes[0].pods;
      await cycles(client, [server, client], { internalTrafficPolicy: 'Local' });
    });

    it('should be able to preserve UDP traffic when server pod cycles for a ClusterIP service and client is hostNetwork', async () => {
      const [, , pod3, pod4] = bed.pods;
      await cycles(bed.nodes[0], [pod3, pod4], {});
    });

    it('should be able to preserve UDP traffic when initial unready endpoints get ready', async () => {
      const [client, , pod3] = bed.pods;
      const service = await bed.service({ ports: [port] });
      await service.serveFrom({ host: pod3, ready: false });
      await bed.isUnserved(client, service.clusterIP(), 'connected UDP');
      await (
        await client.peer()
      )
        .connectedUdp(service.clusterIP(), { type: 'udp4', localPort: sourcePort, timeout: 200 })
        .then(
          () => assert.fail('answered without an endpoint'),
          () => undefined,
        );
      await service.serveFrom(pod3);
      await reaches(client, service.clusterIP(), pod3);
    });
  });

  describe('LoadBalancers', () => {
    for (const [where, index] of [
      ['on different nodes', 2],
      ['on the same nodes', 1],
    ] as const) {
      it(`should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service ${where}`, async () => {
        const ip = `198.51.100.${bed.next() & 255}`;
        const at = async (service: TestService) => {
          service.ingress = [{ ip }];
          await service.put();
          return { address: ip, port: port.port };
        };
        const { client } = bed.cluster;
        await cycles(client, [bed.pods[0], bed.pods[index]], { type: 'LoadBalancer' }, at);
      });
    }
  });
}
