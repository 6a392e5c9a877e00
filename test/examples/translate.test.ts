import assert from 'node:assert/strict';

import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import fc from 'fast-check';

import { translate } from '../../examples/informer/translate';
import { defineService } from '../../lib/service-definition';

function service(spec: V1Service['spec'], status: V1Service['status'] = {}): V1Service {
  return { metadata: { namespace: 'default', name: 'web' }, spec, status } as V1Service;
}

function slice(
  endpoints: V1EndpointSlice['endpoints'],
  port: Partial<NonNullable<V1EndpointSlice['ports']>[number]> = {},
  addressType = 'IPv4',
): V1EndpointSlice {
  return {
    metadata: { namespace: 'default', name: 'web-1' },
    addressType,
    ports: [{ name: 'http', protocol: 'TCP', port: 8080, ...port }],
    endpoints,
  } as V1EndpointSlice;
}

const http = { name: 'http', port: 80, protocol: 'TCP' };

describe('translate (examples/informer)', () => {
  it('makes a frontend of each address, and one of the NodePort', () => {
    const [web] = translate(
      service(
        {
          clusterIP: '10.96.0.10',
          clusterIPs: ['10.96.0.10'],
          externalIPs: ['198.51.100.8'],
          ports: [{ ...http, nodePort: 30080 }],
        },
        { loadBalancer: { ingress: [{ ip: '198.51.100.7' }] } },
      ),
      [],
      'node1',
    );
    assert.equal(web?.name, 'default/web:http');
    assert.deepEqual(web.frontends, [
      { type: 'ClusterIP', address: '10.96.0.10', port: 80, protocol: 'TCP' },
      { type: 'ExternalIPs', address: '198.51.100.8', port: 80, protocol: 'TCP' },
      { type: 'LoadBalancer', address: '198.51.100.7', port: 80, protocol: 'TCP' },
      { type: 'NodePort', port: 30080, protocol: 'TCP' },
    ]);
  });

  it('makes a service of each port; one without a name has the name of the Service', () => {
    const named = { clusterIP: '10.96.0.10', ports: [http, { name: 'dns', port: 53, protocol: 'UDP' }] };
    assert.deepEqual(
      translate(service(named), [], 'node1').map(({ name, frontends }) => [name, frontends[0]?.protocol]),
      [
        ['default/web:http', 'TCP'],
        ['default/web:dns', 'UDP'],
      ],
    );
    const [unnamed] = translate(
      service({ clusterIP: '10.96.0.10', ports: [{ port: 80 }] }),
      [slice([{ addresses: ['10.0.0.1'] }], { name: '' })],
      'node1',
    );
    assert.equal(unnamed?.name, 'default/web');
    assert.equal(unnamed.backends.length, 1);
  });

  it('has nothing for headless Services, ExternalName, and SCTP', () => {
    for (const spec of [
      { clusterIP: 'None', clusterIPs: ['None'], ports: [http] },
      { clusterIP: '', ports: [http] },
      { ports: [http] },
      { type: 'ExternalName', clusterIP: '172.30.55.4', ports: [http] },
      { clusterIP: '10.96.0.10', ports: [{ ...http, protocol: 'SCTP' }] },
      { clusterIP: '10.96.0.10' },
    ]) {
      assert.deepEqual(translate(service(spec), [], 'node1'), []);
    }
  });

  it('takes ready endpoints only; an endpoint that does not say is ready', () => {
    const [web] = translate(
      service({ clusterIP: '10.96.0.10', ports: [http] }),
      [
        slice([
          { addresses: ['10.0.0.3'], conditions: { ready: true } },
          { addresses: ['10.0.0.1'], conditions: { ready: false } },
          { addresses: ['10.0.0.2'], conditions: {} },
          { addresses: ['10.0.0.4'], conditions: { ready: false, serving: true, terminating: true } },
          { addresses: [] },
          { addresses: ['nonsense'] },
        ]),
      ],
      'node1',
    );
    assert.deepEqual(
      web?.backends.map(({ address }) => address),
      ['10.0.0.2', '10.0.0.3'],
    );
  });

  it('takes the number of a port from each slice, and only ports of that name and protocol', () => {
    const [web] = translate(
      service({ clusterIP: '10.96.0.10', ports: [http] }),
      [
        slice([{ addresses: ['10.0.0.1'] }], { port: 8080 }),
        slice([{ addresses: ['10.0.0.2'] }], { port: 9090 }),
        slice([{ addresses: ['10.0.0.3'] }], { name: 'other' }),
        slice([{ addresses: ['10.0.0.4'] }], { protocol: 'UDP' }),
        slice([{ addresses: ['10.0.0.5'] }], { port: undefined as never }),
      ],
      'node1',
    );
    assert.deepEqual(web?.backends, [
      { address: '10.0.0.1', port: 8080, local: false },
      { address: '10.0.0.2', port: 9090, local: false },
    ]);
  });

  it('tells the endpoints of this node from others, and counts one that is listed twice once', () => {
    const endpoint = { addresses: ['10.0.0.1'], nodeName: 'node1' };
    const [web] = translate(
      service({ clusterIP: '10.96.0.10', ports: [http] }),
      [slice([endpoint]), slice([endpoint, { addresses: ['10.0.0.2'], nodeName: 'node2' }])],
      'node1',
    );
    assert.deepEqual(
      web?.backends.map(({ address, local }) => [address, local]),
      [
        ['10.0.0.1', true],
        ['10.0.0.2', false],
      ],
    );
  });

  it('leaves out families that the Service has no cluster IP in', () => {
    const slices = [
      slice([{ addresses: ['10.0.0.1'] }]),
      slice([{ addresses: ['fd00::1'] }], {}, 'IPv6'),
      slice([{ addresses: ['web.example'] }], {}, 'FQDN'),
    ];
    const spec = { clusterIPs: ['fd00:96::10'], externalIPs: ['198.51.100.8', '2001:db8::8'], ports: [http] };
    const [six] = translate(service(spec), slices, 'node1');
    assert.deepEqual(
      six?.frontends.map(({ address }) => address),
      ['fd00:96::10', '2001:db8::8'],
    );
    assert.deepEqual(
      six.backends.map(({ address }) => address),
      ['fd00::1'],
    );
    const [both] = translate(
      service({ ...spec, clusterIPs: ['10.96.0.10', 'fd00:96::10'] }),
      slices,
      'node1',
    );
    assert.equal(both?.frontends.length, 4);
    assert.equal(both.backends.length, 2);
  });

  it('leaves out addresses of the load balancer that traffic has to pass through the load balancer for', () => {
    const ingress = [
      { ip: '198.51.100.7', ipMode: 'Proxy' },
      { hostname: 'lb.example' },
      { ip: '198.51.100.9', ipMode: 'VIP' },
    ];
    const [web] = translate(
      service({ clusterIP: '10.96.0.10', ports: [http] }, { loadBalancer: { ingress } }),
      [],
      'node1',
    );
    assert.deepEqual(
      web?.frontends.map(({ address }) => address),
      ['10.96.0.10', '198.51.100.9'],
    );
  });

  it('passes on the traffic policies', () => {
    const spec = { clusterIP: '10.96.0.10', ports: [http] };
    const [cluster] = translate(service(spec), [], 'node1');
    const [local] = translate(
      service({ ...spec, externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' }),
      [],
      'node1',
    );
    assert.deepEqual(
      [cluster, local].map((web) => [web?.externalTrafficPolicy, web?.internalTrafficPolicy]),
      [
        ['Cluster', 'Cluster'],
        ['Local', 'Local'],
      ],
    );
  });

  it('makes nothing that a LoadBalancer would refuse', () => {
    const address = fc.constantFrom(
      '10.96.0.10',
      '10.0.0.1',
      'fd00::1',
      '2001:db8::8',
      'None',
      '',
      '10.0.0.010',
      'x',
    );
    const addresses = fc.uniqueArray(address, { maxLength: 4 });
    const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP');
    const port = fc.integer({ min: 1, max: 65535 });
    const option = { requiredKeys: [] };
    const services = fc.record(
      {
        type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
        clusterIPs: addresses,
        externalIPs: addresses,
        ports: fc.array(fc.record({ name: fc.constantFrom('a', 'b'), port, nodePort: port, protocol }), {
          maxLength: 3,
        }),
      },
      option,
    );
    const statuses = fc.record(
      { loadBalancer: fc.record({ ingress: fc.array(fc.record({ ip: address }, option)) }, option) },
      option,
    );
    const endpoint = fc.record(
      { addresses, nodeName: fc.constantFrom('node1', 'node2') },
      { requiredKeys: ['addresses'] },
    );
    const slices = fc.array(
      fc.record({
        addressType: fc.constantFrom('IPv4', 'IPv6', 'FQDN'),
        ports: fc.array(fc.record({ name: fc.constantFrom('a', 'b', ''), protocol, port }, option)),
        endpoints: fc.array(endpoint),
      }),
    );
    fc.assert(
      fc.property(services, statuses, slices, (spec, status, some) => {
        const specs = translate(service(spec, status), some, 'node1');
        for (const one of specs) defineService(one);
      }),
    );
  });
});
