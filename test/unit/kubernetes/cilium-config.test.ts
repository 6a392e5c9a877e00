import assert from 'node:assert/strict';

import fc from 'fast-check';

import { LoadBalancerError } from '../../../lib/errors';
import { type CiliumConfiguration, parseCiliumConfig } from '../../../lib/kubernetes/cilium-config';
import { ConfigurationError } from '../../../lib/kubernetes/configuration-error';
import { type OpenOptions, parseOptions } from '../../../lib/options';

/** What is so without any setting. */
const defaults: OpenOptions = {
  devices: ['auto'],
  socketLB: true,
  nodePortAddresses: ['primary', 'localhost'],
};

const open = (data: Record<string, string>) => parseCiliumConfig(data).open;

function problemsOf(data: Record<string, string>): ConfigurationError {
  let thrown: unknown;
  assert.throws(
    () => parseCiliumConfig(data),
    (error) => {
      thrown = error;
      return error instanceof ConfigurationError && error instanceof LoadBalancerError;
    },
  );
  return thrown as ConfigurationError;
}

/** One setting, its value, and the options that it makes beyond the defaults. */
const supported: [key: string, value: string, options: OpenOptions][] = [
  ['kube-proxy-replacement', 'true', {}],
  ['kube-proxy-replacement', 'strict', {}],
  ['bpf-lb-sock', 'false', {}],
  ['bpf-lb-sock-hostns-only', 'true', { socketLB: { hostNamespaceOnly: true }, devices: ['auto', 'lxc+'] }],
  ['bpf-lb-sock-hostns-only', 'false', {}],
  ['enable-sctp', 'true', { devices: ['auto', 'lxc+'] }],
  ['devices', 'eth0', { devices: ['eth0'] }],
  ['devices', 'eth0 ens+', { devices: ['eth0', 'ens+'] }],
  ['devices', 'eth0,ens+', { devices: ['eth0', 'ens+'] }],
  ['devices', '!eth9 eth+', { devices: ['!eth9', 'eth+'] }],
  ['devices', '!eth9', { devices: ['auto', '!eth9'] }],
  ['devices', '', {}],
  ['direct-routing-device', 'eth0', { directRoutingDevice: 'eth0' }],
  ['direct-routing-device', 'eth+', { directRoutingDevice: 'eth+' }],
  ['direct-routing-device', '', {}],
  ['nodeport-addresses', '', {}],
  [
    'nodeport-addresses',
    '10.0.0.0/8,fd00::/8',
    { nodePortAddresses: ['10.0.0.0/8', 'fd00::/8', 'localhost'] },
  ],
  ['node-port-range', '30000,32767', { nodePortRange: [30000, 32767] }],
  ['enable-auto-protect-node-port-range', 'false', { protectNodePorts: false }],
  ['ipv4-service-range', '10.96.0.0/12', { serviceCIDRs: ['10.96.0.0/12'] }],
  ['ipv6-service-range', 'auto', {}],
  ['bpf-lb-mode', 'snat', {}],
  ['bpf-lb-acceleration', 'disabled', {}],
  ['bpf-lb-acceleration', 'best-effort', {}],
  ['bpf-lb-algorithm', 'random', { algorithm: 'random' }],
  ['bpf-lb-algorithm', 'maglev', { algorithm: 'maglev' }],
  ['node-port-algorithm', 'maglev', { algorithm: 'maglev' }],
  ['bpf-lb-maglev-table-size', '65521', { maglevTableSize: 65521 }],
  ['bpf-lb-external-clusterip', 'true', { externalClusterIP: true }],
  ['disable-external-ip-mitigation', 'true', { externalIPRanges: ['0.0.0.0/0', '::/0'] }],
  ['service-no-backend-response', 'drop', { noBackend: 'drop' }],
  [
    'bpf-lb-map-max',
    '1024',
    { capacity: { frontends: 1023, backends: 4096, affinities: 1024, sourceRanges: 1024 } },
  ],
  ['bpf-lb-service-map-max', '512', { capacity: { frontends: 511 } }],
  ['bpf-lb-service-map-max', '0', {}],
  ['bpf-lb-service-backend-map-max', '512', { capacity: { backends: 2048 } }],
  ['bpf-lb-affinity-map-max', '512', { capacity: { affinities: 512 } }],
  ['bpf-lb-source-range-map-max', '512', { capacity: { sourceRanges: 512 } }],
  ['bpf-sock-rev-map-max', '100000', { capacity: { sockets: 131_072 } }],
  ['bpf-ct-global-tcp-max', '1000', { capacity: { flows: 1000 + 262_144 } }],
  ['bpf-ct-global-any-max', '1000', { capacity: { flows: 1000 + 524_288 } }],
  ['bpf-nat-global-max', '300000', { capacity: { flows: 300_000 } }],
  ['bpf-fragments-map-max', '4096', { capacity: { fragments: 4096 } }],
  ['bpf-ct-timeout-service-tcp', '2h13m20s', { flowLifetimes: { established: 8000 } }],
  ['bpf-ct-timeout-service-any', '1m0s', { flowLifetimes: { datagram: 60 } }],
  ['bpf-ct-timeout-regular-tcp-syn', '500ms', { flowLifetimes: { opening: 1 } }],
  ['bpf-ct-timeout-regular-tcp-fin', '1.5s', { flowLifetimes: { closing: 2 } }],
];

