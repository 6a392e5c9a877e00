import assert from 'node:assert/strict';

import {
  malformed,
  service,
  slice,
  endpoint,
  translateAll,
  translateOne,
  frontendsOf,
  backendsOf,
} from './fixtures';

const reasonsOf = (object: object) =>
  translateAll(object as ReturnType<typeof service>).warnings.map(({ reason }) => reason);

describe('kubernetes: ports of Services', () => {
  it('become one service each, with a frontend for each address and for the NodePort', () => {
    const spec = translateOne(
      service({ externalIPs: ['198.51.100.8'], ports: [{ name: 'http', port: 80, nodePort: 30080 }] }, [
        { ip: '198.51.100.7' },
      ]),
    );
    assert.equal(spec.name, 'default/web:http');
    assert.deepEqual(frontendsOf(spec), [
      'ClusterIP 10.96.0.10 80/TCP',
      'LoadBalancer 198.51.100.7 80/TCP',
      'ExternalIPs 198.51.100.8 80/TCP',
      'NodePort * 30080/TCP',
    ]);
  });

  it('have a name that is unique: the protocol is added where ports of two protocols have the same one', () => {
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns', port: 53, protocol: 'TCP' },
      { name: 'dns', port: 53, protocol: 'SCTP' },
      { name: 'metrics', port: 54, protocol: 'UDP' },
      { port: 55, protocol: 'SCTP' },
    ];
    assert.deepEqual(
      translateAll(service({ ports })).services.map(({ name, frontends: [f] }) => [name, f?.protocol]),
      [
        ['default/web:dns/UDP', 'UDP'],
        ['default/web:dns', 'TCP'],
        ['default/web:dns/SCTP', 'SCTP'],
        ['default/web:metrics', 'UDP'],
        ['default/web', 'SCTP'],
      ],
    );
  });

  it('of headless Services, of ExternalName ones and of those without an address yet are none, and no warning', () => {
    for (const object of [
      service({ clusterIP: 'None' }),
      service({ clusterIP: 'None', clusterIPs: ['None'] }),
      service({ clusterIP: '' }),
      service({ type: 'ExternalName', clusterIP: '172.30.55.4', ports: [{ port: 80, nodePort: 30080 }] }),
      { kind: 'Service', metadata: { name: 'web' } },
      service({}, [], { labels: { 'service.kubernetes.io/headless': '' } }),
      service({}, [], { labels: { 'service.kubernetes.io/service-proxy-name': '' } }),
    ]) {
      assert.deepEqual(translateAll(object), { services: [], warnings: [] });
    }
  });

  it('of another proxy name are served by that one alone', () => {
    const options = { serviceProxyName: 'mine' };
    const labelled = (value: string) =>
      service({}, [], { labels: { 'service.kubernetes.io/service-proxy-name': value } });
    assert.equal(translateAll(labelled('mine'), [], options).services.length, 1);
    assert.equal(translateAll(labelled('other'), [], options).services.length, 0);
    assert.equal(translateAll(service(), [], options).services.length, 0);
  });

  describe('families', () => {
    const familiesOf = (object: ReturnType<typeof service>) =>
      translateAll(object).services.flatMap(frontendsOf);

    it('are those of ipFamilies, each with its cluster IP', () => {
      assert.deepEqual(
        familiesOf(service({ clusterIPs: ['10.96.0.10', 'fd00::10'], ipFamilies: ['IPv4', 'IPv6'] })),
        ['ClusterIP 10.96.0.10 80/TCP', 'ClusterIP fd00::10 80/TCP'],
      );
      assert.deepEqual(
        familiesOf(
          service({ clusterIP: 'fd00::10', clusterIPs: ['fd00::10', '10.96.0.10'], ipFamilies: ['IPv6'] }),
        ),
        ['ClusterIP fd00::10 80/TCP'],
      );
    });

    it('without ipFamilies are that of clusterIP', () => {
      assert.deepEqual(familiesOf(service({ clusterIPs: ['10.96.0.10', 'fd00::10'] })), [
        'ClusterIP 10.96.0.10 80/TCP',
      ]);
      assert.deepEqual(familiesOf(service({ clusterIP: 'fd00::10' })), ['ClusterIP fd00::10 80/TCP']);
    });

    it('choose among external addresses and source ranges', () => {
      const spec = translateOne(
        service(
          {
            externalIPs: ['2001:db8::8', '198.51.100.8'],
            loadBalancerSourceRanges: ['2001:db8::/32', '203.0.113.0/24'],
          },
          [{ ip: '2001:db8::7' }, { ip: '198.51.100.7' }],
        ),
      );
      assert.deepEqual(frontendsOf(spec).slice(1), [
        'LoadBalancer 198.51.100.7 80/TCP',
        'ExternalIPs 198.51.100.8 80/TCP',
      ]);
      assert.deepEqual(spec.sourceRanges, ['203.0.113.0/24']);
    });

    it('do not share endpoints', () => {
      const six = slice([endpoint('fd00:1::1')], { addressType: 'IPv6', metadata: { name: 'web-6' } });
      const four = slice([endpoint('10.244.0.1')]);
      assert.deepEqual(backendsOf(translateOne(service(), [four, six])), ['10.244.0.1 8080']);
      const dual = service({ clusterIPs: ['10.96.0.10', 'fd00::10'], ipFamilies: ['IPv4', 'IPv6'] });
      assert.deepEqual(backendsOf(translateOne(dual, [four, six])), ['10.244.0.1 8080', 'fd00:1::1 8080']);
    });
  });

  it('take VIPs from the status whatever the type, with ipMode VIP or none', () => {
    const spec = translateOne(
      service({ type: 'ClusterIP' }, [
        { ip: '198.51.100.1' },
        { ip: '198.51.100.2', ipMode: 'VIP' },
        { ip: '198.51.100.3', ipMode: 'Proxy' },
        { hostname: 'lb.example' },
        malformed({ ip: '198.51.100.4', ipMode: null }),
      ]),
    );
    assert.deepEqual(
      frontendsOf(spec).filter((text) => text.startsWith('LoadBalancer')),
      ['1', '2', '4'].map((n) => `LoadBalancer 198.51.100.${n} 80/TCP`),
    );
  });

  it('have an address once: as cluster IP, or else as VIP, whose source ranges hold', () => {
    const externalIPs = ['10.96.0.10', '198.51.100.7', '198.51.100.7', '198.51.100.8'];
    assert.deepEqual(frontendsOf(translateOne(service({ externalIPs }, [{ ip: '198.51.100.7' }]))), [
      'ClusterIP 10.96.0.10 80/TCP',
      'LoadBalancer 198.51.100.7 80/TCP',
      'ExternalIPs 198.51.100.8 80/TCP',
    ]);
  });

  it('have the policies of their Service; the external one only where something is external', () => {
    const local = { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' };
    const policies = ({ internalTrafficPolicy, externalTrafficPolicy }: ReturnType<typeof translateOne>) => [
      internalTrafficPolicy,
      externalTrafficPolicy,
    ];
    assert.deepEqual(policies(translateOne(service())), ['Cluster', 'Cluster']);
    assert.deepEqual(policies(translateOne(service(local))), ['Local', 'Cluster']);
    assert.deepEqual(policies(translateOne(service(local, [{ ip: '198.51.100.7' }]))), ['Local', 'Local']);
    assert.deepEqual(policies(translateOne(service({ ...local, ports: [{ port: 80, nodePort: 30080 }] }))), [
      'Local',
      'Local',
    ]);
  });

  it('have the session affinity of their Service', () => {
    const affinityOf = (spec: object) => {
      const { sessionAffinity, sessionAffinityTimeout } = translateOne(service(spec));
      return [sessionAffinity, sessionAffinityTimeout];
    };
    const within = (timeoutSeconds: unknown) => ({
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    });
    assert.deepEqual(affinityOf({}), [undefined, undefined]);
    assert.deepEqual(affinityOf({ sessionAffinity: 'None' }), [undefined, undefined]);
    assert.deepEqual(affinityOf({ sessionAffinity: 'ClientIP' }), ['ClientIP', 10_800]);
    assert.deepEqual(affinityOf(within(86_400)), ['ClientIP', 86_400]);
    for (const bad of [0, 86_401, 1.5, '60', {}]) {
      assert.deepEqual(affinityOf(within(bad)), ['ClientIP', 10_800]);
      assert.deepEqual(reasonsOf(service(within(bad) as object)), ['InvalidSessionAffinity']);
    }
  });

  it('leave out what is wrong with them, name it, and keep the rest', () => {
    const cases: [spec: object, reason: string, frontends: string[]][] = [
      [{ externalIPs: ['nonsense'] }, 'InvalidAddress', []],
      [{ externalIPs: ['127.0.0.1', '224.0.0.1', '0.0.0.0', 7] }, 'InvalidAddress', []],
      [{ externalIPs: 'none' }, 'InvalidObject', []],
      [{ loadBalancerSourceRanges: ['10.0.0.0/33'] }, 'InvalidSourceRange', []],
      [{ internalTrafficPolicy: 'Nearby' }, 'InvalidTrafficPolicy', []],
      [{ sessionAffinity: 'Cookie' }, 'InvalidSessionAffinity', []],
    ];
    for (const [spec, reason, more] of cases) {
      const { services, warnings } = translateAll(service(spec));
      assert.deepEqual(services.flatMap(frontendsOf), ['ClusterIP 10.96.0.10 80/TCP', ...more]);
      assert.deepEqual(
        warnings.map((warning) => [warning.reason, warning.object]),
        [[reason, { kind: 'Service', namespace: 'default', name: 'web' }]],
      );
    }
  });

  it('that cannot be are left out, and the others served', () => {
    const cases: [port: object, reason: string][] = [
      [{ name: 'b', port: 0 }, 'InvalidPort'],
      [{ name: 'b', port: 65536 }, 'InvalidPort'],
      [{ name: 'b', port: '80' }, 'InvalidPort'],
      [{ name: 'b', port: 81, protocol: 'ICMP' }, 'InvalidProtocol'],
      [{ name: 'http', port: 81 }, 'DuplicatePort'],
      [{ name: 'a:b', port: 81 }, 'InvalidName'],
      [{ name: 7, port: 81 }, 'InvalidName'],
    ];
    for (const [port, reason] of cases) {
      const { services, warnings } = translateAll(
        service({ ports: [{ name: 'http', port: 80 }, malformed(port)] }),
      );
      assert.deepEqual(services.flatMap(frontendsOf), ['ClusterIP 10.96.0.10 80/TCP'], reason);
      assert.deepEqual(
        warnings.map((warning) => warning.reason),
        [reason],
      );
    }
  });

  it('keep their other frontends when the NodePort cannot be', () => {
    const { services, warnings } = translateAll(service({ ports: [{ port: 80, nodePort: 70_000 }] }));
    assert.deepEqual(services.flatMap(frontendsOf), ['ClusterIP 10.96.0.10 80/TCP']);
    assert.match(warnings[0]?.message ?? '', /nodePort of port "" 70000/);
  });

  it('warn of a long list in a short message', () => {
    const { warnings } = translateAll(service({ externalIPs: [...Array(500).keys()].map((i) => `x${i}`) }));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]?.message ?? '', /'x0'.*'x2' is not an address; and 497 more$/);
  });
});
