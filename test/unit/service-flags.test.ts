import assert from 'node:assert/strict';

import { ServiceFlag } from '../../lib/abi';
import { parseCidr } from '../../lib/cidr';
import { Place } from '../../lib/place';
import { defineService } from '../../lib/service-definition';
import { defaultPolicy, serviceFlags, type ServicePolicy } from '../../lib/service-flags';
import type { FrontendSpec, ServiceSpec } from '../../lib/spec';

const node = new Set(['192.0.2.1', '2001:db8::1']);
const {
  INSIDE,
  OUTSIDE,
  INSIDE_LOCAL,
  OUTSIDE_LOCAL,
  USABLE,
  BIND,
  INSIDE_SNAT,
  OUTSIDE_SNAT,
  HOST_PORT,
  AFFINITY,
  WEIGHTED,
  MAGLEV,
  LEAST,
  RANGES,
  RANGES_DENY,
  RANGES_SELF,
} = ServiceFlag;

function flags(
  frontend: FrontendSpec,
  changes: Partial<ServiceSpec> = {},
  policy: Partial<ServicePolicy> = {},
  { usable = false, weighted = false } = {},
): number {
  const definition = defineService({ name: 'web', frontends: [frontend], backends: [], ...changes });
  const placement = { set: 1, first: 0, count: 0, localFirst: 0, localCount: 0, usable };
  const [parsed] = definition.frontends;
  assert.ok(parsed);
  return serviceFlags(parsed, definition, placement, weighted, { ...defaultPolicy, ...policy }, node);
}

const at = (type: FrontendSpec['type'], address?: string): FrontendSpec => ({
  type,
  port: 80,
  ...(address ? { address } : {}),
});

const clusterIP = at('ClusterIP', '10.96.0.1');

