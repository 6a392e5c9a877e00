import { listen, podPort } from '../../support/cluster/suite';
import type { Host } from '../../support/cluster/two-nodes';
import type { Bed } from './bed';

const local = { internalTrafficPolicy: 'Local' } as const;

export function policies(bed: Bed): void {
  describe('Services', () => {
    /** `here` runs on the node of the server. */
    const stays = async (server: Host, here: readonly Host[], elsewhere: readonly Host[]) => {
      const service = await bed.service(local);
      await service.serveFrom(server);
      for (const from of here) await bed.isServed(from, service.clusterIP(), [server]);
      for (const from of elsewhere) await bed.isUnserved(from, service.clusterIP());
    };

    it('should respect internalTrafficPolicy=Local Pod to Pod', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      await stays(pod1, [pod2], [pod3]);
    });

    it('should respect internalTrafficPolicy=Local Pod (hostNetwork: true) to Pod', async () => {
      const [node1, node2] = bed.nodes;
      await stays(bed.pods[0], [node1], [node2]);
    });

    it('should respect internalTrafficPolicy=Local Pod and Node, to Pod (hostNetwork: true)', async () => {
      const [node1, node2] = bed.nodes;
      const [pod1, , pod3] = bed.pods;
      await listen(bed.cluster.cleanupEach, node1, { port: podPort, name: node1.name });
      await stays(node1, [pod1, node1], [pod3, node2]);
    });

    for (const label of ['service-proxy-name', 'headless']) {
      it(`should implement service.kubernetes.io/${label}`, async () => {
        const [pod1, , pod3] = bed.pods;
        const labels = { [`service.kubernetes.io/${label}`]: 'foo-bar' };
        const [toggled, always] = [await bed.service(), await bed.service()];
        await toggled.serveFrom(pod1, pod3);
        await always.label(labels);
        await always.serveFrom(pod1, pod3);
        const isServed = async () => {
          for (const from of bed.nodes) {
            await bed.isServed(from, toggled.clusterIP(), [pod1, pod3]);
            await bed.isUnserved(from, always.clusterIP());
          }
        };
        await isServed();
        await toggled.label(labels);
        for (const from of bed.nodes) await bed.isUnserved(from, toggled.clusterIP());
        await toggled.label({});
        await isServed();
      });
    }
  });
}
