/*
 * gateway-child OPTIONS SERVICE: a LoadBalancer for packets, with one service; both are JSON. Writes a line when it
 * serves; ends with its standard input.
 */
import { once } from 'node:events';

import { LoadBalancer, type OpenOptions, type ServiceSpec } from 'bpf-lb';

async function main(options: OpenOptions, service: ServiceSpec): Promise<void> {
  const lb = await LoadBalancer.open({ ...options, socketLB: false });
  await lb.upsertService(service);
  process.stdout.write('ready\n');
  await once(process.stdin.resume(), 'end');
  await lb.close();
}

const [options = '', service = ''] = process.argv.slice(2);
void main(JSON.parse(options) as OpenOptions, JSON.parse(service) as ServiceSpec);
