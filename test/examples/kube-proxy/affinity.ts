import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Endpoint } from '../../support/cluster/exchange';
import type { Bed } from './bed';
import type { Spec, TestService } from './test-service';

const pinned: Partial<Spec> = {
  sessionAffinity: 'ClientIP',
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
};

export function sessionAffinity(bed: Bed): void {
  describe('Services', () => {
    const atClusterIP = (service: TestService) => service.clusterIP();
    const atNodePort = (service: TestService) => service.nodePort(bed.nodes[0]);

    it('should have session affinity work for service with type clusterIP', () =>
      holds(bed, { type: 'ClusterIP' }, atClusterIP));

    it('should be able to switch session affinity for service with type clusterIP', () =>
      switches(bed, { type: 'ClusterIP' }, atClusterIP));

    it('should have session affinity work for NodePort service', () =>
      holds(bed, { type: 'NodePort' }, atNodePort));

    it('should be able to switch session affinity for NodePort service', () =>
      switches(bed, { type: 'NodePort' }, atNodePort));

    it('should have session affinity timeout work for service with type clusterIP', () =>
      ends(bed, { type: 'ClusterIP' }, atClusterIP));

    it('should have session affinity timeout work for NodePort service', () =>
      ends(bed, { type: 'NodePort' }, atNodePort));
  });
}

type At = (service: TestService) => Endpoint;

/** Three backends on both nodes. */
async function threeBackends(bed: Bed, spec: Partial<Spec>): Promise<TestService> {
  const [pod1, , pod3, pod4] = bed.pods;
  const service = await bed.service(spec);
  await service.serveFrom(pod1, pod3, pod4);
  return service;
}

async function holds(bed: Bed, spec: Partial<Spec>, at: At): Promise<void> {
  const service = await threeBackends(bed, { ...spec, ...pinned });
  const [, exec] = bed.pods;
  const server = await bed.isPinned(exec, at(service));
  assert.equal(await bed.isPinned(exec, at(service)), server);
}

async function ends(bed: Bed, spec: Partial<Spec>, at: At): Promise<void> {
  const sessionAffinityConfig = { clientIP: { timeoutSeconds: 1 } };
  const service = await threeBackends(bed, { ...spec, sessionAffinity: 'ClientIP', sessionAffinityConfig });
  const [, exec] = bed.pods;
  const servers = new Set<string>();
  /* That all are the same happens once in half a million runs. */
  for (let i = 0; i < 13 && servers.size < 2; i++) {
    if (i > 0) await sleep(2100);
    servers.add(await bed.isPinned(exec, at(service)));
  }
  assert.equal(servers.size, 2);
}

async function switches(bed: Bed, spec: Partial<Spec>, at: At): Promise<void> {
  const service = await threeBackends(bed, spec);
  const [pod1, exec, pod3, pod4] = bed.pods;
  for (let i = 0; i < 2; i++) {
    await bed.isServed(exec, at(service), [pod1, pod3, pod4]);
    await service.put(pinned);
    await bed.isPinned(exec, at(service));
    await service.put({ sessionAffinity: 'None', sessionAffinityConfig: undefined });
  }
  await bed.isServed(exec, at(service), [pod1, pod3, pod4]);
}
