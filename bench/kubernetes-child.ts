/*
 * kubernetes-child CGROUP SERVICES EVENTS: brings a cluster into the kernel, then one changed EndpointSlice after the
 * other. Writes what it measured as JSON. A process of its own each time, as in control-plane-child.ts.
 */
import { once } from 'node:events';

import { LoadBalancer } from 'bpf-lb';
import { ClusterState, ClusterSync, type KubernetesObject } from 'bpf-lb/kubernetes';

import type { KubernetesRun } from './kubernetes';
import { backendAddress, backendsPerService, capacityFor, serviceAddress } from './services';

const port = 80;

function serviceObject(index: number): KubernetesObject {
  const clusterIP = serviceAddress(index);
  return {
    kind: 'Service',
    metadata: { namespace: 'default', name: `web-${index}`, uid: String(index) },
    spec: { clusterIP, clusterIPs: [clusterIP], ipFamilies: ['IPv4'], ports: [{ name: 'http', port }] },
  } as KubernetesObject;
}

/** As controllers write it; `addressOf` gives the address of an endpoint. */
function sliceObject(index: number, addressOf: (endpoint: number) => string): KubernetesObject {
  return {
    kind: 'EndpointSlice',
    metadata: {
      namespace: 'default',
      name: `web-${index}-abcde`,
      labels: { 'kubernetes.io/service-name': `web-${index}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: backendsPerService }, (_, i) => ({
      addresses: [addressOf(i)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${(index + i) % 100}`,
    })),
  } as KubernetesObject;
}

async function main(cgroup: string, services: number, events: number): Promise<void> {
  const numbers = Array.from({ length: services }, (_, i) => i);
  const lists = {
    services: numbers.map(serviceObject),
    slices: numbers.map((index) => sliceObject(index, (i) => backendAddress(index, i))),
  };
  await using lb = await LoadBalancer.open({ cgroup, capacity: capacityFor(services) });
  const cluster = new ClusterState({ nodeName: 'node-7' });
  await using sync = new ClusterSync(cluster, lb, { minSyncPeriod: 0 });
  sync.on('failed', (error) => {
    throw error;
  });
  const empty = residentMemory();
  const began = performance.now();
  const cpuBefore = process.cpuUsage();
  const synced = once(sync, 'synced');
  cluster.replace('Service', lists.services);
  cluster.replace('EndpointSlice', lists.slices);
  sync.start();
  await synced;
  const firstSync = performance.now() - began;
  const { user, system } = process.cpuUsage(cpuBefore);
  /* The client's own objects are not ours to count. */
  lists.services.length = lists.slices.length = 0;
  const full = residentMemory();
  const times: number[] = [];
  for (let i = 0; i < events; i++) {
    const index = Math.floor(Math.random() * services);
    /* As if one pod had been replaced by another with a new address. */
    const slice = sliceObject(index, (j) =>
      j === i % backendsPerService ? backendAddress(services, i) : backendAddress(index, j),
    );
    const done = once(sync, 'synced');
    const begin = performance.now();
    cluster.apply('MODIFIED', slice);
    await done;
    times.push(performance.now() - begin);
  }
  const result: KubernetesRun = {
    firstSync,
    firstSyncCpu: (user + system) / 1000,
    memory: { empty, full },
    events: times,
  };
  process.stdout.write(JSON.stringify(result));
}

function residentMemory(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

const [cgroup = '', services = '', events = ''] = process.argv.slice(2);
void main(cgroup, Number(services), Number(events));
