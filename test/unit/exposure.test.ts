import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import { exposureChange, exposuresOf, formatExposures, type Outside } from '../../lib/exposure';
import { defineService } from '../../lib/service-definition';

const outside: Outside = {
  externalDevices: ['eth0', 'wg0'],
  externalClusterIP: false,
  wildcardAddresses: (type, family) =>
    family === 6 ? ['2001:db8::1'] : type === 'NodePort' ? ['192.0.2.1'] : ['192.0.2.1', '192.0.2.2'],
};

const spec: ServiceSpec = {
  name: 'web',
  frontends: [
    { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
    { type: 'NodePort', port: 30080 },
    { type: 'LoadBalancer', address: '198.51.100.1', port: 80 },
    { type: 'ExternalIPs', address: '203.0.113.5', port: 80, protocol: 'UDP' },
    { type: 'HostPort', port: 8080 },
    { type: 'HostPort', address: '127.0.0.1', port: 8081 },
    { type: 'HostPort', address: '192.0.2.2', port: 8082 },
  ],
  backends: [],
};

const shown = (changes: Partial<ServiceSpec>, to: Partial<Outside> = {}) =>
  exposuresOf([defineService({ ...spec, ...changes })], { ...outside, ...to }).map(
    ({ address, port, protocol, device, type }) => `${type} ${address} ${port}/${protocol} ${device}`,
  );

describe('exposure', () => {
  it('is every address and port, on every external device', () => {
    const endpoints = [
      'NodePort 192.0.2.1 30080/TCP',
      'LoadBalancer 198.51.100.1 80/TCP',
      'ExternalIPs 203.0.113.5 80/UDP',
      'HostPort 192.0.2.1 8080/TCP',
      'HostPort 192.0.2.2 8080/TCP',
      'HostPort 192.0.2.2 8082/TCP',
    ];
    assert.deepEqual(
      shown({}),
      endpoints.flatMap((endpoint) => [`${endpoint} eth0`, `${endpoint} wg0`]),
    );
  });

  it('is nothing without external devices', () => {
    assert.deepEqual(shown({}, { externalDevices: [], externalClusterIP: true }), []);
  });

  it('has ClusterIPs when they are served outside', () => {
    const frontends = spec.frontends.slice(0, 1);
    assert.deepEqual(shown({ frontends }), []);
    assert.deepEqual(shown({ frontends }, { externalClusterIP: true, externalDevices: ['eth0'] }), [
      'ClusterIP 10.96.0.1 80/TCP eth0',
    ]);
  });

  it('has a wildcard in the families of the service', () => {
    const frontends = [{ type: 'NodePort', port: 30080 }] as const;
    const backends = [{ address: 'fd00::1', port: 80 }];
    assert.deepEqual(shown({ frontends, backends }, { externalDevices: ['eth0'] }), [
      'NodePort 2001:db8::1 30080/TCP eth0',
    ]);
    assert.equal(shown({ frontends }, { externalDevices: ['eth0'] }).length, 2);
  });

  describe('tells who may come', () => {
    const dual: ServiceSpec = {
      name: 'dual',
      frontends: [
        { type: 'LoadBalancer', address: '198.51.100.1', port: 80 },
        { type: 'LoadBalancer', address: '2001:db8:51::1', port: 80 },
        { type: 'NodePort', port: 30080 },
      ],
      backends: [],
    };
    const clients = (changes: Partial<ServiceSpec>) =>
      exposuresOf([defineService({ ...dual, ...changes })], { ...outside, externalDevices: ['eth0'] }).map(
        ({ allowed, denied }) => ({ allowed, denied }),
      );
    const everyone = { allowed: undefined, denied: undefined };

    it('everyone, where no ranges are given', () => {
      assert.deepEqual(clients({}), [everyone, everyone, everyone, everyone]);
    });

    it('to LoadBalancer frontends, in the family of the ranges', () => {
      const [first, ...others] = clients({ sourceRanges: ['10.0.0.0/8', '192.0.2.7'] });
      assert.deepEqual(first, { allowed: ['10.0.0.0/8', '192.0.2.7/32'], denied: undefined });
      assert.deepEqual(others, [everyone, everyone, everyone]);
    });

    it('or who may not', () => {
      const [first, second] = clients({
        sourceRanges: ['10.0.0.0/8', 'fd00::/8'],
        sourceRangesPolicy: 'deny',
      });
      assert.deepEqual(first, { allowed: undefined, denied: ['10.0.0.0/8'] });
      assert.deepEqual(second, { allowed: undefined, denied: ['fd00::/8'] });
    });
  });

  it('of two states can be compared, as devices are at that time', () => {
    const devices = { ...outside, externalDevices: ['eth0'] };
    const of = (...frontends: ServiceSpec['frontends']) => [defineService({ ...spec, frontends })];
    const [tcp, udp] = [
      { type: 'LoadBalancer', address: '198.51.100.1', port: 80 },
      { type: 'LoadBalancer', address: '198.51.100.1', port: 80, protocol: 'UDP' },
    ] as const;
    const more = exposureChange(of(tcp), of(tcp, udp), devices);
    const less = exposureChange(of(udp, tcp), of(tcp), devices);
    devices.externalDevices = ['eth1'];
    const [exposed] = exposuresOf(of(udp), { ...outside, externalDevices: ['eth0'] });
    assert.deepEqual(more(), { exposed: [exposed], withdrawn: [] });
    assert.deepEqual(less(), { exposed: [], withdrawn: [exposed] });
    assert.equal(more(), more());
    const allowed = [defineService({ ...spec, frontends: [tcp], sourceRanges: ['10.0.0.0/8'] })];
    const other = exposureChange(of(tcp), allowed, outside)();
    assert.deepEqual([other.exposed.length, other.withdrawn.length], [2, 2], 'other clients are a change');
  });

  it('reads as a table', () => {
    const service = { ...spec, frontends: spec.frontends.slice(1, 3), sourceRangesPolicy: 'deny' } as const;
    const exposures = exposuresOf(
      [
        defineService({ ...service, sourceRanges: ['10.0.0.0/8', '172.16.0.0/12'] }),
        defineService({
          name: 'six',
          frontends: [{ type: 'LoadBalancer', address: '2001:db8:51::1', port: 443, protocol: 'UDP' }],
          backends: [],
          sourceRanges: ['2001:db8::/32'],
        }),
      ],
      { ...outside, externalDevices: ['eth0'] },
    );
    assert.equal(
      formatExposures(exposures),
      [
        'Frontend                   Device   Clients                             Service Type   Service',
        '192.0.2.1:30080/TCP        eth0     all                                 NodePort       web',
        '198.51.100.1:80/TCP        eth0     all but 10.0.0.0/8, 172.16.0.0/12   LoadBalancer   web',
        '[2001:db8:51::1]:443/UDP   eth0     2001:db8::/32                       LoadBalancer   six',
      ].join('\n'),
    );
    assert.equal(formatExposures([]), 'Frontend   Device   Clients   Service Type   Service');
  });
});
