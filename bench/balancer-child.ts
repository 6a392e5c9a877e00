/*
 * balancer-child CGROUP SERVICES PROTOCOL: a LoadBalancer for the processes in CGROUP. Writes a line when it serves;
 * ends with its standard input.
 */
import { once } from 'node:events';

import { LoadBalancer, type Protocol } from 'bpf-lb';

import { capacityFor, makeServices } from './services';

async function main(cgroup: string, services: number, protocol: Protocol): Promise<void> {
  const lb = await LoadBalancer.open({ cgroup, capacity: capacityFor(services) });
  await lb.apply(makeServices(services, protocol));
  process.stdout.write('ready\n');
  await once(process.stdin.resume(), 'end');
  await lb.close();
}

const [cgroup = '', services = '', protocol = ''] = process.argv.slice(2);
void main(cgroup, Number(services), protocol as Protocol);