describe('flags of a frontend', () => {
  it('ClusterIP: inside, and outside only where that was asked for', () => {
    assert.equal(flags(clusterIP), INSIDE | OUTSIDE_SNAT);
    assert.equal(flags(clusterIP, {}, { externalClusterIP: true }), INSIDE | OUTSIDE | OUTSIDE_SNAT);
    assert.equal(flags(clusterIP, {}, { masqueradeAll: true }), INSIDE | OUTSIDE_SNAT | INSIDE_SNAT);
  });

  it('ClusterIP: source NAT for those outside can be left out, unless all get it', () => {
    const seen = { masqueradeExternalClusterIP: false };
    assert.equal(flags(clusterIP, {}, seen), INSIDE);
    assert.equal(flags(clusterIP, {}, { ...seen, externalClusterIP: true }), INSIDE | OUTSIDE);
    assert.equal(flags(clusterIP, {}, { ...seen, masqueradeAll: true }), INSIDE | OUTSIDE_SNAT | INSIDE_SNAT);
    const vip = at('LoadBalancer', '198.51.100.7');
    assert.equal(flags(vip, {}, seen), flags(vip), 'of ClusterIPs alone');
  });

  it('ClusterIP: internalTrafficPolicy is for all, externalTrafficPolicy for nobody', () => {
    assert.equal(flags(clusterIP, { externalTrafficPolicy: 'Local' }), INSIDE | OUTSIDE_SNAT);
    assert.equal(
      flags(clusterIP, { internalTrafficPolicy: 'Local' }),
      INSIDE | OUTSIDE_SNAT | INSIDE_LOCAL | OUTSIDE_LOCAL,
    );
  });

  it('NodePort and LoadBalancer: inside and outside, with SNAT, and the port is taken', () => {
    for (const frontend of [at('NodePort'), at('LoadBalancer', '203.0.113.1')]) {
      assert.equal(flags(frontend), INSIDE | OUTSIDE | INSIDE_SNAT | OUTSIDE_SNAT | BIND);
    }
  });

  it('externalTrafficPolicy Local: those outside keep to local backends, and nobody is given another address', () => {
    for (const frontend of [at('NodePort'), at('LoadBalancer', '203.0.113.1')]) {
      const both = { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' } as const;
      assert.equal(flags(frontend, both), INSIDE | OUTSIDE | OUTSIDE_LOCAL | BIND);
    }
  });

  it('ExternalIPs: inside only where the address is the node, or in ranges that are trusted', () => {
    const outside = OUTSIDE | INSIDE_SNAT | OUTSIDE_SNAT | BIND;
    const trusted = { externalIPRanges: [parseCidr('203.0.113.0/24', new Place('test'))] };
    assert.equal(flags(at('ExternalIPs', '203.0.113.1')), outside);
    assert.equal(flags(at('ExternalIPs', '203.0.113.1'), {}, trusted), outside | INSIDE);
    assert.equal(flags(at('ExternalIPs', '203.0.114.1'), {}, trusted), outside);
    assert.equal(flags(at('ExternalIPs', '2001:db8::9'), {}, trusted), outside);
    assert.equal(flags(at('ExternalIPs', '192.0.2.1')), outside | INSIDE);
    assert.equal(flags(at('ExternalIPs', '2001:DB8::1')), outside | INSIDE);
  });

  it('HostPort: its address, or all; never outside on loopback; the port may be bound', () => {
    const snat = INSIDE_SNAT | OUTSIDE_SNAT | HOST_PORT;
    assert.equal(flags(at('HostPort')), INSIDE | OUTSIDE | snat);
    assert.equal(flags(at('HostPort', '192.0.2.1')), INSIDE | OUTSIDE | snat);
    assert.equal(flags(at('HostPort', '203.0.113.1')), OUTSIDE | snat);
    assert.equal(flags(at('HostPort', '127.0.0.1')), INSIDE | snat);
  });

  it('a service with a usable backend says so', () => {
    assert.equal(flags(clusterIP, {}, {}, { usable: true }), INSIDE | OUTSIDE_SNAT | USABLE);
  });

  it('the algorithm is the service’s, or else that of the LoadBalancer', () => {
    const algorithmOf = (changes: Partial<ServiceSpec>, policy: Partial<ServicePolicy>, weighted = false) =>
      flags(clusterIP, changes, policy, { weighted }) & (MAGLEV | LEAST | WEIGHTED);
    assert.equal(algorithmOf({}, {}), 0);
    assert.equal(algorithmOf({}, {}, true), WEIGHTED);
    assert.equal(algorithmOf({}, { algorithm: 'maglev' }), MAGLEV);
    assert.equal(algorithmOf({ algorithm: 'random' }, { algorithm: 'maglev' }), 0);
    assert.equal(algorithmOf({ algorithm: 'maglev' }, {}, true), MAGLEV, 'its table has the weights');
    assert.equal(algorithmOf({ algorithm: 'least-connections' }, {}), LEAST);
    assert.equal(algorithmOf({ algorithm: 'least-connections' }, {}, true), LEAST | WEIGHTED);
  });

  it('session affinity', () => {
    assert.equal(flags(clusterIP, { sessionAffinity: 'ClientIP' }), INSIDE | OUTSIDE_SNAT | AFFINITY);
  });

  describe('source ranges', () => {
    const ranges = (frontend: FrontendSpec, changes: Partial<ServiceSpec>) =>
      flags(frontend, changes) & (RANGES | RANGES_DENY | RANGES_SELF);
    const vip = at('LoadBalancer', '203.0.113.1');

    it('are for LoadBalancer frontends alone', () => {
      const sourceRanges = ['198.51.100.0/24'];
      assert.equal(ranges(vip, { sourceRanges }), RANGES);
      for (const other of [at('NodePort'), clusterIP, at('ExternalIPs', '203.0.113.1'), at('HostPort')])
        assert.equal(ranges(other, { sourceRanges }), 0);
    });

    it('of one family leave the other one open', () => {
      assert.equal(ranges(vip, { sourceRanges: ['2001:db8::/32'] }), 0);
      assert.equal(ranges(at('LoadBalancer', '2001:db8::9'), { sourceRanges: ['fd00::/8'] }), RANGES);
    });

    it('deny', () => {
      const sourceRanges = ['192.0.2.0/24'];
      assert.equal(ranges(vip, { sourceRanges, sourceRangesPolicy: 'deny' }), RANGES | RANGES_DENY);
    });

    it('that let the node in let it come by the VIP as its address', () => {
      assert.equal(ranges(vip, { sourceRanges: ['192.0.2.0/24'] }), RANGES | RANGES_SELF);
    });
  });
});
