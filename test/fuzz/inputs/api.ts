import {
  LoadBalancer,
  LoadBalancerError,
  type OpenOptions,
  type Query,
  type ServiceSpec,
} from '../../../lib';
import { parseOptions } from '../../../lib/options';
import { Cleanup } from '../../support/cleanup';
import { makeCgroup } from '../../support/cluster/cgroup';
import { smallCapacity } from '../../support/cluster/load-balancer';
import { type InputRound, Random } from './random';
import { describe, marker, withOddity } from './values';

const inputs = 2000;

const options: OpenOptions = {
  devices: ['eth9', 'lxc9+', '!eth8'],
  followDevices: true,
  nodePortAddresses: ['primary', '192.0.2.0/24'],
  directRoutingDevice: 'eth9',
  protectNodePorts: true,
  redirectPeer: false,
  externalClusterIP: false,
  masqueradeExternalClusterIP: true,
  masqueradeAll: false,
  masqueradeLocal: false,
  externalIPRanges: ['198.51.100.0/24'],
  serviceCIDRs: ['10.96.0.0/16'],
  algorithm: 'maglev',
  maglevTableSize: 251,
  noBackend: 'drop',
  rejectsPerSecond: 10,
  answerEcho: true,
  socketLB: { hostNamespaceOnly: true, except: { cgroups: ['/nonexistent/a'], netns: ['/nonexistent/b'] } },
  cgroup: '/nonexistent/c',
  stateDir: '/nonexistent/d',
  nodePortRange: [30_000, 32_767],
  snatPorts: [50_000, 60_000],
  flowLifetimes: { opening: 1, established: 2, halfClosed: 3, closing: 4, datagram: 5 },
  capacity: { ...smallCapacity, maglevSlots: 251, sourceRanges: 1, affinities: 1, fragments: 1 },
};

const spec: ServiceSpec = {
  name: 'web',
  frontends: [
    { type: 'ClusterIP', address: '10.96.0.1', port: 80, protocol: 'TCP' },
    { type: 'NodePort', port: 30_080 },
    { type: 'HostPort', address: '192.0.2.1', port: 8080 },
  ],
  backends: [
    { address: '10.244.0.1', port: 8080, weight: 2, local: true },
    { address: '10.244.0.2', port: 8080, state: 'terminating' },
  ],
  externalTrafficPolicy: 'Local',
  sessionAffinity: { timeout: 60 },
  sourceRanges: ['192.0.2.0/24'],
} as unknown as ServiceSpec;

const query: Query = { socket: true, from: '192.0.2.9', to: '10.96.0.1', port: 80, seed: 1 };

/** What the API may answer to malformed input. */
function isPublic(error: unknown): boolean {
  return error === marker || error instanceof LoadBalancerError || error instanceof TypeError;
}

type Call = readonly [name: string, argument: unknown, call: () => unknown];

function someCall(random: Random, lb: LoadBalancer): Call {
  const odd = <T>(value: T) => withOddity(random, value) as T;
  switch (random.below(8)) {
    case 0: {
      const given = odd(options);
      return ['parseOptions', given, () => parseOptions(given)];
    }
    case 1: {
      const given = odd([spec, { ...spec, name: 'other', frontends: [] }]);
      return ['apply', given, () => lb.apply(given)];
    }
    case 2: {
      const given = odd([spec]);
      return ['plan', given, () => lb.plan(given)];
    }
    case 3: {
      const given = odd(query);
      return ['explain', given, () => lb.explain(given)];
    }
    case 4: {
      const given = random.oneIn(2) ? odd('web') : odd('other');
      return ['deleteService', given, () => lb.deleteService(given)];
    }
    case 5: {
      const given = odd({ cgroups: ['/nonexistent/a'], netns: ['/nonexistent/b'] });
      return ['exceptSockets', given, () => lb.exceptSockets(given)];
    }
    case 6: {
      const given = odd(['eth9', '!eth8']);
      return ['selectDevices', given, () => lb.selectDevices(given)];
    }
    default: {
      const given = odd(spec);
      return ['upsertService', given, () => lb.upsertService(given)];
    }
  }
}

async function rounds(lb: LoadBalancer, random: Random): Promise<InputRound> {
  for (let i = 0; i < inputs; i++) {
    const before = lb.services.format();
    const [name, given, call] = someCall(random, lb);
    let failure: string | undefined;
    try {
      await call();
    } catch (error) {
      if (!isPublic(error)) failure = (error as Error).stack ?? String(error);
      else if (lb.services.format() !== before)
        failure = `has changed services although it failed: ${String(error)}`;
    }
    if (failure !== undefined) return { inputs: i, failure: `${name}(${describe(given)}): ${failure}` };
  }
  /* Whatever was given before, this is what is served now. */
  await lb.apply([
    { name: 'web', frontends: [{ type: 'ClusterIP', address: '10.96.0.9', port: 80 }], backends: [] },
  ]);
  const { socketLB } = (await lb.verify()).data;
  if (!socketLB.enabled) return { inputs, failure: `sockets are not served any more: ${describe(socketLB)}` };
  const { verdict } = lb.explain({ ...query, to: '10.96.0.9' });
  return { inputs, failure: verdict === 'reject' ? undefined : `a service without backends says ${verdict}` };
}

/**
 * Options, specs and queries in which something is not what it should be, to a LoadBalancer of a cgroup of its own: each
 * call is carried out or fails with a typed error, and then has changed nothing.
 */
export async function fuzzApi(seed: number): Promise<InputRound> {
  const cleanup = new Cleanup();
  try {
    const cgroup = makeCgroup(cleanup, 'fuzz-api');
    const lb = await LoadBalancer.open({ cgroup, capacity: smallCapacity });
    cleanup.add(() => lb.close());
    return await rounds(lb, new Random(seed));
  } finally {
    await cleanup.run();
  }
}
