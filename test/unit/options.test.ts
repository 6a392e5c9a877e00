import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import fc from 'fast-check';

import { LoadBalancerError } from '../../lib/errors';
import { type OpenOptions, parseOptions } from '../../lib/options';

describe('options', () => {
  it('have defaults', () => {
    const options = parseOptions({});
    const [, lastEphemeral = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      .trim()
      .split(/\s+/)
      .map(Number);
    assert.deepEqual(
      { ...options, snatPorts: undefined },
      {
        devices: [],
        followDevices: true,
        nodePortAddresses: { primary: true, ranges: [], localhost: false },
        directRoutingDevice: undefined,
        protectNodePorts: true,
        externalClusterIP: false,
        socketLB: true,
        cgroup: undefined,
        stateDir: undefined,
        nodePortRange: [30000, 32767],
        snatPorts: undefined,
        flowLifetimes: { opening: 60, established: 8000, closing: 10, datagram: 60 },
        capacity: { frontends: 65_535, backends: 262_144, flows: 131_072, sockets: 131_072 },
      },
    );
    const [first, last] = options.snatPorts;
    assert.equal(last, 65535);
    assert.ok(last - first >= 1023);
    if (lastEphemeral < 64511) assert.equal(first, lastEphemeral + 1);
  });

  it('are taken as they are given', () => {
    const given = {
      devices: ['eth0', 'lxc+'],
      followDevices: false,
      nodePortAddresses: ['localhost'],
      directRoutingDevice: 'eth+',
      protectNodePorts: false,
      externalClusterIP: true,
      socketLB: false,
      cgroup: '/sys/fs/cgroup/a',
      stateDir: '/sys/fs/bpf/b',
      nodePortRange: [30000, 30010],
      snatPorts: [61000, 61000],
      flowLifetimes: { opening: 1, established: 2, closing: 3, datagram: 4 },
      capacity: { frontends: 1, backends: 2, flows: 3, sockets: 4 },
    } as const;
    const nodePortAddresses = { primary: false, ranges: [], localhost: true };
    assert.deepEqual(parseOptions(given), { ...given, nodePortAddresses });
  });

  const wrong: Record<string, unknown[]> = {
    devices: ['eth0', [1], [null], {}],
    followDevices: [0, 'no', null],
    nodePortAddresses: [[], 'primary', {}],
    directRoutingDevice: ['', 'eth 0', '!eth0', '+', ['eth0'], null],
    protectNodePorts: [0, 'no', null],
    externalClusterIP: [1, 'yes', null],
    socketLB: [1, 'yes', null],
    cgroup: ['', 'relative', 7, '/a\0b', null],
    stateDir: ['', './x', {}, '/a\0b'],
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
    const keys = ['devices', 'socketLB', 'cgroup', 'stateDir', 'nodePortRange', 'snatPorts'];
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
