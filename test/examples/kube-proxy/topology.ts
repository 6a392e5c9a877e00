import { podPort } from '../../support/cluster/suite';
import type { Bed } from './bed';
import type { Spec } from './test-service';

type Distribution = NonNullable<Spec['trafficDistribution']>;

export function topology(bed: Bed): void {
  /* The nodes are in two zones, unless a test says otherwise. */
  describe('Topology Hints', () => {
    it('should distribute endpoints evenly', async () => {
      const [pod1, pod2, pod3, pod4] = bed.pods;
      const service = await bed.service();
      await service.putSlice('hinted', {
        addressType: 'IPv4',
        ports: [{ name: '', port: podPort, protocol: 'TCP' }],
        /* As the controller allots them, which need not be to their own zones. */
        endpoints: [
          [pod1, 'zone-a'],
          [pod2, 'zone-b'],
          [pod3, 'zone-b'],
          [pod4, 'zone-a'],
        ].map(([pod, name]) => ({
          addresses: [(pod as typeof pod1).addresses[4]],
          nodeName: (pod as typeof pod1).node.name,
          conditions: { ready: true },
          hints: { forZones: [{ name }] },
        })),
      });
      await bed.isServed(pod1, service.clusterIP(), [pod1, pod4]);
      await bed.isServed(pod3, service.clusterIP(), [pod2, pod3]);
    });
  });

  describe('Traffic Distribution', () => {
    afterEach(() => bed.setZones('zone-a', 'zone-b'));

    const sameZone = async (trafficDistribution: Distribution) => {
      const [pod1, pod2, pod3] = bed.pods;
      const service = await bed.service({ trafficDistribution });
      await service.serveFrom(pod1, pod3);
      await bed.isServed(pod2, service.clusterIP(), [pod1]);
      await bed.isServed(pod3, service.clusterIP(), [pod3]);
      /* A zone without endpoints uses all. */
      await service.serveFrom(pod1, pod2);
      await bed.isServed(pod3, service.clusterIP(), [pod1, pod2]);
    };

    const multipleNodes = async (trafficDistribution: Distribution) => {
      const [pod1, pod2, pod3] = bed.pods;
      await bed.setZones('zone-a', 'zone-a');
      const service = await bed.service({ trafficDistribution });
      await service.serveFrom(pod1, pod3);
      for (const from of [pod1, pod2, pod3]) await bed.isServed(from, service.clusterIP(), [pod1, pod3]);
    };

    it('should route traffic to an endpoint in the same zone when using PreferClose', () =>
      sameZone('PreferClose'));

    it('should route traffic correctly between pods on multiple nodes when using PreferClose', () =>
      multipleNodes('PreferClose'));

    it('should route traffic to an endpoint in the same zone when using PreferSameZone', () =>
      sameZone('PreferSameZone'));

    it('should route traffic correctly between pods on multiple nodes when using PreferSameZone', () =>
      multipleNodes('PreferSameZone'));

    it('should route traffic to an endpoint on the same node or fall back to same zone when using PreferSameNode', async () => {
      const [pod1, pod2, pod3, pod4] = bed.pods;
      await bed.setZones('zone-a', 'zone-a');
      const service = await bed.service({ trafficDistribution: 'PreferSameNode' });
      await service.serveFrom(pod1, pod3);
      await bed.isServed(pod2, service.clusterIP(), [pod1]);
      await bed.isServed(pod4, service.clusterIP(), [pod3]);
      await service.serveFrom(pod3, pod4);
      await bed.isServed(pod2, service.clusterIP(), [pod3, pod4]);
      await bed.setZones('zone-a', 'zone-b');
      await service.serveFrom(pod3, pod4);
      await bed.isServed(pod2, service.clusterIP(), [pod3, pod4]);
    });

    it('should route traffic to an endpoint on the same node when using PreferSameNode and fall back when the endpoint becomes unavailable', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      const service = await bed.service({ trafficDistribution: 'PreferSameNode' });
      for (let i = 0; i < 2; i++) {
        await service.serveFrom(pod1, pod3);
        await bed.isServed(pod2, service.clusterIP(), [pod1]);
        await service.serveFrom(pod3);
        await bed.isServed(pod2, service.clusterIP(), [pod3]);
      }
    });
  });
}
