import fc from 'fast-check';

import type { OpenOptions } from '../../lib/options';
import type { BackendSpec, FrontendSpec, ServiceSpec } from '../../lib/spec';
import type { Draft, Side, Step } from './case';
import {
  addresses,
  allAddresses,
  allPorts,
  backendPorts,
  extraAddresses,
  nodePorts,
  ports,
  serviceCIDRs,
  sourceRanges,
  trustedRanges,
} from './pools';

/* Random options, services, changes and questions. */

const family = fc.constantFrom(4 as const, 6 as const);
const protocol = fc.constantFrom('TCP' as const, 'TCP' as const, 'UDP' as const, 'SCTP' as const);
const name = fc.constantFrom('a', 'b', 'c', 'd');

/** A field that is often left out. */
function sometimes<K extends string, T>(key: K, value: fc.Arbitrary<T>): fc.Arbitrary<{ [P in K]?: T }> {
  const given = value.map((v) => ({ [key]: v }) as { [P in K]?: T });
  return fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: given });
}

function merged<T>(...parts: fc.Arbitrary<object>[]): fc.Arbitrary<T> {
  return fc.tuple(...parts).map((all) => Object.assign({}, ...all) as T);
}

const frontend: fc.Arbitrary<FrontendSpec> = family.chain((f) => {
  const { clusterIP, vip, externalIP, node, loopback } = addresses[f];
  const at = (type: FrontendSpec['type'], list: readonly string[], from: readonly number[]) =>
    fc.record({
      type: fc.constant(type),
      address: fc.constantFrom(...list),
      port: fc.constantFrom(...from),
      protocol,
    });
  const wildcard = (type: FrontendSpec['type']) =>
    fc.record({ type: fc.constant(type), port: fc.constantFrom(...nodePorts), protocol });
  return fc.oneof(
    { weight: 4, arbitrary: at('ClusterIP', [...clusterIP, ...clusterIP, node[0], vip[0]], ports) },
    { weight: 4, arbitrary: wildcard('NodePort') },
    { weight: 4, arbitrary: at('LoadBalancer', [...vip, ...vip, node[0], clusterIP[1]], ports) },
    { weight: 3, arbitrary: at('ExternalIPs', [...externalIP, ...externalIP, node[1], vip[0]], ports) },
    { weight: 2, arbitrary: wildcard('HostPort') },
    { weight: 1, arbitrary: at('HostPort', [node[0], node[3], externalIP[1], loopback], ports) },
  );
});

const backend: fc.Arbitrary<BackendSpec> = fc
  .record({
    family,
    which: fc.nat({ max: addresses[4].backend.length - 1 }),
    port: fc.constantFrom(...backendPorts),
    /* Mostly what is true. */
    lie: fc.nat({ max: 7 }).map((n) => n === 7),
    elsewhere: fc.nat({ max: 7 }).map((n) => n === 7),
    weight: fc.constantFrom(undefined, undefined, undefined, 0, 2, 5),
    state: fc.constantFrom(
      ...([undefined, undefined, undefined, 'active', 'terminating', 'quarantined', 'maintenance'] as const),
    ),
  })
  .map(({ family: f, which, port, lie, elsewhere, weight, state }) => {
    const address = addresses[f].backend[which] as string;
    const local = address === addresses[f].node[0] || which === 2 || which === 3;
    return {
      address,
      port,
      ...(local !== lie ? { local: true } : {}),
      ...(elsewhere ? { clusterWide: false } : {}),
      ...(weight === undefined ? {} : { weight }),
      ...(state === undefined ? {} : { state }),
    };
  });

const policy = fc.constantFrom('Cluster' as const, 'Local' as const);

const service: fc.Arbitrary<ServiceSpec> = merged(
  fc.record({
    name,
    frontends: fc.array(frontend, { minLength: 1, maxLength: 4, size: 'max' }),
    backends: fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      { weight: 7, arbitrary: fc.array(backend, { minLength: 1, maxLength: 6, size: 'max' }) },
    ),
  }),
  sometimes('externalTrafficPolicy', policy),
  sometimes('internalTrafficPolicy', policy),
  sometimes('algorithm', fc.constantFrom('random', 'maglev', 'least-connections')),
  sometimes('maglevTableSize', fc.constant(251)),
  sometimes('sessionAffinity', fc.constantFrom('None', 'ClientIP')),
  sometimes('sourceRanges', fc.uniqueArray(fc.constantFrom(...sourceRanges), { maxLength: 3 })),
  sometimes('sourceRangesPolicy', fc.constantFrom('allow', 'deny')),
);

const anyAddress = family.chain((f) => fc.constantFrom(...allAddresses[f]));