/** One setting that is refused, and words that the reason has. */
const refused: [key: string, value: string, ...words: string[]][] = [
  ['bpf-lb-mode', 'dsr', 'not supported', "'snat'"],
  ['bpf-lb-mode', 'hybrid', 'not supported', "'snat'"],
  ['bpf-lb-mode', 'SNAT', 'unknown', "'snat'"],
  ['node-port-mode', 'dsr', "'snat'"],
  ['bpf-lb-mode-annotation', 'true', "'false'"],
  ['bpf-lb-acceleration', 'native', 'XDP', "'disabled' or 'best-effort'"],
  ['bpf-lb-algorithm', 'round-robin', "'random' or 'maglev'"],
  ['bpf-lb-maglev-table-size', '16382', 'prime'],
  ['bpf-lb-maglev-table-size', 'many', 'whole number'],
  ['bpf-lb-maglev-hash-seed', 'JLfvgnHc2kaSUFaI', 'without a seed'],
  ['bpf-lb-rss-ipv4-src-cidr', '10.0.0.0/8', 'leave it out'],
  ['bpf-lb-source-range-all-types', 'true', 'LoadBalancer'],
  ['bpf-lb-sock-hostns-only', 'maybe', "'true' or 'false'"],
  ['bpf-lb-sock-hostns-only', '', "'true' or 'false'"],
  ['kube-proxy-replacement', 'false', 'kube-proxy', "'true'"],
  ['kube-proxy-replacement', 'disabled', 'kube-proxy'],
  ['kube-proxy-replacement', 'probe', 'not supported', "'true'"],
  ['kube-proxy-replacement', 'yes', 'unknown'],
  ['kube-proxy-replacement-healthz-bind-address', 'everywhere', "'0.0.0.0:10256'"],
  ['node-port-range', '30000-32767', "'30000,32767'"],
  ['node-port-range', '32767,30000', 'nodePortRange'],
  ['node-port-range', '30000,70000', '65535'],
  ['node-port-bind-protection', 'false', "'true'"],
  ['bpf-lb-node-port-bind-protection', 'false', "'true'"],
  ['enable-session-affinity', 'false', "'true'"],
  ['enable-host-port', 'false', "'true'"],
  ['enable-svc-source-range-check', 'false', "'true'"],
  ['enable-health-check-loadbalancer-ip', 'true', "'false'"],
  ['enable-local-redirect-policy', 'true', "'false'"],
  ['loadbalancer-l7', 'envoy', "'disabled'"],
  ['lb-state-file', '/etc/state.yaml', 'examples/standalone'],
  ['nodeport-addresses', '10.0.0.0/33', '10.0.0.0/33'],
  ['nodeport-addresses', 'primary', 'CIDR'],
  ['direct-routing-device', 'a-name-that-is-too-long', 'device'],
  ['devices', 'eth0 a-name-that-is-too-long', 'device name'],
  ['devices', 'eth+ !eth1', "'eth+' comes first", "'!eth1'"],
  ['devices', '!eth+ eth1', "'!eth+' comes first", "'eth1'"],
  ['devices', 'eth1+ !eth+', "'eth1+' comes first"],
  ['bpf-ct-timeout-service-tcp', '2 hours', 'duration'],
  ['bpf-ct-timeout-service-any', '0s', '1 to'],
  ['bpf-lb-map-max', '0', '1 to'],
  ['bpf-lb-map-max', '99999999', '1 to'],
  ['bpf-lb-map-max', '-5', 'whole number'],
];

