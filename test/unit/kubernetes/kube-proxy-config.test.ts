import assert from 'node:assert/strict';

import fc from 'fast-check';
import { parse } from 'yaml';

import { answersNodePorts, parseNodePortAddresses } from '../../../lib/node-addresses';
import { ConfigurationError } from '../../../lib/kubernetes/configuration-error';
import { type KubeProxyConfiguration, parseKubeProxyConfig } from '../../../lib/kubernetes/kube-proxy-config';
import { type OpenOptions, parseOptions } from '../../../lib/options';
import { Place } from '../../../lib/place';

/** What is so without any field. */
const defaults: KubeProxyConfiguration = {
  open: {
    devices: ['auto'],
    nodePortAddresses: ['all', '127.0.0.0/8'],
    flowLifetimes: { established: 86_400, halfClosed: 3600 },
  },
  cluster: {},
  sync: { minSyncPeriod: 1000, syncPeriod: 30_000 },
  healthzBindAddress: '0.0.0.0:10256',
  metricsBindAddress: '127.0.0.1:10249',
  ignored: [],
};

const open = (configuration: object) => parseKubeProxyConfig(configuration).open;

function problemsOf(configuration: object): ConfigurationError {
  try {
    parseKubeProxyConfig(configuration);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error;
  }
  assert.fail('was accepted');
}

/** Fields, and the options that they make beyond the defaults. */
const supported: [configuration: object, options: OpenOptions][] = [
  [{ mode: 'iptables' }, {}],
  [{ mode: '' }, {}],
  [{ mode: null }, {}],
  [{ mode: 'nftables' }, { nodePortAddresses: ['primary'] }],
  [{ mode: 'ipvs' }, { nodePortAddresses: ['all'] }],
  [{ iptables: { masqueradeAll: true } }, { masqueradeAll: true }],
  [{ nftables: { masqueradeAll: true } }, {}],
  [
    { mode: 'nftables', nftables: { masqueradeAll: true } },
    { masqueradeAll: true, nodePortAddresses: ['primary'] },
  ],
  [
    { mode: 'ipvs', iptables: { masqueradeAll: true } },
    { masqueradeAll: true, nodePortAddresses: ['all'] },
  ],
  [{ iptables: { localhostNodePorts: false } }, { nodePortAddresses: ['all'] }],
  [{ nodePortAddresses: [] }, {}],
  [{ nodePortAddresses: ['primary'] }, { nodePortAddresses: ['primary'] }],
  [
    { mode: 'nftables', nodePortAddresses: ['primary', '192.0.2.0/24'] },
    { nodePortAddresses: ['primary', '192.0.2.0/24'] },
  ],
  [
    { detectLocalMode: 'InterfaceNamePrefix', detectLocal: { interfaceNamePrefix: 'cali' } },
    { devices: ['auto', 'cali+'] },
  ],
  [
    { detectLocalMode: 'BridgeInterface', detectLocal: { bridgeInterface: 'cni0' } },
    { devices: ['auto', 'cni0'] },
  ],
  [
    {
      detectLocalMode: 'ClusterCIDR',
      detectLocal: { bridgeInterface: 'cni0' },
      clusterCIDR: '10.244.0.0/16',
    },
    {},
  ],
  [
    { conntrack: { tcpEstablishedTimeout: '2h0m0s', tcpCloseWaitTimeout: '10m0s', udpTimeout: '30s' } },
    { flowLifetimes: { established: 7200, halfClosed: 600, datagram: 30 } },
  ],
  [
    { conntrack: { udpTimeout: '30s', udpStreamTimeout: '3m' } },
    { flowLifetimes: { established: 86_400, halfClosed: 3600, datagram: 180 } },
  ],
  /* 0 leaves the kernel's own times alone; here, those of the LoadBalancer. */
  [{ conntrack: { tcpEstablishedTimeout: '0s' } }, { flowLifetimes: { halfClosed: 3600 } }],
  [
    { mode: 'ipvs', ipvs: { scheduler: 'lc', tcpTimeout: '15m', tcpFinTimeout: '2m', udpTimeout: '5m' } },
    {
      nodePortAddresses: ['all'],
      algorithm: 'least-connections',
      flowLifetimes: { established: 900, halfClosed: 3600, closing: 120, datagram: 300 },
    },
  ],
  [{ mode: 'ipvs', ipvs: { scheduler: 'rr', tcpTimeout: '0s' } }, { nodePortAddresses: ['all'] }],
  [{ ipvs: { scheduler: 'lc', tcpTimeout: '15m' } }, {}],
];

