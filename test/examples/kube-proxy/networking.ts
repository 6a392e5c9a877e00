import assert from 'node:assert/strict';

import { unmapped } from '../../cluster/ways';
import { listen, podPort } from '../../support/cluster/suite';
import type { Pod } from '../../support/cluster/two-nodes';
import type { Bed } from './bed';

export function networking(bed: Bed): void {
  describe('LocalhostNodePorts', () => {
    const loopback = { 4: '127.0.0.1', 6: '::1' } as const;

    it('should proxy localhost NodePort traffic to backends across nodes', async () => {
      const [pod1, , pod3] = bed.pods;
      const service = await bed.service({ type: 'NodePort' }, [4, 6]);
      await service.serveFrom(pod1, pod3);
      const { port } = service.nodePort(bed.nodes[0]);
      for (const address of Object.values(loopback))
        for (const node of bed.nodes) await bed.isServed(node, { address, port }, [pod1, pod3]);
    });

    it('should honor sessionAffinity=ClientIP for localhost NodePort', async () => {
      const [pod1, , pod3, pod4] = bed.pods;
      const service = await bed.service(
        {
          type: 'NodePort',
          sessionAffinity: 'ClientIP',
          sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
        },
        [4, 6],
      );
      await service.serveFrom(pod1, pod3, pod4);
      const { port } = service.nodePort(bed.nodes[0]);
      for (const address of Object.values(loopback)) await bed.isPinned(bed.nodes[0], { address, port });
    });
  });

  describe('Networking', () => {
    it('should check kube-proxy urls', () => {
      for (const proxy of bed.proxies) {
        const healthz = proxy.get('127.0.0.1:10256/healthz');
        assert.equal(healthz.status, 200, healthz.body);
        assert.deepEqual(proxy.get('127.0.0.1:10249/proxyMode'), { status: 200, body: 'ebpf' });
      }
    });
  });

  describe('NoSNAT', () => {
    it('Should be able to send traffic between Pods without SNAT', async () => {
      for (const from of bed.pods) {
        const peer = await from.peer();
        for (const to of bed.pods) {
          const { client } = await peer.tcp({ address: to.addresses[4], port: podPort });
          assert.equal(unmapped(client.address), from.addresses[4]);
        }
      }
    });
  });

  describe('HostPort', () => {
    it('validates that there is no conflict between pods with same hostPort but different hostIP and protocol', async () => {
      const [node] = bed.nodes;
      const [pod1, pod2] = node.pods;
      const hostPort = 54_323;
      const [hostIP] = Object.values(node.addresses);
      await bed.putPod(pod1, [
        { containerPort: podPort, hostPort, hostIP: '127.0.0.1', protocol: 'TCP' },
        { containerPort: podPort, hostPort, hostIP, protocol: 'UDP' },
      ]);
      await bed.putPod(pod2, [{ containerPort: podPort, hostPort, hostIP, protocol: 'TCP' }]);
      const [local, external] = [
        { address: '127.0.0.1', port: hostPort },
        { address: node.addresses[4], port: hostPort },
      ];
      await bed.isServed(node, local, [pod1]);
      for (const from of [node, bed.pods[2], bed.cluster.client]) {
        await bed.isServed(from, external, [pod2]);
        await bed.isServed(from, external, [pod1], 'connected UDP');
      }
      await bed.isUnserved(node, local, 'connected UDP');
    });
  });

  describe('CVE-2021-29923', () => {
    it('IPv4 Service Type ClusterIP with leading zeros should work interpreted as decimal', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service({ clusterIPs: ['10.096.011.077'] });
      await service.serveFrom(pod1);
      await bed.isServed(exec, { address: '10.96.11.77', port: 80 }, [pod1]);
    });
  });

  describe('Service CIDRs', () => {
    it('should create Services and serve on different Service CIDRs', async () => {
      const [pod1, exec, pod3] = bed.pods;
      const service = await bed.service({ type: 'NodePort', clusterIPs: ['203.0.113.10'] });
      await service.serveFrom(pod1, pod3);
      await bed.isServed(exec, service.clusterIP(), [pod1, pod3]);
      for (const node of bed.nodes) await bed.isServed(exec, service.nodePort(node), [pod1, pod3]);
    });
  });

  describe('EndpointSlice', () => {
    const ports = [
      { name: 'example-1', port: 80, protocol: 'TCP' },
      { name: 'example-2', port: 81, protocol: 'TCP' },
    ] as const;
    const slice = (pods: readonly Pod[], numbers: Record<string, number>) => ({
      addressType: 'IPv4',
      ports: Object.entries(numbers).map(([name, port]) => ({ name, port, protocol: 'TCP' })),
      endpoints: pods.map((pod) => ({ addresses: [pod.addresses[4]] })),
    });

    it('should support a Service with multiple ports specified in multiple EndpointSlices', async () => {
      const [pod1, exec] = bed.pods;
      await listen(bed.cluster.cleanupEach, pod1, { port: 9090, name: 'second port' });
      const service = await bed.service({ ports: [...ports] });
      await service.putSlice('custom-1', slice([pod1], { 'example-1': podPort }));
      await service.putSlice('custom-2', slice([pod1], { 'example-2': 9090 }));
      await bed.isServed(exec, service.clusterIP(4, 'example-1'), [pod1]);
      await bed.isServed(exec, service.clusterIP(4, 'example-2'), [{ ...pod1, name: 'second port' }]);
    });

    it('should support a Service with multiple endpoint IPs specified in multiple EndpointSlices', async () => {
      const [pod1, exec, pod3] = bed.pods;
      for (const pod of [pod1, pod3])
        await listen(bed.cluster.cleanupEach, pod, { port: 9090, name: pod.name });
      const service = await bed.service({ ports: [...ports] });
      const numbers = { 'example-1': podPort, 'example-2': 9090 };
      await service.putSlice('custom-1', slice([pod1], numbers));
      await service.putSlice('custom-2', slice([pod3], numbers));
      for (const { name } of ports) await bed.isServed(exec, service.clusterIP(4, name), [pod1, pod3]);
    });

    describe('EndpointSliceMirroring', () => {
      it('should mirror a custom Endpoint with multiple subsets and same IP address', async () => {
        const [pod1, exec] = bed.pods;
        await listen(bed.cluster.cleanupEach, pod1, { port: 9090, name: 'second subset' });
        const service = await bed.service({ ports: [...ports] });
        service.labels = {
          'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
        };
        await service.putSlice('mirrored', slice([pod1], { 'example-1': podPort, 'example-2': 9090 }));
        await bed.isServed(exec, service.clusterIP(4, 'example-1'), [pod1]);
        await bed.isServed(exec, service.clusterIP(4, 'example-2'), [{ ...pod1, name: 'second subset' }]);
      });
    });
  });
}
