/*
 * control-plane-child CGROUP SERVICES UPSERTS [STATE]: fills the tables of a new LoadBalancer in one call, then changes one
 * service after the other; with a state directory another LoadBalancer takes them over in the end. Writes what it measured as JSON. Run by a process of its own each time, because a table
 * is filled for the first time only once, and the compiler has to warm up as it would for an embedder.
 */
import { LoadBalancer } from 'bpf-lb';

import type { ControlPlaneRun } from './control-plane';
import { backendAddress, backendsPerService, capacityFor, makeService, makeServices } from './services';

async function main(cgroup: string, services: number, upserts: number, stateDir?: string): Promise<void> {
  const options = { cgroup, capacity: capacityFor(services), ...(stateDir && { stateDir }) };
  const beforeOpen = performance.now();
  const lb = await LoadBalancer.open(options);
  const open = performance.now() - beforeOpen;
  const specs = makeServices(services, 'TCP');
  const empty = residentMemory();
  const beforeApply = performance.now();
  const cpuBefore = process.cpuUsage();
  await lb.apply(specs);
  const apply = performance.now() - beforeApply;
  const { user, system } = process.cpuUsage(cpuBefore);
  /* The embedder's own objects are not ours to count. */
  specs.length = 0;
  const full = residentMemory();
  const times: number[] = [];
  for (let i = 0; i < upserts; i++) {
    const spec = changedService(Math.floor(Math.random() * services), services, i);
    const begin = performance.now();
    await lb.upsertService(spec);
    times.push(performance.now() - begin);
  }
  await lb.close({ keep: stateDir !== undefined });
  const beforeAdoption = performance.now();
  await using next = stateDir === undefined ? undefined : await LoadBalancer.open(options);
  const result: ControlPlaneRun = {
    open,
    adoption: next && performance.now() - beforeAdoption,
    apply,
    applyCpu: (user + system) / 1000,
    memory: { empty, full },
    upserts: times,
  };
  process.stdout.write(JSON.stringify(result));
}

/** As if one pod had been replaced by another with a new address. */
function changedService(index: number, services: number, change: number) {
  const spec = makeService(index, 'TCP');
  const address = backendAddress(services, change);
  return {
    ...spec,
    backends: spec.backends.map((backend, i) =>
      i === change % backendsPerService ? { ...backend, address } : backend,
    ),
  };
}

function residentMemory(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

const [cgroup = '', services = '', upserts = '', stateDir] = process.argv.slice(2);
void main(cgroup, Number(services), Number(upserts), stateDir);
