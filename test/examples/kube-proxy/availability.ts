import type { Bed } from './bed';

const terminating = { ready: false, serving: true, terminating: true } as const;
const leaving = { ready: false, serving: false, terminating: true } as const;

export function availability(bed: Bed): void {
  describe('Services', () => {
    it('should be rejected when no endpoints exist', async () => {
      const service = await bed.service({ type: 'NodePort' });
      for (const from of [bed.pods[1], bed.nodes[0]]) await bed.isRefused(from, service.clusterIP());
      for (const node of bed.nodes) await bed.isRefused(bed.pods[1], service.nodePort(node));
    });

    it('should be rejected for evicted pods (no endpoints exist)', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service();
      await service.serveFrom(pod1);
      await bed.isServed(exec, service.clusterIP(), [pod1]);
      /* An evicted pod has failed: the controller leaves it out. */
      await service.serveFrom();
      for (const from of [exec, bed.nodes[0], bed.nodes[1]]) await bed.isRefused(from, service.clusterIP());
    });

    it('should create endpoints for unready pods', async () => {
      const [pod1, exec] = bed.pods;
      const unready = { host: pod1, ready: false };
      const service = await bed.service({ publishNotReadyAddresses: true });
      await service.serveFrom(unready);
      await bed.isServed(exec, service.clusterIP(), [pod1]);
      await service.put({ publishNotReadyAddresses: false });
      await service.serveFrom(unready);
      await bed.isRefused(exec, service.clusterIP());
      await service.put({ publishNotReadyAddresses: true });
      await service.serveFrom(unready);
      await bed.isServed(exec, service.clusterIP(), [pod1]);
    });

    it('should be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is true', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service({ type: 'NodePort', publishNotReadyAddresses: true });
      await service.serveFrom({ host: pod1, ...leaving });
      await bed.isServed(exec, service.clusterIP(), [pod1]);
      for (const node of bed.nodes) await bed.isServed(exec, service.nodePort(node), [pod1]);
    });

    it('should not be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is false', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service({ type: 'NodePort' });
      await service.serveFrom(pod1);
      await bed.isServed(exec, service.clusterIP(), [pod1]);
      await service.serveFrom({ host: pod1, ...leaving });
      await bed.isRefused(exec, service.clusterIP());
      for (const node of bed.nodes) await bed.isRefused(exec, service.nodePort(node));
    });

    it('should fail health check node port if there are only terminating endpoints', async () => {
      const [pod1, , exec] = bed.pods;
      const [node1, node2] = bed.nodes;
      const healthCheckNodePort = bed.freeNodePort();
      const service = await bed.service({
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort,
      });
      await service.serveFrom(pod1);
      await bed.answersStatus(node1, healthCheckNodePort, 200);
      await bed.answersStatus(node2, healthCheckNodePort, 503);
      await bed.isServed(exec, service.nodePort(node1), [pod1]);
      await service.serveFrom({ host: pod1, ...terminating });
      await bed.answersStatus(node1, healthCheckNodePort, 503);
      await bed.isServed(exec, service.nodePort(node1), [pod1]);
    });

    it('should fallback to terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Cluster', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      const service = await bed.service();
      await service.serveFrom({ host: pod1, ...terminating });
      for (const from of [pod2, pod3]) await bed.isServed(from, service.clusterIP(), [pod1]);
    });

    it('should fallback to local terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Local', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      const service = await bed.service({ internalTrafficPolicy: 'Local' });
      await service.serveFrom({ host: pod1, ...terminating });
      await bed.isServed(pod2, service.clusterIP(), [pod1]);
      await bed.isUnserved(pod3, service.clusterIP());
    });

    it('should fallback to terminating endpoints when there are no ready endpoints with externallTrafficPolicy=Cluster', async () => {
      const [pod1, exec] = bed.pods;
      const service = await bed.service({ type: 'NodePort', externalTrafficPolicy: 'Cluster' });
      await service.serveFrom({ host: pod1, ...terminating });
      for (const node of bed.nodes)
        for (const from of [exec, bed.cluster.client])
          await bed.isServed(from, service.nodePort(node), [pod1]);
    });

    it('should fallback to local terminating endpoints when there are no ready endpoints with externalTrafficPolicy=Local', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      const [node1, node2] = bed.nodes;
      const service = await bed.service({ type: 'NodePort', externalTrafficPolicy: 'Local' });
      await service.serveFrom({ host: pod1, ...terminating });
      for (const from of [pod3, bed.cluster.client])
        await bed.isServed(from, service.nodePort(node1), [pod1]);
      for (const from of [pod2, bed.cluster.client]) await bed.isUnserved(from, service.nodePort(node2));
    });
  });
}
