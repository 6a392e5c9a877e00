import assert from 'node:assert/strict';

import type { Family } from '../../../lib/address';
import { type Way } from '../../cluster/ways';
import type { Endpoint } from '../../support/cluster/exchange';
import { listen, podPort } from '../../support/cluster/suite';
import type { Host, Pod } from '../../support/cluster/two-nodes';
import type { Bed } from './bed';
import type { TestService } from './test-service';

/** The protocols as the titles have them. */
const protocols = [
  { name: 'http', way: 'TCP' },
  { name: 'udp', way: 'connected UDP' },
] as const satisfies { name: string; way: Way }[];

export function granularChecksOfPods(bed: Bed): void {
  describe('Networking Granular Checks: Pods', () => {
    for (const { name, way } of protocols) {
      it(`should function for intra-pod communication: ${name}`, async () => {
        for (const from of bed.pods)
          for (const to of bed.pods)
            await bed.isServed(from, { address: to.addresses[4], port: podPort }, [to], way);
      });

      it(`should function for node-pod communication: ${name}`, async () => {
        for (const from of bed.nodes)
          for (const to of bed.pods)
            await bed.isServed(from, { address: to.addresses[4], port: podPort }, [to], way);
      });
    }
  });
}

export function granularChecksOfServices(bed: Bed): void {
  describe('Networking Granular Checks: Services', () => {
    checks(bed, 4);

    it('should function for multiple endpoint-Services with same selector', async () => {
      const [exec, servers] = [bed.pods[0], endpoints(bed)];
      const [first, second] = [await makeService(bed, 4), await makeService(bed, 4)];
      for (const service of [first, second]) await isServedEverywhere(bed, exec, service, 4, servers, 'TCP');
      await bed.remove(second);
      await isServedEverywhere(bed, exec, first, 4, servers, 'TCP');
      await bed.isUnserved(exec, second.clusterIP());
    });

    for (const { name, way } of protocols) {
      it(`should update nodePort: ${name}`, async () => {
        const [exec, servers] = [bed.pods[1], endpoints(bed)];
        const service = await makeService(bed, 4);
        const [old, nodePort] = [bed.nodes.map((node) => service.nodePort(node)), bed.freeNodePort()];
        for (const to of old) await bed.isServed(exec, to, servers, way);
        await service.put({ ports: service.spec.ports.map((port) => ({ ...port, nodePort })) });
        for (const node of bed.nodes) await bed.isServed(exec, service.nodePort(node), servers, way);
        for (const to of old) await bed.isUnserved(exec, to, way);
        const ports = service.spec.ports.map(({ name: portName = '', port, protocol = 'TCP' }) => ({
          name: portName,
          port,
          protocol,
        }));
        const last = bed.nodes.map((node) => service.nodePort(node));
        await service.put({ type: 'ClusterIP', ports });
        for (const to of last) await bed.isUnserved(exec, to, way);
        await bed.isServed(exec, service.clusterIP(4, name === 'http' ? 'tcp' : 'udp'), servers, way);
      });
    }

    it('should support basic nodePort: udp functionality', async () => {
      const service = await makeService(bed, 4);
      for (const node of bed.nodes)
        await bed.isServed(bed.cluster.client, service.nodePort(node), endpoints(bed), 'connected UDP');
    });
  });
}

export function granularChecksOfDualStack(bed: Bed): void {
  describe('Dual stack', () => {
    it('should be able to reach pod on ipv4 and ipv6 ip', async () => {
      const [pod1, pod2, pod3] = bed.pods;
      for (const family of [4, 6] as const)
        for (const from of [pod2, pod3])
          await bed.isServed(from, { address: pod1.addresses[family], port: podPort }, [pod1]);
    });

    describe('Granular Checks: Services Secondary IP Family', () => checks(bed, 6));
  });
}

/** Endpoints; the second pod is none. */
function endpoints(bed: Bed): Pod[] {
  const [pod1, , pod3, pod4] = bed.pods;
  return [pod1, pod3, pod4];
}

