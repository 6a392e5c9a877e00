import assert from 'node:assert/strict';

import { unmapped, type Way } from '../../cluster/ways';
import type { Endpoint } from '../../support/cluster/exchange';
import type { Host, Node } from '../../support/cluster/two-nodes';
import { eventually } from '../../support/eventually';
import type { Bed } from './bed';
import type { Spec, TestService } from './test-service';

const pinned: Partial<Spec> = {
  sessionAffinity: 'ClientIP',
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
};
const leaving = { ready: false, serving: true, terminating: true } as const;

/** The cloud's load balancer is a route of the client outside: to the first node, unless a test says otherwise. */
export function loadBalancers(bed: Bed): void {
  /** A Service of type LoadBalancer, with an address of its own. */
  const make = async (spec: Partial<Spec> = {}): Promise<{ service: TestService; vip: Endpoint }> => {
    const service = await bed.service({ type: 'LoadBalancer', externalTrafficPolicy: 'Cluster', ...spec });
    const vip = { address: `198.51.100.${bed.next() & 255}`, port: 80 };
    service.ingress = [{ ip: vip.address }];
    await service.put();
    return { service, vip };
  };
  const makeLocal = async (spec: Partial<Spec> = {}) => {
    const healthCheckNodePort = bed.freeNodePort();
    const policy = { externalTrafficPolicy: 'Local', healthCheckNodePort };
    return { ...(await make({ ...policy, ...spec })), healthCheckNodePort };
  };
  const route = ({ address }: Endpoint, node: Node) => {
    const { namespace } = bed.cluster.client;
    bed.cluster.cleanupEach.add(() => namespace.ip(`route flush exact ${address}`));
    namespace.ip(`route replace ${address} via ${node.addresses[4]}`);
  };
  /** Until the server sees this address. */
  const isSeenAs = async (from: Host, to: Endpoint, address: string) => {
    const peer = await from.peer();
    await eventually(async () => {
      const { client } = await peer.tcp(to, { timeout: 500 });
      assert.equal(unmapped(client.address), address);
    }, 20_000);
  };

  describe('LoadBalancers', () => {
    for (const protocol of ['TCP', 'UDP'] as const) {
      it(`should be able to change the type and ports of a ${protocol} service`, async () => {
        const [pod1, exec, pod3] = bed.pods;
        const { client } = bed.cluster;
        const way: Way = protocol === 'TCP' ? 'TCP' : 'connected UDP';
        const [pods, node] = [[pod1, pod3], bed.nodes[0]];
        const service = await bed.service({ ports: [{ port: 80, protocol }] });
        await service.serveFrom(...pods);
        await bed.isServed(exec, service.clusterIP(), pods, way);

        const first = bed.freeNodePort();
        await service.put({ type: 'NodePort', ports: [{ port: 80, protocol, nodePort: first }] });
        await bed.isServed(client, service.nodePort(node), pods, way);

        const address = `198.51.100.${bed.next() & 255}`;
        service.ingress = [{ ip: address }];
        await service.put({ type: 'LoadBalancer' });
        await bed.isServed(client, { address, port: 80 }, pods, way);

        const old = service.nodePort(node);
        await service.put({ ports: [{ port: 80, protocol, nodePort: bed.freeNodePort() }] });
        await bed.isServed(client, service.nodePort(node), pods, way);
        await bed.isUnserved(client, old, way);
        await bed.isServed(client, { address, port: 80 }, pods, way);

        const { nodePort = 0 } = service.spec.ports[0] ?? {};
        await service.put({ ports: [{ port: 81, protocol, nodePort }] });
        await bed.isServed(client, { address, port: 81 }, pods, way);
        await bed.isUnserved(client, { address, port: 80 }, way);
        await bed.isServed(client, service.nodePort(node), pods, way);

        await service.serveFrom();
        for (const to of [{ address, port: 81 }, service.nodePort(node)])
          await bed.isUnserved(client, to, way);
        await service.serveFrom(...pods);
        for (const to of [{ address, port: 81 }, service.nodePort(node)])
          await bed.isServed(client, to, pods, way);

        const last = service.nodePort(node);
        service.ingress = [];
        await service.put({ type: 'ClusterIP', ports: [{ port: 81, protocol }] });
        for (const to of [{ address, port: 81 }, last]) await bed.isUnserved(client, to, way);
        await bed.isServed(exec, service.clusterIP(), pods, way);
      });
    }

    it('should only allow access from service loadbalancer source ranges', async () => {
      const [pod1, accept, drop] = bed.pods;
      const { client } = bed.cluster;
      const ranges = (...loadBalancerSourceRanges: string[]) => ({ loadBalancerSourceRanges });
      const host = accept.node.addresses[4];
      const { service, vip } = await make(ranges(`${accept.addresses[4]}/32`, `${host}/32`));
      await service.serveFrom(pod1);
      await bed.isServed(accept, vip, [pod1]);
      for (const from of [drop, client]) await bed.isUnserved(from, vip);
      await service.put(ranges('0.0.0.0/1', '128.0.0.0/1'));
      for (const from of [accept, drop, client]) await bed.isServed(from, vip, [pod1]);
      await service.put(ranges('255.255.255.255/32'));
      for (const from of [accept, drop, client]) await bed.isUnserved(from, vip);
      await service.put(ranges());
      for (const from of [accept, drop, client]) await bed.isServed(from, vip, [pod1]);
    });

    for (const policy of ['Local', 'Cluster'] as const) {
      /* Two of them are on the node that the client comes to. */
      const usable = () => (policy === 'Local' ? bed.pods.slice(0, 2) : bed.pods);
      const makeOne = async (spec: Partial<Spec>) => {
        const made = await make({ externalTrafficPolicy: policy, ...spec });
        await made.service.serveFrom(...bed.pods);
        return made;
      };

      it(`should have session affinity work for LoadBalancer service with ${policy} traffic policy`, async () => {
        const { vip } = await makeOne(pinned);
        const server = await bed.isPinned(bed.cluster.client, vip);
        assert.equal(await bed.isPinned(bed.cluster.client, vip), server);
      });

      it(`should be able to switch session affinity for LoadBalancer service with ${policy} traffic policy`, async () => {
        const { service, vip } = await makeOne({});
        await bed.isServed(bed.cluster.client, vip, usable());
        await service.put(pinned);
        await bed.isPinned(bed.cluster.client, vip);
        await service.put({ sessionAffinity: 'None', sessionAffinityConfig: undefined });
        await bed.isServed(bed.cluster.client, vip, usable());
      });
    }

    it('should be able to create LoadBalancer Service without NodePort and change it', async () => {
      const [pod1, , pod3] = bed.pods;
      const { service, vip } = await make({ allocateLoadBalancerNodePorts: false, ports: [{ port: 80 }] });
      await service.serveFrom(pod1, pod3);
      await bed.isServed(bed.cluster.client, vip, [pod1, pod3]);
      const nodePort = bed.freeNodePort();
      await service.put({ allocateLoadBalancerNodePorts: true, ports: [{ port: 80, nodePort }] });
      for (const to of [service.nodePort(bed.nodes[0]), vip])
        await bed.isServed(bed.cluster.client, to, [pod1, pod3]);
    });

    for (const policy of ['Cluster', 'Local'] as const) {
      it(`should not have connectivity disruption during rolling update with externalTrafficPolicy=${policy}`, async () => {
        const [old1, new1, old2, new2] = bed.pods;
        const { service, vip } = await make({ externalTrafficPolicy: policy });
        await service.serveFrom(old1, old2);
        const before = policy === 'Local' ? [old1] : [old1, old2];
        await bed.isServed(bed.cluster.client, vip, before);
        const client = await bed.cluster.client.peer();
        await client.startStream(vip, 100_000);
        /* Node by node: the old pod goes, the new one comes. Each step has reached the node before the next one. */
        const steps = [
          [{ host: old1, ...leaving }, old2],
          [new1, old2],
          [new1, { host: old2, ...leaving }],
          [new1, new2],
        ];
        for (const step of steps) {
          const { length } = bed.proxies[0].logged('synced');
          await service.serveFrom(...step);
          await eventually(() => assert.ok(bed.proxies[0].logged('synced').length > length));
        }
        await bed.isServed(bed.cluster.client, vip, policy === 'Local' ? [new1] : [new1, new2]);
        const { served, failed } = await client.stopStream();
        assert.deepEqual(failed, {});
        assert.ok(served[new1.name], 'requests came all the while');
      });
    }
  });

  describe('LoadBalancers ExternalTrafficPolicy: Local', () => {
    it('should work for type=LoadBalancer', async () => {
      const [pod1] = bed.pods;
      const [node1] = bed.nodes;
      const { client } = bed.cluster;
      const { service, vip, healthCheckNodePort } = await makeLocal();
      await service.serveFrom(pod1);
      await bed.answersStatus(node1, healthCheckNodePort, 200);
      await isSeenAs(client, vip, client.addresses[4]);
      await service.put({ externalTrafficPolicy: 'Cluster', healthCheckNodePort: undefined });
      await bed.isRefused(client, { address: node1.addresses[4], port: healthCheckNodePort });
      await bed.isServed(client, vip, [pod1]);
    });

    it('should only target nodes with endpoints', async () => {
      const { service, vip, healthCheckNodePort } = await makeLocal();
      for (const [i, node] of bed.nodes.entries()) {
        const [pod] = node.pods;
        await service.serveFrom(pod);
        await bed.answersStatus(node, healthCheckNodePort, 200);
        await bed.answersStatus(bed.nodes[1 - i] as Node, healthCheckNodePort, 503);
        route(vip, node);
        await bed.isServed(bed.cluster.client, vip, [pod]);
      }
    });

    it('should target all nodes with endpoints', async () => {
      const [pod1, , pod3] = bed.pods;
      const { service, vip } = await makeLocal();
      await service.serveFrom(pod1, pod3);
      for (const node of bed.nodes) {
        route(vip, node);
        await bed.isServed(bed.cluster.client, vip, [node.pods[0]]);
      }
    });

    it('should work from pods', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      const { service, vip } = await makeLocal();
      await service.serveFrom(pod1);
      for (const from of [pod2, pod3]) await isSeenAs(from, vip, from.addresses[4]);
    });

    it('should work for type=NodePort', async () => {
      const [pod1, , pod3] = bed.pods;
      const { client } = bed.cluster;
      const service = await bed.service({ type: 'NodePort', externalTrafficPolicy: 'Local' });
      await service.serveFrom(pod1, pod3);
      for (const node of bed.nodes) {
        await bed.isServed(client, service.nodePort(node), [node.pods[0]]);
        await isSeenAs(client, service.nodePort(node), client.addresses[4]);
      }
    });

    it('should handle updates to ExternalTrafficPolicy field', async () => {
      const [pod1, , pod3] = bed.pods;
      const [node1, node2] = bed.nodes;
      const { client } = bed.cluster;
      const { service, vip, healthCheckNodePort } = await makeLocal();
      await service.serveFrom(pod3);
      await bed.answersStatus(node2, healthCheckNodePort, 200);
      await bed.isUnserved(client, vip);
      await service.put({ externalTrafficPolicy: 'Cluster', healthCheckNodePort: undefined });
      await isSeenAs(client, vip, node1.addresses[4]);
      await bed.isRefused(client, { address: node2.addresses[4], port: healthCheckNodePort });
      await service.put({ externalTrafficPolicy: 'Local', healthCheckNodePort });
      await bed.isUnserved(client, vip);
      await bed.answersStatus(node1, healthCheckNodePort, 503);
      await service.serveFrom(pod1, pod3);
      await bed.answersStatus(node1, healthCheckNodePort, 200);
      await isSeenAs(client, vip, client.addresses[4]);
    });
  });
}
