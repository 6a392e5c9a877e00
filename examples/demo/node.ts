import { type Device, LoadBalancer, type OpenOptions, type ServiceSpec } from 'bpf-lb';

/*
 * What runs on a node: one process that owns the node's LoadBalancer and does what the demo tells it. Started in the
 * node's network namespace, because that is the one that a LoadBalancer works for.
 */

let lb: LoadBalancer;

const calls = {
  open: async (options: OpenOptions) => {
    lb = await LoadBalancer.open(options);
  },
  upsertService: async (spec: ServiceSpec) => {
    await lb.upsertService(spec);
  },
  selectDevices: async (patterns: string[]) => {
    await lb.selectDevices(patterns);
  },
  devices: () => lb.devices.map(formatDevice).join('\n'),
  status: () => lb.status().format(),
  services: () => lb.services.format(),
};

function formatDevice({ name, role, programs }: Device): string {
  const attached = programs.map((p) => `${p.name} (${p.attachment}${p.attached ? '' : ', gone'})`);
  return `${name.padEnd(12)}${role.padEnd(10)}${attached.join('  ')}`;
}

/** The calls of a node, as the demo makes them: see {@link import('./node-process').startNode}. */
export type NodeCalls = typeof calls;

/** A call on its way to the node. */
export interface Request {
  id: number;
  call: keyof NodeCalls;
  args: unknown[];
}

/** What became of it. */
export interface Response {
  id: number;
  value?: unknown;
  error?: string;
}

async function answer({ id, call, args }: Request): Promise<Response> {
  try {
    return { id, value: await (calls[call] as (...args: unknown[]) => unknown)(...args) };
  } catch (error) {
    return { id, error: (error as Error).message };
  }
}

process.on('message', (request: Request) => {
  void answer(request).then((response) => process.send?.(response));
});