/** Of both protocols, with NodePorts, and of both families if it is to be asked by the second. */
async function makeService(
  bed: Bed,
  family: Family,
  servers: readonly Host[] = endpoints(bed),
): Promise<TestService> {
  const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    port: protocol === 'TCP' ? 80 : 90,
    protocol,
  }));
  const nodePort = bed.freeNodePort();
  const families = family === 4 ? [4 as const] : ([4, 6] as const);
  const spec = { type: 'NodePort', ports: ports.map((port) => ({ ...port, nodePort })) } as const;
  const service = await bed.service({ ...spec, ports: [...spec.ports] }, families);
  await service.serveFrom(...servers);
  return service;
}

function frontends(bed: Bed, service: TestService, family: Family, way: Way): Endpoint[] {
  const port = way === 'TCP' ? 'tcp' : 'udp';
  return [service.clusterIP(family, port), ...bed.nodes.map((node) => service.nodePort(node, family, port))];
}

async function isServedEverywhere(
  bed: Bed,
  from: Host,
  service: TestService,
  family: Family,
  servers: readonly Host[],
  way: Way,
): Promise<void> {
  for (const to of frontends(bed, service, family, way)) await bed.isServed(from, to, servers, way);
}

function checks(bed: Bed, family: Family): void {
  for (const { name, way } of protocols) {
    it(`should function for pod-Service: ${name}`, async () => {
      const service = await makeService(bed, family);
      await isServedEverywhere(bed, bed.pods[1], service, family, endpoints(bed), way);
    });

    it(`should function for node-Service: ${name}`, async () => {
      const service = await makeService(bed, family);
      await isServedEverywhere(bed, bed.nodes[0], service, family, endpoints(bed), way);
    });

    it(`should function for endpoint-Service: ${name}`, async () => {
      const service = await makeService(bed, family);
      await isServedEverywhere(bed, bed.pods[0], service, family, endpoints(bed), way);
    });

    it(`should update endpoints: ${name}`, async () => {
      const [exec, [gone, ...left]] = [bed.pods[1], endpoints(bed)];
      const service = await makeService(bed, family);
      await isServedEverywhere(bed, exec, service, family, endpoints(bed), way);
      assert.ok(gone);
      await service.serveFrom(...left);
      await isServedEverywhere(bed, exec, service, family, left, way);
    });

    it(`should function for client IP based session affinity: ${name}`, async () => {
      const service = await makeService(bed, family);
      await service.put({
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
      });
      const pins = new Set<string>();
      for (const to of frontends(bed, service, family, way).slice(0, 2))
        pins.add(await bed.isPinned(bed.pods[1], to, way));
      assert.equal(pins.size, 1, 'all frontends of a port share the choice');
    });

    it(`should be able to handle large requests: ${name}`, async () => {
      const service = await makeService(bed, family);
      await isServedEverywhere(bed, bed.pods[1], service, family, endpoints(bed), way);
      const peer = await bed.pods[1].peer();
      const message = 'x'.repeat(2000);
      for (const to of frontends(bed, service, family, way)) {
        for (let i = 0; i < 10; i++) {
          if (way === 'TCP') {
            const { id } = await peer.open(to);
            assert.equal(await peer.echo(id, message), message);
            await peer.dropConnection(id);
          } else {
            const type = family === 4 ? 'udp4' : 'udp6';
            await peer.connectedUdp(to, { type, size: message.length, localPort: 15_000 + bed.next() });
          }
        }
      }
    });
  }

  it('should function for service endpoints using hostNetwork', async () => {
    for (const node of bed.nodes) {
      /* On one address: a datagram server that is on all of them answers from another one. */
      const address = node.addresses[family];
      await listen(bed.cluster.cleanupEach, node, { port: podPort, address, name: node.name });
    }
    const service = await makeService(bed, family, bed.nodes);
    for (const from of [bed.pods[1], bed.nodes[0]])
      for (const { way } of protocols) await isServedEverywhere(bed, from, service, family, bed.nodes, way);
  });
}