/** Fields that are refused, the key that is named, and words that the message has. */
const refused: [configuration: object, key: string, ...words: string[]][] = [
  [{ mode: 'userspace' }, 'mode', "'userspace'", "'nftables'"],
  [{ mode: 'kernelspace' }, 'mode', 'Windows'],
  [{ mode: 'ebpf' }, 'mode', 'unknown', "'iptables'"],
  [{ kind: 'KubeletConfiguration' }, 'kind', "'KubeProxyConfiguration'"],
  [{ apiVersion: 'kubeproxy.config.k8s.io/v1' }, 'apiVersion', 'v1alpha1'],
  [{ nodePortAddress: ['primary'] }, 'nodePortAddress', 'unknown'],
  [{ iptables: { masqueradeEverything: true } }, 'iptables.masqueradeEverything', 'unknown'],
  [{ iptables: { masqueradeAll: 'true' } }, 'iptables.masqueradeAll', 'without quotes'],
  [{ iptables: { masqueradeBit: 32 } }, 'iptables.masqueradeBit', '0 to 31'],
  [{ iptables: { snatNodeInternalIP: true } }, 'iptables.snatNodeInternalIP', 'leave it out'],
  [{ iptables: [] }, 'iptables', 'group'],
  [{ nodePortAddresses: 'primary' }, 'nodePortAddresses', 'list'],
  [{ nodePortAddresses: ['10.0.0.1'] }, 'nodePortAddresses', 'CIDR'],
  [{ nodePortAddresses: ['everything'] }, 'nodePortAddresses', 'CIDR'],
  [{ clusterCIDR: '10.244.0.0' }, 'clusterCIDR', 'CIDR'],
  [{ conntrack: { udpTimeout: 'soon' } }, 'conntrack.udpTimeout', 'duration'],
  [{ conntrack: { udpTimeout: '9000h' } }, 'conntrack.udpTimeout', '1 to'],
  [{ healthzBindAddress: 'localhost:10256' }, 'healthzBindAddress', "'0.0.0.0:10256'"],
  [{ healthzBindAddress: '0.0.0.0:70000' }, 'healthzBindAddress'],
  [{ metricsBindAddress: '::1:10249' }, 'metricsBindAddress', "'[::]:10256'"],
  [{ bindAddress: 'node1' }, 'bindAddress', 'IP address'],
  [{ bindAddress: '192.0.2.1', mode: 'nftables' }, 'bindAddress', 'nodePortAddresses'],
  [{ detectLocalMode: 'Guess' }, 'detectLocalMode', "'InterfaceNamePrefix'"],
  [{ detectLocalMode: 'BridgeInterface' }, 'detectLocal.bridgeInterface', 'needs it'],
  [
    { detectLocalMode: 'InterfaceNamePrefix', detectLocal: { interfaceNamePrefix: 'eth' } },
    'detectLocal.interfaceNamePrefix',
    "'cali'",
  ],
  [{ mode: 'ipvs', ipvs: { scheduler: 'sh' } }, 'ipvs.scheduler', "'lc'"],
  [{ iptables: { minSyncPeriod: '1m' } }, 'iptables.minSyncPeriod', 'syncPeriod'],
  [{ featureGates: { Some: 'true' } }, 'featureGates', 'true or false'],
];

/** Whether addresses answer NodePorts under a configuration: `loopback` to sockets of the host. */
function answers(configuration: object, address: string, isPrimary = false): boolean {
  const addresses = parseNodePortAddresses(open(configuration).nodePortAddresses, new Place('test'));
  if (address === '127.0.0.1') return addresses.localhost.includes(4);
  if (address === '::1') return addresses.localhost.includes(6);
  return answersNodePorts(addresses, { family: address.includes(':') ? 6 : 4, text: address }, isPrimary);
}

