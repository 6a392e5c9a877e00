import assert from 'node:assert/strict';

import { unmapped } from '../../cluster/ways';
import { listen } from '../../support/cluster/suite';
import type { Host } from '../../support/cluster/two-nodes';
import type { Bed } from './bed';
import type { TestService } from './test-service';

/** Test titles here and in the files beside are those of Kubernetes' e2e tests: see docs/e2e.md. */
export function services(bed: Bed): void {
  describe('Services', () => {
    it('should serve a basic endpoint from pods', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const service = await bed.service();
      for (const pods of [[pod1], [pod1, pod2], [pod2]]) {
        await service.serveFrom(...pods);
        await bed.isServed(exec, service.clusterIP(), pods);
      }
      await service.serveFrom();
      await bed.isRefused(exec, service.clusterIP());
    });

    it('should serve multiport endpoints from pods', async () => {
      const [pod1, exec, pod2] = bed.pods;
      await listen(bed.cluster.cleanupEach, pod1, { port: 100, name: pod1.name });
      await listen(bed.cluster.cleanupEach, pod2, { port: 101, name: pod2.name });
      const service = await bed.service({
        ports: [
          { name: 'portname1', port: 80, targetPort: 100 },
          { name: 'portname2', port: 81, targetPort: 101 },
        ],
      });
      const [first, second] = [service.clusterIP(4, 'portname1'), service.clusterIP(4, 'portname2')];
      await service.serveFrom({ host: pod1, ports: { portname1: 100 } });
      await bed.isServed(exec, first, [pod1]);
      await bed.isRefused(exec, second);
      await service.serveFrom(
        { host: pod1, ports: { portname1: 100 } },
        { host: pod2, ports: { portname2: 101 } },
      );
      await bed.isServed(exec, first, [pod1]);
      await bed.isServed(exec, second, [pod2]);
      await service.serveFrom({ host: pod2, ports: { portname2: 101 } });
      await bed.isRefused(exec, first);
      await bed.isServed(exec, second, [pod2]);
    });

    it('should be updated after adding or deleting ports', async () => {
      const [pod1, exec] = bed.pods;
      const [one, two] = [
        { name: 'portname1', port: 80 },
        { name: 'portname2', port: 81 },
      ];
      const service = await bed.service({ ports: [one] });
      const { address } = service.clusterIP();
      await service.serveFrom(pod1);
      await bed.isServed(exec, { address, port: 80 }, [pod1]);
      await bed.isUnserved(exec, { address, port: 81 });
      await service.put({ ports: [one, two] });
      await service.serveFrom(pod1);
      await bed.isServed(exec, { address, port: 80 }, [pod1]);
      await bed.isServed(exec, { address, port: 81 }, [pod1]);
      await service.put({ ports: [two] });
      await service.serveFrom(pod1);
      await bed.isUnserved(exec, { address, port: 80 });
      await bed.isServed(exec, { address, port: 81 }, [pod1]);
    });

    it('should preserve source pod IP for traffic thru service cluster IP', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      const service = await bed.service();
      await service.serveFrom(pod1);
      for (const from of [pod2, pod3]) {
        await bed.isServed(from, service.clusterIP(), [pod1]);
        const { client } = await (await from.peer()).tcp(service.clusterIP());
        assert.equal(unmapped(client.address), from.addresses[4]);
      }
    });

    it('should allow pods to hairpin back to themselves through services', async () => {
      const [pod1] = bed.pods;
      const service = await bed.service();
      await service.serveFrom(pod1);
      await bed.isServed(pod1, service.clusterIP(), [pod1]);
    });

    it('should be able to up and down services', async () => {
      const [pod1, , pod2] = bed.pods;
      const clients = [bed.nodes[0], bed.nodes[1], bed.pods[1]];
      const up = async () => {
        const service = await bed.service();
        await service.serveFrom(pod1, pod2);
        for (const client of clients) await bed.isServed(client, service.clusterIP(), [pod1, pod2]);
        return service;
      };
      const [first, second] = [await up(), await up()];
      await bed.remove(first);
      for (const client of clients) await bed.isUnserved(client, first.clusterIP());
      await bed.isServed(clients[0] as Host, second.clusterIP(), [pod1, pod2]);
      await up();
      await bed.isServed(clients[0] as Host, second.clusterIP(), [pod1, pod2]);
    });

    it('should work after the service has been recreated', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const service = await bed.service();
      await service.serveFrom(pod1, pod2);
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
      await service.remove();
      await bed.isUnserved(exec, service.clusterIP());
      await service.put();
      await service.serveFrom(pod1, pod2);
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
    });

    it('should work after restarting kube-proxy', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const before = await bed.service({ type: 'NodePort' });
      await before.serveFrom(pod1, pod2);
      const works = async () => {
        for (const from of [exec, pod2]) await bed.isServed(from, before.clusterIP(), [pod1, pod2]);
        for (const node of bed.nodes)
          await bed.isServed(bed.cluster.client, before.nodePort(node), [pod1, pod2]);
      };
      await works();
      const [first, second] = bed.proxies;
      assert.deepEqual(await Promise.all([first.stop(), second.kill()]), [0, null]);
      await works();
      await bed.startProxies();
      await works();
      const after = await bed.service();
      await after.serveFrom(pod2);
      for (const from of [exec, pod2]) await bed.isServed(from, after.clusterIP(), [pod2]);
    });

    it('should work after restarting apiserver', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const before = await bed.service();
      await before.serveFrom(pod1, pod2);
      await bed.isServed(exec, before.clusterIP(), [pod1, pod2]);
      await bed.api.stop();
      await bed.isServed(exec, before.clusterIP(), [pod1, pod2]);
      await bed.api.start();
      await bed.isServed(exec, before.clusterIP(), [pod1, pod2]);
      const after = await bed.service();
      await after.serveFrom(pod2);
      await bed.isServed(exec, after.clusterIP(), [pod2]);
    });

    it('should serve endpoints on same port and different protocols', async () => {
      await samePort(bed, await bed.service({ ports: [] }));
    });

    it('should serve endpoints on same port and different protocol for internal traffic on Type LoadBalancer', async () => {
      await samePort(bed, await bed.service({ type: 'LoadBalancer', ports: [] }));
    });

    it('should support named targetPorts that resolve to different ports on different endpoints', async () => {
      const [pod1, exec, pod2] = bed.pods;
      await listen(bed.cluster.cleanupEach, pod2, { port: 9090, name: pod2.name });
      const service = await bed.service({ ports: [{ name: 'http', port: 80 }] });
      await service.serveFrom({ host: pod1, ports: { http: 8080 } }, { host: pod2, ports: { http: 9090 } });
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
    });

    it('should be able to change the type from ExternalName to ClusterIP', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const service = await bed.service({ type: 'ExternalName', externalName: 'foo.example.com' });
      await service.serveFrom(pod1, pod2);
      await bed.isUnserved(exec, service.clusterIP());
      await service.put({ type: 'ClusterIP' });
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
    });

    it('should be able to change the type from ExternalName to NodePort', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const service = await bed.service({ type: 'ExternalName', externalName: 'foo.example.com' });
      await service.serveFrom(pod1, pod2);
      const nodePort = bed.freeNodePort();
      await service.put({ type: 'NodePort', ports: [{ port: 80, nodePort }] });
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
      for (const node of bed.nodes) await bed.isServed(exec, service.nodePort(node), [pod1, pod2]);
    });

    it('should be able to change the type from ClusterIP to ExternalName', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service();
      await service.serveFrom(pod1);
      await bed.isServed(exec, service.clusterIP(), [pod1]);
      await service.put({ type: 'ExternalName', externalName: 'foo.example.com' });
      await bed.isUnserved(exec, service.clusterIP());
    });

    it('should be able to change the type from NodePort to ExternalName', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service({ type: 'NodePort' });
      await service.serveFrom(pod1);
      const nodePorts = bed.nodes.map((node) => service.nodePort(node));
      for (const to of [service.clusterIP(), ...nodePorts]) await bed.isServed(exec, to, [pod1]);
      await service.put({ type: 'ExternalName', externalName: 'foo.example.com', ports: [{ port: 80 }] });
      for (const to of [service.clusterIP(), ...nodePorts]) await bed.isUnserved(exec, to);
    });

    it('should be able to create a functioning NodePort service', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const service = await bed.service({ type: 'NodePort' });
      await service.serveFrom(pod1, pod2);
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
      for (const node of bed.nodes)
        for (const from of [exec, bed.cluster.client])
          await bed.isServed(from, service.nodePort(node), [pod1, pod2]);
    });

    it('should be able to update service type to NodePort listening on same port number but different protocols', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const service = await bed.service();
      await service.serveFrom(pod1, pod2);
      const nodePort = bed.freeNodePort();
      await bed.isServed(exec, service.clusterIP(), [pod1, pod2]);
      await service.put({
        type: 'NodePort',
        ports: [
          { name: 'tcp-port', port: 80, protocol: 'TCP', nodePort },
          { name: 'udp-port', port: 80, protocol: 'UDP', nodePort },
        ],
      });
      await service.serveFrom(pod1, pod2);
      for (const way of ['TCP', 'connected UDP'] as const) {
        await bed.isServed(exec, service.clusterIP(), [pod1, pod2], way);
        for (const node of bed.nodes) await bed.isServed(exec, service.nodePort(node), [pod1, pod2], way);
      }
    });

    it('should be possible to connect to a service via ExternalIP when the external IP is not assigned to a node', async () => {
      const [pod1, exec, pod2] = bed.pods;
      const externalIPs = { 4: '203.0.113.250', 6: '2001:db8::cb00:71fa' };
      const service = await bed.service({ externalIPs: Object.values(externalIPs) }, [4, 6]);
      await service.serveFrom(pod1, pod2);
      for (const address of Object.values(externalIPs))
        await bed.isServed(exec, { address, port: 80 }, [pod1, pod2]);
    });
  });
}

/** Port 80 of both protocols; then of one of them. */
async function samePort(bed: Bed, service: TestService): Promise<void> {
  const [pod1, exec, pod2] = bed.pods;
  const [tcp, udp] = [
    { name: 'tcp', port: 80, protocol: 'TCP' },
    { name: 'udp', port: 80, protocol: 'UDP' },
  ] as const;
  await service.put({ ports: [tcp, udp] });
  await service.serveFrom(pod1, pod2);
  for (const way of ['TCP', 'connected UDP'] as const)
    await bed.isServed(exec, service.clusterIP(), [pod1, pod2], way);
  await service.put({ ports: [tcp] });
  await service.serveFrom(pod1, pod2);
  const { address, port } = service.clusterIP();
  await bed.isServed(exec, { address, port }, [pod1, pod2]);
  await bed.isUnserved(exec, { address, port }, 'connected UDP');
  await service.put({ ports: [udp] });
  await service.serveFrom(pod1, pod2);
  await bed.isServed(exec, { address, port }, [pod1, pod2], 'connected UDP');
  await bed.isUnserved(exec, { address, port });
}
