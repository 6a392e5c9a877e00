import assert from 'node:assert/strict';

import fc from 'fast-check';

import { parseCidr } from '../../lib/cidr';
import { LoadBalancerError } from '../../lib/errors';
import { type OpenOptions, parseOptions } from '../../lib/options';
import { Place } from '../../lib/place';

describe('options', () => {
  it('have defaults', () => {
    assert.deepEqual(parseOptions({}), {
      devices: [],
      followDevices: true,
      nodePortAddresses: { primary: true, ranges: [], localhost: [] },
      directRoutingDevice: undefined,
      protectNodePorts: true,
      redirectPeer: false,
      policy: {
        algorithm: 'random',
        maglevTableSize: undefined,
        externalClusterIP: false,
        masqueradeExternalClusterIP: true,
        masqueradeAll: false,
        externalIPRanges: [],
      },
      masqueradeLocal: false,
      serviceCIDRs: [],
      noBackend: 'reject',
      rejectsPerSecond: 1000,
      answerEcho: true,
      socketLB: true,
      hostNamespaceOnly: false,
      socketExceptions: { cgroups: [], netns: [] },
      cgroup: undefined,
      stateDir: undefined,
      watchPeriod: 5000,
      reachPeriod: 0,
      socketReconcilePeriod: 60_000,
      nodePortRange: [30000, 32767],
      snatPorts: [32768, 65535],
      existingConnections: 'take',
      shadow: false,
      flowLifetimes: { opening: 60, established: 8000, halfClosed: 3600, closing: 10, datagram: 60 },
      capacity: {
        frontends: 65_535,
        backends: 262_144,
        flows: 131_072,
        sockets: 131_072,
        maglevSlots: 1_048_576,
        sourceRanges: 65_536,
        affinities: 65_536,
        fragments: 8192,
      },
      maxCapacity: { frontends: 65_535, backends: 262_144, maglevSlots: 1_048_576, sourceRanges: 65_536 },
    });
  });

  it('are taken as they are given', () => {
    const given = {
      devices: ['eth0', 'lxc+'],
      followDevices: false,
      directRoutingDevice: 'eth+',
      protectNodePorts: false,
      redirectPeer: true,
      masqueradeLocal: true,
      noBackend: 'drop',
      rejectsPerSecond: 0,
      answerEcho: false,
      cgroup: '/sys/fs/cgroup/a',
      stateDir: '/sys/fs/bpf/b',
      watchPeriod: 250,
      reachPeriod: 60_000,
      socketReconcilePeriod: 1000,
      nodePortRange: [30000, 30010],
      snatPorts: [61000, 61000],
      existingConnections: 'leave',
      shadow: true,
      flowLifetimes: { opening: 1, established: 2, halfClosed: 5, closing: 3, datagram: 4 },
      capacity: {
        frontends: 1,
        backends: 2,
        flows: 3,
        sockets: 4,
        maglevSlots: 5,
        sourceRanges: 6,
        affinities: 7,
        fragments: 8,
      },
      maxCapacity: { frontends: 10, backends: 20, maglevSlots: 50, sourceRanges: 60 },
    } as const;
    const policy = {
      algorithm: 'maglev',
      maglevTableSize: 251,
      externalClusterIP: true,
      masqueradeExternalClusterIP: false,
      masqueradeAll: true,
    } as const;
    const except = { cgroups: ['/sys/fs/cgroup/mesh'], netns: ['/run/netns/vm'] };
    const { serviceCIDRs, ...options } = parseOptions({
      ...given,
      ...policy,
      externalIPRanges: ['203.0.113.0/24'],
      serviceCIDRs: ['10.96.0.0/12', 'fd00:96::/112'],
      nodePortAddresses: ['localhost'],
      socketLB: { hostNamespaceOnly: true, except },
    });
    assert.deepEqual(
      serviceCIDRs.map(({ text }) => text),
      ['10.96.0.0/12', 'fd00:96::/112'],
    );
    assert.deepEqual(options, {
      ...given,
      policy: { ...policy, externalIPRanges: [parseCidr('203.0.113.0/24', new Place(''))] },
      nodePortAddresses: { primary: false, ranges: [], localhost: [4, 6] },
      socketLB: true,
      hostNamespaceOnly: true,
      socketExceptions: except,
    });
  });

  it('snatPorts: by default what follows the NodePorts, or what precedes them', () => {
    const ports = (nodePortRange: [number, number]) => parseOptions({ nodePortRange }).snatPorts;
    assert.deepEqual(ports([30000, 32767]), [32768, 65535]);
    assert.deepEqual(ports([60000, 64000]), [64001, 65535]);
    assert.deepEqual(ports([60000, 65000]), [1024, 59999]);
    assert.deepEqual(ports([30000, 65535]), [1024, 29999]);
  });

  it('socketLB: true and false, or what is left out', () => {
    assert.equal(parseOptions({ socketLB: false }).socketLB, false);
    const { socketLB, hostNamespaceOnly, socketExceptions } = parseOptions({ socketLB: {} });
    assert.deepEqual([socketLB, hostNamespaceOnly], [true, false]);
    assert.deepEqual(socketExceptions, { cgroups: [], netns: [] });
  });

  const wrong: Record<string, unknown[]> = {
    devices: ['eth0', [1], [null], {}],
    followDevices: [0, 'no', null],
    nodePortAddresses: [[], 'primary', {}],
    directRoutingDevice: ['', 'eth 0', '!eth0', '+', ['eth0'], null],
    protectNodePorts: [0, 'no', null],
    externalClusterIP: [1, 'yes', null],
    masqueradeExternalClusterIP: [1, 'yes', null],
    masqueradeAll: [1, 'yes', null],
    masqueradeLocal: [1, 'yes', null],
    answerEcho: [1, 'yes', null],
    noBackend: ['refuse', true, null],
    existingConnections: ['keep', true, null],
    rejectsPerSecond: [-1, 1.5, '10', 1e9],
    socketLB: [
      1,
      'yes',
      { hostNamespaceOnly: 1 },
      { except: 'cgroup' },
      { except: { cgroups: '/a' } },
      { except: { cgroups: ['a'] } },
      { except: { netns: [7] } },
    ],
    cgroup: ['', 'relative', 7, '/a\0b', null],
    stateDir: ['', './x', {}, '/a\0b'],
    watchPeriod: [-1, 1.5, '5s', Infinity],
    reachPeriod: [-1, 1.5, '5s', Infinity],
    socketReconcilePeriod: [-1, 1.5, '5s', Infinity],
    nodePortRange: [[1], [2, 1], [0, 10], [1, 70000], ['1', '2'], 30000, [1, 2, 3]],
    snatPorts: [[0, 10], [60000, 50000], [1.5, 2], 'all'],
    flowLifetimes: [
      { opening: 0 },
      { established: -1 },
      { closing: NaN },
      { datagram: '60' },
      { opening: 1e10 },
    ],
    capacity: [
      { frontends: 0 },
      { backends: 2.5 },
      { flows: '1' },
      { sockets: 3 },
      { sockets: 100 },
      { frontends: 2 ** 25 },
      { backends: Infinity },
      null,
      'large',
    ],
    maxCapacity: [{ frontends: 65_534 }, { backends: '300000' }, { maglevSlots: 2 ** 25 }, 7],
  };

  for (const [option, values] of Object.entries(wrong)) {
    it(`${option}: rejected in words that name it`, () => {
      for (const value of values) {
        assert.throws(() => parseOptions({ [option]: value }), {
          name: 'LoadBalancerError',
          code: 'ERR_BPF_INVALID_OPTION',
          message: new RegExp(`^${option}`),
        });
      }
    });
  }

  it('never fail in another way, whatever they are', () => {
    const field = fc.anything();
    const keys = [
      'devices',
      'socketLB',
      'cgroup',
      'stateDir',
      'nodePortRange',
      'snatPorts',
      'algorithm',
      'maglevTableSize',
      'serviceCIDRs',
      'externalIPRanges',
      'noBackend',
      'rejectsPerSecond',
      'watchPeriod',
      'reachPeriod',
      'socketReconcilePeriod',
    ];
    const group = fc.oneof(field, fc.record({ opening: field, sockets: field }, { requiredKeys: [] }));
    const some = fc.record(
      { ...Object.fromEntries(keys.map((key) => [key, field])), flowLifetimes: group, capacity: group },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(some, field), (options) => {
        try {
          parseOptions(options as OpenOptions);
        } catch (error) {
          assert.ok(error instanceof LoadBalancerError, String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('have to be an object', () => {
    for (const options of [null, 7, 'eth0']) {
      assert.throws(() => parseOptions(options as OpenOptions), { code: 'ERR_BPF_INVALID_OPTION' });
    }
  });
});
