import type { OpenOptions, ServiceSpec } from 'bpf-lb';

import { startChild } from './child';

/** The NodePort of every measurement. */
export const nodePort = 30080;

/** Runs `use` while a LoadBalancer serves one service to the devices of the network namespace `node`. */
export async function withGateway<T>(
  node: string,
  options: OpenOptions,
  service: ServiceSpec,
  use: () => Promise<T>,
): Promise<T> {
  /* As many source ports as others have by default. */
  const all: OpenOptions = { snatPorts: [32768, 65535], ...options };
  const close = await startChild(
    node,
    'gateway-child.js',
    [JSON.stringify(all), JSON.stringify(service)],
    'A LoadBalancer for packets',
  );
  try {
    return await use();
  } finally {
    await close();
  }
}

/** A service with that NodePort. */
export function nodePortService(backends: readonly string[], port: number): ServiceSpec {
  return {
    name: 'default/web:http',
    frontends: [{ type: 'NodePort', port: nodePort, protocol: 'TCP' }],
    backends: backends.map((address) => ({ address, port })),
  };
}