function draft(sides: readonly Side['kind'][], middle: boolean): fc.Arbitrary<Draft> {
  const side = fc.oneof(
    ...sides.map((kind): fc.Arbitrary<Side> => {
      if (kind === 'socket')
        return fc.record({
          kind: fc.constant('socket' as const),
          of: fc.constantFrom('host' as const, 'pod' as const),
          mapped: fc.boolean(),
        });
      return fc.record({
        kind: fc.constant('packet' as const),
        device: fc.nat({ max: 5 }),
        client: fc.nat({ max: addresses[4].client.length - 1 }),
        middle: middle ? fc.nat({ max: 7 }).map((n) => n === 7) : fc.constant(false),
      });
    }),
  );
  const target = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        frontend: fc.nat({ max: 20 }),
        /* Mostly the address that answers NodePorts. */
        at: fc.oneof(fc.constant(0), fc.nat({ max: addresses[4].node.length })),
        family,
        /* One thing in it is another one's. */
        twist: fc.constantFrom(
          ...(['none', 'none', 'none', 'none', 'none', 'none', 'port', 'protocol'] as const),
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ address: anyAddress, port: fc.constantFrom(...allPorts), protocol }),
    },
  );
  return fc.record({ side, target, often: fc.nat({ max: 15 }).map((n) => n === 15) });
}

/**
 * Changes, and questions after them. `middle`: also by packets in the middle of a connection. `sweep`: the most questions
 * that are asked in a sweep.
 */
export function steps(sides: readonly Side['kind'][], middle: boolean, sweep: number): fc.Arbitrary<Step[]> {
  const sweeping = fc.record({
    kind: fc.constant('sweep' as const),
    start: fc.nat({ max: 1_000_000 }),
    /* Primes: they lead through all combinations. */
    stride: fc.constantFrom(101, 1009, 10_007, 100_003),
    count: fc.integer({ min: 1, max: sweep }),
  });
  const ask = fc.record({
    kind: fc.constant('ask' as const),
    drafts: fc.array(draft(sides, middle), { minLength: 1, maxLength: 24, size: 'max' }),
  });
  const services = fc.uniqueArray(service, { maxLength: 4, size: 'max', selector: (s) => s.name });
  const tidy = fc.nat({ max: 7 }).map((n) => n !== 7);
  const step = fc.oneof(
    { weight: 8, arbitrary: ask },
    { weight: 5, arbitrary: sweeping },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('upsert' as const), service, tidy }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), name }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('apply' as const), services, tidy }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('pass' as const), from: fc.nat(9), to: fc.nat(9) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('address' as const),
        address: fc.constantFrom(...extraAddresses),
        present: fc.boolean(),
      }),
    },
  );
  const first = fc.record({ kind: fc.constant('apply' as const), services, tidy: fc.constant(true) });
  return fc
    .tuple(first, ask, fc.array(step, { maxLength: 8, size: 'max' }))
    .map(([apply, question, rest]) => [apply, question, ...rest]);
}

/** `packets`: some device has to be selected. */
export function options(packets: boolean): fc.Arbitrary<OpenOptions> {
  const devices = [['eth0', 'eth1', 'lxc0'], ['eth0', 'lxc0'], ['eth0', 'eth1'], ['lxc0']];
  return merged(
    fc.record({ devices: fc.constantFrom(...devices, devices[0], ...(packets ? [] : [[]])) }),
    fc
      .constantFrom(
        undefined,
        ['all'],
        ['primary'],
        ['10.0.9.0/24'],
        ['203.0.113.0/24', 'fd00:9::/64'],
        ['localhost'],
        ['primary', 'localhost'],
        ['127.0.0.0/8', '::1/128'],
      )
      .map((nodePortAddresses) => (nodePortAddresses ? { nodePortAddresses } : {})),
    fc.constantFrom({}, { externalClusterIP: true }, { externalClusterIP: false }),
    fc.constantFrom({}, { masqueradeAll: true }, { masqueradeAll: false }),
    fc.constantFrom({}, { masqueradeLocal: true }, { masqueradeLocal: false }),
    fc.constantFrom({}, { masqueradeExternalClusterIP: true }, { masqueradeExternalClusterIP: false }),
    sometimes('externalIPRanges', fc.constant(trustedRanges)),
    fc.constantFrom({}, { serviceCIDRs }),
    sometimes('noBackend', fc.constantFrom('reject', 'drop')),
    sometimes('algorithm', fc.constantFrom('random', 'maglev', 'least-connections')),
    sometimes('socketLB', fc.record({ hostNamespaceOnly: fc.boolean() })),
  );
}