describe('parseCiliumConfig', () => {
  for (const [key, value, options] of supported) {
    it(`understands ${key}: '${value}'`, () => {
      assert.deepEqual(open({ [key]: value }), { ...defaults, ...options });
    });
  }

  for (const [key, value, ...words] of refused) {
    it(`refuses ${key}: '${value}'`, () => {
      const { code, message, problems } = problemsOf({ [key]: value });
      assert.equal(code, 'ERR_BPF_INVALID_OPTION');
      assert.deepEqual(
        problems.map((problem) => [problem.key, problem.value]),
        [[key, value]],
      );
      for (const word of [key, `'${value}'`, ...words])
        assert.ok(message.includes(word), `${word}: ${message}`);
    });
  }

  it('takes a ConfigMap, with and without data, as well as the data', () => {
    const data = { 'bpf-lb-algorithm': 'maglev' };
    const metadata = { name: 'cilium-config', namespace: 'kube-system' };
    const configMap: object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
    assert.deepEqual(parseCiliumConfig(configMap), parseCiliumConfig(data));
    assert.deepEqual(parseCiliumConfig({ data }), parseCiliumConfig(data));
    const empty: object = { kind: 'ConfigMap', metadata };
    assert.deepEqual(parseCiliumConfig(empty), parseCiliumConfig({}));
  });

  it('refuses what is no ConfigMap, and values that are not text', () => {
    assert.throws(() => parseCiliumConfig(null as unknown as object), { code: 'ERR_BPF_INVALID_OPTION' });
    const data = { 'bpf-lb-external-clusterip': true } as unknown as Record<string, string>;
    assert.match(problemsOf(data).message, /bpf-lb-external-clusterip: true: not text/);
  });

  it('reports everything that is wrong', () => {
    const { problems, message } = problemsOf({
      'bpf-lb-mode': 'dsr',
      'bpf-lb-acceleration': 'native',
      'bpf-lb-algorithm': 'maglev',
      'bpf-lb-new-feature': 'true',
      'node-port-range': 'all',
    });
    assert.deepEqual(problems.map(({ key }) => key).sort(), [
      'bpf-lb-acceleration',
      'bpf-lb-mode',
      'bpf-lb-new-feature',
      'node-port-range',
    ]);
    for (const { key } of problems) assert.match(message, new RegExp(`^- ${key}: `, 'm'));
  });

  for (const key of [
    'bpf-lb-new-feature',
    'node-port-something',
    'nodeport-something',
    'kube-proxy-replacement-mode',
    'enable-some-port',
    'enable-external-ip',
    'lb-something',
    'enable-nodeport-something',
    'bpf-ct-timeout-service-sctp',
    'bpf-sock-map-max',
  ]) {
    it(`refuses ${key}, which it does not know`, () => {
      assert.match(problemsOf({ [key]: 'x' }).message, new RegExp(`${key}: 'x': unknown`));
    });
  }

  it('lists what is not about load balancing, or about how Cilium does it', () => {
    const { ignored } = parseCiliumConfig({
      'bpf-lb-algorithm': 'random',
      'identity-allocation-mode': 'crd',
      'tunnel-protocol': 'vxlan',
      'enable-hubble': 'true',
      'bpf-lb-rev-nat-map-max': '65536',
      'bpf-map-dynamic-size-ratio': '0.0025',
    });
    assert.deepEqual(ignored, [
      'identity-allocation-mode',
      'tunnel-protocol',
      'enable-hubble',
      'bpf-lb-rev-nat-map-max',
      'bpf-map-dynamic-size-ratio',
    ]);
  });

  it('takes the new name of a setting over the old one', () => {
    const { open, ignored } = parseCiliumConfig({
      'node-port-algorithm': 'random',
      'bpf-lb-algorithm': 'maglev',
    });
    assert.equal(open.algorithm, 'maglev');
    assert.deepEqual(ignored, ['node-port-algorithm']);
  });

  it('serves sockets alone where only these are asked for', () => {
    const data = {
      'kube-proxy-replacement': 'false',
      'bpf-lb-sock': 'true',
      'enable-node-port': 'false',
      'enable-host-port': 'false',
    };
    assert.deepEqual(open(data), { ...defaults, devices: [] });
    assert.deepEqual(open({ ...data, 'enable-node-port': 'true', 'enable-host-port': 'true' }), defaults);
    const packets = { 'kube-proxy-replacement': 'partial', 'enable-node-port': 'true' };
    assert.deepEqual(open(packets), { ...defaults, socketLB: false });
  });

  it('needs an address family', () => {
    assert.deepEqual(open({ 'enable-ipv4': 'true', 'enable-ipv6': 'false' }), defaults);
    assert.match(problemsOf({ 'enable-ipv4': 'false', 'enable-ipv6': 'false' }).message, /enable-ipv6/);
  });

  it('lets the larger of the tables of connections and of NAT count', () => {
    const data = {
      'bpf-ct-global-tcp-max': '1000',
      'bpf-ct-global-any-max': '500',
      'bpf-nat-global-max': '900',
    };
    assert.equal(open(data).capacity?.flows, 1500);
    assert.equal(open({ ...data, 'bpf-nat-global-max': '4000' }).capacity?.flows, 4000);
  });

  it('tells what is for the cluster and for servers', () => {
    const of = (data: Record<string, string>): Omit<CiliumConfiguration, 'open'> => {
      const { open, ...rest } = parseCiliumConfig(data);
      assert.deepEqual(open, defaults);
      return rest;
    };
    assert.deepEqual(of({}), { cluster: {}, healthCheckNodePorts: true, ignored: [] });
    const healthz = (address: string) => of({ 'kube-proxy-replacement-healthz-bind-address': address });
    assert.deepEqual(
      of({
        'k8s-service-proxy-name': 'bpf-lb',
        'enable-health-check-nodeport': 'false',
        'kube-proxy-replacement-healthz-bind-address': '0.0.0.0:10256',
      }),
      {
        cluster: { serviceProxyName: 'bpf-lb' },
        healthzBindAddress: '0.0.0.0:10256',
        healthCheckNodePorts: false,
        ignored: [],
      },
    );
    assert.equal(healthz('').healthzBindAddress, undefined);
    assert.equal(healthz('[::1]:10256').healthzBindAddress, '[::1]:10256');
    assert.equal(healthz(':10256').healthzBindAddress, '[::]:10256');
  });

  it('accepts what an installation with the defaults of the Helm chart has', () => {
    const { open, ignored } = parseCiliumConfig({
      'agent-not-ready-taint-key': 'node.cilium.io/agent-not-ready',
      'auto-direct-node-routes': 'false',
      'bpf-distributed-lru': 'false',
      'bpf-events-drop-enabled': 'true',
      'bpf-lb-acceleration': 'disabled',
      'bpf-lb-algorithm-annotation': 'false',
      'bpf-lb-external-clusterip': 'false',
      'bpf-lb-map-max': '65536',
      'bpf-lb-mode-annotation': 'false',
      'bpf-lb-sock': 'false',
      'bpf-lb-sock-terminate-pod-connections': 'false',
      'bpf-lb-source-range-all-types': 'false',
      'bpf-map-dynamic-size-ratio': '0.0025',
      'bpf-policy-map-max': '16384',
      'bpf-root': '/sys/fs/bpf',
      'cgroup-root': '/run/cilium/cgroupv2',
      'cilium-endpoint-gc-interval': '5m0s',
      'cluster-id': '0',
      'cluster-name': 'default',
      'datapath-mode': 'veth',
      'default-lb-service-ipam': 'lbipam',
      'direct-routing-skip-unreachable': 'false',
      'enable-auto-protect-node-port-range': 'true',
      'enable-bpf-clock-probe': 'false',
      'enable-endpoint-health-checking': 'true',
      'enable-health-check-loadbalancer-ip': 'false',
      'enable-health-check-nodeport': 'true',
      'enable-hubble': 'true',
      'enable-ipv4': 'true',
      'enable-ipv4-masquerade': 'true',
      'enable-ipv6': 'false',
      'enable-l2-neigh-discovery': 'false',
      'enable-l7-proxy': 'true',
      'enable-lb-ipam': 'true',
      'enable-local-redirect-policy': 'false',
      'enable-sctp': 'false',
      'enable-tcx': 'true',
      'enable-xt-socket-fallback': 'true',
      'identity-allocation-mode': 'crd',
      ipam: 'cluster-pool',
      'k8s-require-ipv4-pod-cidr': 'false',
      'kube-proxy-replacement': 'true',
      'kube-proxy-replacement-healthz-bind-address': '',
      'monitor-aggregation': 'medium',
      'node-port-bind-protection': 'true',
      'nodeport-addresses': '',
      'nodes-gc-interval': '5m0s',
      'preallocate-bpf-maps': 'false',
      'routing-mode': 'tunnel',
      'service-no-backend-response': 'reject',
      'synchronize-k8s-nodes': 'true',
      'trace-sock': 'true',
      'tunnel-protocol': 'vxlan',
      'vtep-endpoint': '',
    });
    assert.deepEqual(open, {
      ...defaults,
      externalClusterIP: false,
      noBackend: 'reject',
      protectNodePorts: true,
      capacity: { frontends: 65_535, backends: 262_144, affinities: 65_536, sourceRanges: 65_536 },
    });
    assert.ok(
      ignored.includes('identity-allocation-mode') &&
        ignored.includes('bpf-lb-sock-terminate-pod-connections'),
    );
    assert.ok(!ignored.includes('node-port-bind-protection'), 'what is in effect is not ignored');
  });

  it('gives options that open() takes, or an error of its own, whatever the values', () => {
    const keys = [...new Set([...supported, ...refused].map(([key]) => key))];
    const values = [...new Set([...supported, ...refused].map(([, value]) => value))];
    const value = fc.oneof(fc.constantFrom(...values), fc.string(), fc.nat(70_000).map(String));
    fc.assert(
      fc.property(fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), value), (data) => {
        let parsed: CiliumConfiguration;
        try {
          parsed = parseCiliumConfig({ data });
        } catch (error) {
          assert.ok(error instanceof ConfigurationError, String(error));
          return;
        }
        parseOptions(parsed.open);
        assert.ok(parsed.ignored.every((key) => key in data));
      }),
    );
    /* So that it is not always the error: */
    for (const [key, value] of supported) parseOptions(open({ [key]: value }));
  });
});
