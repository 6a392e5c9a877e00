import assert from 'node:assert/strict';

import { defineService } from '../../lib/service-definition';
import type { BackendSpec, FrontendSpec, ServiceSpec } from '../../lib/spec';
import { makesDatagramsStale, staleDatagrams } from '../../lib/stale-datagrams';

const frontends: FrontendSpec[] = [
  { type: 'ClusterIP', address: '10.96.0.10', port: 53, protocol: 'UDP' },
  { type: 'LoadBalancer', address: '2001:db8:f::7', port: 53, protocol: 'UDP' },
  { type: 'NodePort', port: 30053, protocol: 'UDP' },
];
const one = { address: '10.244.2.2', port: 5353 };
const other = { address: '10.244.2.3', port: 5353 };
const six = { address: 'fd00:2::2', port: 5353 };

function dns(backends: readonly BackendSpec[], others: Partial<ServiceSpec> = {}) {
  return defineService({ name: 'kube-system/dns', frontends, backends, ...others });
}

function to(address: string, port: number, peer: { address: string; port: number }) {
  return { to: { address, port }, peer };
}

describe('stale UDP flows', () => {
  const isStale = staleDatagrams([dns([one, six])]);

  it('are those to a frontend that are with no backend of its service', () => {
    for (const [address, port] of [
      ['10.96.0.10', 53],
      ['192.0.2.1', 30053],
    ] as const) {
      assert.equal(isStale(to(address, port, one)), false);
      assert.equal(isStale(to(address, port, other)), true);
      assert.equal(isStale(to(address, port, { ...one, port: 53 })), true, 'another port');
    }
    assert.equal(isStale(to('2001:db8:f::7', 53, six)), false);
    assert.equal(isStale(to('2001:db8::1', 30053, { ...six, address: 'fd00:2::3' })), true);
  });

  it('are those that nobody translated when the service was not there yet', () => {
    const asked = { address: '10.96.0.10', port: 53 };
    assert.equal(isStale({ to: asked, peer: asked }), true);
  });

  it('are none to other ports, addresses and protocols', () => {
    assert.equal(isStale(to('10.96.0.10', 54, other)), false);
    assert.equal(isStale(to('10.96.0.11', 53, other)), false);
    assert.equal(isStale(to('192.0.2.1', 30054, other)), false);
    const tcp = frontends.map((frontend) => ({ ...frontend, protocol: 'TCP' as const }));
    assert.equal(staleDatagrams([dns([one], { frontends: tcp })])(to('10.96.0.10', 53, other)), false);
  });

  it('are none with backends that may finish, or that policy and topology would not choose', () => {
    const kept: BackendSpec[] = [
      { ...one, state: 'terminating' },
      { ...other, clusterWide: false },
    ];
    const policies = { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' } as const;
    for (const peer of [one, other])
      assert.equal(staleDatagrams([dns(kept, policies)])(to('10.96.0.10', 53, peer)), false);
  });

  it('are all of a service without backends, and of one that is deleted', () => {
    assert.equal(staleDatagrams([dns([])])(to('10.96.0.10', 53, one)), true);
    assert.equal(staleDatagrams([], [dns([one])])(to('10.96.0.10', 53, one)), true);
    assert.equal(staleDatagrams([], [dns([one])])(to('192.0.2.1', 30053, one)), true);
  });

  it('are none of a frontend that another service has now, with the same backend', () => {
    const heir = dns([one], { name: 'kube-system/dns-2' });
    const afterwards = staleDatagrams([heir], [dns([one, other])]);
    assert.equal(afterwards(to('10.96.0.10', 53, one)), false);
    assert.equal(afterwards(to('10.96.0.10', 53, other)), true);
  });

  it('at an address with a frontend of its own are not judged by the NodePort', () => {
    const own: FrontendSpec = { type: 'ExternalIPs', address: '192.0.2.1', port: 30053, protocol: 'UDP' };
    const shared = staleDatagrams([
      dns([one]),
      defineService({ name: 'b', frontends: [own], backends: [other] }),
    ]);
    assert.equal(shared(to('192.0.2.1', 30053, other)), false);
    assert.equal(shared(to('192.0.2.1', 30053, one)), true);
    assert.equal(shared(to('192.0.2.2', 30053, one)), false);
  });
});

describe('changes that may make UDP flows stale', () => {
  const before = dns([one, other]);

  it('are those of frontends and backends, whatever their order', () => {
    assert.equal(makesDatagramsStale(before, dns([other, one])), false);
    assert.equal(makesDatagramsStale(before, dns([one])), true);
    assert.equal(makesDatagramsStale(before, dns([one, other, six])), true);
    assert.equal(makesDatagramsStale(before, dns([one, { ...other, port: 53 }])), true);
    assert.equal(makesDatagramsStale(before, dns([one, other], { frontends: frontends.slice(0, 2) })), true);
  });

  it('are those by which services come and go', () => {
    assert.equal(makesDatagramsStale(undefined, before), true);
    assert.equal(makesDatagramsStale(before, undefined), true);
    assert.equal(makesDatagramsStale(undefined, dns([])), true);
  });

  it('are none of states, policies and other protocols', () => {
    assert.equal(makesDatagramsStale(before, dns([one, { ...other, state: 'terminating' }])), false);
    assert.equal(makesDatagramsStale(before, dns([one, other], { externalTrafficPolicy: 'Local' })), false);
    const tcp: FrontendSpec[] = [{ type: 'ClusterIP', address: '10.96.0.10', port: 53 }];
    assert.equal(makesDatagramsStale(dns([one], { frontends: tcp }), undefined), false);
  });
});