describe('parseKubeProxyConfig', () => {
  it('has the defaults of kube-proxy', () => {
    assert.deepEqual(parseKubeProxyConfig({}), defaults);
  });

  for (const [configuration, options] of supported) {
    it(`understands ${JSON.stringify(configuration)}`, () => {
      assert.deepEqual(open(configuration), { ...defaults.open, ...options });
    });
  }

  for (const [configuration, key, ...words] of refused) {
    it(`refuses ${JSON.stringify(configuration)}`, () => {
      const { code, message, problems } = problemsOf(configuration);
      assert.equal(code, 'ERR_BPF_INVALID_OPTION');
      assert.deepEqual(
        problems.map((problem) => problem.key),
        [key],
      );
      for (const word of [key, ...words]) assert.ok(message.includes(word), `${word}: ${message}`);
    });
  }

  it('reports everything that is wrong, and what is no object', () => {
    const { problems } = problemsOf({
      mode: 'ebpf',
      healthzBindAddress: 'x',
      iptables: { syncPeriod: true },
    });
    assert.deepEqual(problems.map(({ key }) => key).sort(), [
      'healthzBindAddress',
      'iptables.syncPeriod',
      'mode',
    ]);
    assert.throws(() => parseKubeProxyConfig(null as unknown as object), { code: 'ERR_BPF_INVALID_OPTION' });
  });

  it('takes the name of the node and of the proxy', () => {
    const { cluster } = parseKubeProxyConfig({ hostnameOverride: ' Node1 ', serviceProxyName: 'bpf-lb' });
    assert.deepEqual(cluster, { nodeName: 'node1', serviceProxyName: 'bpf-lb' });
    assert.deepEqual(parseKubeProxyConfig({ hostnameOverride: '', serviceProxyName: '' }).cluster, {});
  });

  it('takes the periods of its mode', () => {
    const periods = { syncPeriod: '1m', minSyncPeriod: '500ms' };
    const own = { syncPeriod: 60_000, minSyncPeriod: 500 };
    const zero = { syncPeriod: '0s', minSyncPeriod: '0s' };
    for (const mode of ['iptables', 'nftables', 'ipvs']) {
      assert.deepEqual(parseKubeProxyConfig({ mode, [mode]: periods }).sync, own);
      assert.deepEqual(
        parseKubeProxyConfig({ mode, [mode === 'ipvs' ? 'iptables' : 'ipvs']: periods }).sync,
        {
          syncPeriod: 30_000,
          minSyncPeriod: mode === 'ipvs' ? 0 : 1000,
        },
      );
      assert.deepEqual(parseKubeProxyConfig({ mode, [mode]: zero }).sync, {
        syncPeriod: 30_000,
        minSyncPeriod: mode === 'ipvs' ? 0 : 1000,
      });
    }
  });

  it('binds to what kube-proxy binds to', () => {
    const bound = (configuration: object) => {
      const { healthzBindAddress, metricsBindAddress } = parseKubeProxyConfig(configuration);
      return [healthzBindAddress, metricsBindAddress];
    };
    assert.deepEqual(bound({ bindAddress: '0.0.0.0' }), ['0.0.0.0:10256', '127.0.0.1:10249']);
    assert.deepEqual(bound({ bindAddress: '::' }), ['[::]:10256', '[::1]:10249']);
    assert.deepEqual(bound({ bindAddress: '2001:db8::1' }), ['[::]:10256', '[::1]:10249']);
    const own = { healthzBindAddress: '192.0.2.1', metricsBindAddress: '[2001:db8::1]:9999' };
    assert.deepEqual(bound(own), ['192.0.2.1:10256', '[2001:db8::1]:9999']);
    assert.deepEqual(bound({ healthzBindAddress: '::1', metricsBindAddress: '' }), [
      '[::1]:10256',
      '127.0.0.1:10249',
    ]);
  });

  it('answers NodePorts on loopback where kube-proxy does', () => {
    const loopback = (configuration: object) => answers(configuration, '127.0.0.1');
    assert.ok(loopback({}));
    assert.ok(loopback({ nodePortAddresses: ['127.0.0.0/8'] }));
    assert.ok(loopback({ nodePortAddresses: ['0.0.0.0/0'] }));
    assert.ok(
      loopback({ nodePortAddresses: ['2001:db8::/32'] }),
      'a family of which nothing is said is open',
    );
    assert.ok(!loopback({ nodePortAddresses: ['192.0.2.0/24'] }));
    assert.ok(!loopback({ nodePortAddresses: ['primary'] }));
    assert.ok(!loopback({ nodePortAddresses: ['127.0.0.0/8'], iptables: { localhostNodePorts: false } }));

    const gate = { mode: 'nftables', featureGates: { KubeProxyNFTablesLocalhostNodePorts: true } };
    assert.ok(loopback({ ...gate, nodePortAddresses: ['localhost'] }));
    assert.ok(loopback({ ...gate, nodePortAddresses: ['127.0.0.1/32', '192.0.2.0/24'] }));
    assert.ok(!loopback({ ...gate, nodePortAddresses: ['all'] }));
    assert.ok(!loopback({ ...gate, nodePortAddresses: ['0.0.0.0/0'] }));
    assert.ok(!loopback({ mode: 'nftables', nodePortAddresses: ['localhost'] }));

    assert.ok(!answers({ nodePortAddresses: ['0.0.0.0/0', '::/0'] }, '::1'), 'iptables: IPv4 alone');
    assert.ok(!answers({ nodePortAddresses: ['localhost'] }, '::1'));
    assert.ok(answers({ ...gate, nodePortAddresses: ['localhost'] }, '::1'));
    assert.ok(answers({ ...gate, nodePortAddresses: ['::1/128'] }, '::1'));
    assert.ok(!answers({ ...gate, nodePortAddresses: ['127.0.0.0/8'] }, '::1'));
    assert.ok(!loopback({ ...gate, nodePortAddresses: ['::1/128', '192.0.2.0/24'] }));
  });

  it('answers NodePorts on the addresses that kube-proxy does', () => {
    const [v4, v6] = ['192.0.2.1', '2001:db8::1'];
    for (const mode of ['iptables', 'nftables']) {
      const only = (...nodePortAddresses: string[]) => ({ mode, nodePortAddresses });
      assert.ok(answers(only('192.0.2.0/24'), v4));
      assert.ok(!answers(only('192.0.2.0/24'), '198.51.100.1'));
      assert.ok(answers(only('192.0.2.0/24'), v6), 'a family of which nothing is said is open');
      assert.ok(!answers(only('192.0.2.0/24', 'fd00::/8'), v6));
      assert.ok(!answers(only('127.0.0.0/8'), v4), 'loopback alone does not open the family');
      assert.ok(answers(only('127.0.0.0/8'), v6));
      assert.ok(!answers(only('localhost'), v4) && !answers(only('localhost'), v6));
      assert.ok(answers(only('primary'), v4, true) && !answers(only('primary'), v4));
    }
    assert.ok(answers({}, v4) && answers({}, v6));
    assert.ok(!answers({ mode: 'nftables' }, v4) && answers({ mode: 'nftables' }, v4, true));
  });

  it('accepts what kubeadm writes, and tells what has no effect', () => {
    const text = `
      apiVersion: kubeproxy.config.k8s.io/v1alpha1
      kind: KubeProxyConfiguration
      bindAddress: 0.0.0.0
      bindAddressHardFail: false
      clientConnection:
        acceptContentTypes: ""
        burst: 0
        contentType: ""
        kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
        qps: 0
      clusterCIDR: 10.244.0.0/16,fd00:244::/56
      configSyncPeriod: 0s
      conntrack: {maxPerCore: null, min: 262144, tcpBeLiberal: false, tcpCloseWaitTimeout: null,
        tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
      detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
      detectLocalMode: ""
      enableProfiling: false
      healthzBindAddress: ""
      hostnameOverride: ""
      iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
      ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s,
        tcpTimeout: 0s, udpTimeout: 0s}
      logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}}, verbosity: 0}
      metricsBindAddress: ""
      mode: ""
      nftables: {masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 0s, syncPeriod: 0s}
      nodePortAddresses: null
      oomScoreAdj: -999
      portRange: ""
      showHiddenMetricsForVersion: ""
      winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
    `;
    const { ignored, ...rest } = parseKubeProxyConfig(parse(text) as object);
    assert.deepEqual(
      { ...rest, ignored: [] },
      { ...defaults, open: { ...defaults.open, masqueradeAll: false } },
    );
    assert.deepEqual(ignored.sort(), [
      'clientConnection',
      'conntrack.min',
      'logging',
      'nftables.masqueradeBit',
      'oomScoreAdj',
    ]);
  });

  it('gives options that open() takes, or an error of its own, whatever the values', () => {
    const parts = [...supported, ...refused].map(([configuration]) => configuration);
    const entries = parts.flatMap((configuration) => Object.entries(configuration) as [string, unknown][]);
    const key = fc.oneof({ weight: 20, arbitrary: fc.constantFrom(...entries.map(([k]) => k)) }, fc.string());
    const value = fc.oneof(fc.constantFrom(...entries.map(([, v]) => v)), fc.jsonValue());
    fc.assert(
      fc.property(fc.dictionary(key, value), (configuration) => {
        let parsed: KubeProxyConfiguration;
        try {
          parsed = parseKubeProxyConfig(configuration);
        } catch (error) {
          assert.ok(error instanceof ConfigurationError, String(error));
          return;
        }
        parseOptions(parsed.open);
      }),
    );
    for (const [configuration] of supported) parseOptions(open(configuration));
  });
});
