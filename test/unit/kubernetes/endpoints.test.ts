import assert from 'node:assert/strict';

import {
  backendsOf,
  endpoint,
  gone,
  local,
  malformed,
  service,
  slice,
  terminating,
  translateAll,
  translateOne,
  unready,
} from './fixtures';

const named = (name: string) => ({ metadata: { name, labels: { 'kubernetes.io/service-name': 'web' } } });

describe('kubernetes: endpoints', () => {
  const of = (...slices: Parameters<typeof translateOne>[1] & object) =>
    backendsOf(translateOne(service(), slices));

  it('are the first addresses of all slices of the Service, in the order of their texts', () => {
    const one = slice([{ addresses: ['10.244.0.9', '10.244.0.8'] }, endpoint('10.244.0.10')], named('a'));
    const two = slice([local('10.244.0.2')], named('b'));
    const other = slice([endpoint('10.244.0.3')], {}, 'other');
    const elsewhere = slice([endpoint('10.244.0.4')], {
      metadata: { namespace: 'test', name: 'c', labels: { 'kubernetes.io/service-name': 'web' } },
    });
    const nobodys = slice([endpoint('10.244.0.5')], { metadata: { labels: {} } });
    assert.deepEqual(of(two, one, other, elsewhere, nobodys), [
      '10.244.0.10 8080',
      '10.244.0.2 8080 local',
      '10.244.0.9 8080',
    ]);
  });

  it('join by the name and protocol of the port, each with the number that its slice has', () => {
    const ports: { name?: string; port?: number; protocol?: string }[] = [
      { name: 'http', port: 8080 },
      { name: 'http', port: 9090, protocol: 'UDP' },
      { name: 'https', port: 8443 },
      { name: '', port: 7070 },
      malformed({ name: null, port: 6060 }),
      malformed({ port: 6061 }),
      malformed({ name: 'http', port: null }),
      { name: 'http', port: 0 },
    ];
    const one = slice([endpoint('10.244.0.1')], { ...named('a'), ports });
    const two = slice([endpoint('10.244.0.2')], { ...named('b'), ports: [{ name: 'http', port: 8081 }] });
    assert.deepEqual(of(one, two), ['10.244.0.1 8080', '10.244.0.2 8081']);
    const { services, warnings } = translateAll(
      service({
        ports: [{ port: 80 }, { name: 'http', protocol: 'UDP', port: 80 }, { name: 'http', port: 81 }],
      }),
      [one],
    );
    assert.deepEqual(
      services.map((spec) => [spec.name, ...backendsOf(spec)]),
      [
        ['default/web', '10.244.0.1 7070'],
        ['default/web:http/UDP', '10.244.0.1 9090'],
        ['default/web:http', '10.244.0.1 8080'],
      ],
    );
    assert.deepEqual(warnings, []);
  });

  it('of an address with several ports are several', () => {
    const a = slice([endpoint('10.244.0.1')], named('a'));
    const b = slice([endpoint('10.244.0.1')], { ...named('b'), ports: [{ name: 'http', port: 8081 }] });
    assert.deepEqual(of(a, b), ['10.244.0.1 8080', '10.244.0.1 8081']);
  });

  it('are of the family of their slice; names are ignored', () => {
    const fqdn = slice([endpoint('web.example')], { ...named('f'), addressType: 'FQDN' });
    assert.deepEqual(translateAll(service(), [fqdn]), translateAll(service()));
    const wrong = slice([endpoint('fd00::1'), endpoint('web.example'), endpoint('10.244.0.1')]);
    const { services, warnings } = translateAll(service(), [wrong]);
    assert.deepEqual(services.flatMap(backendsOf), ['10.244.0.1 8080']);
    assert.deepEqual(
      warnings.map(({ reason, object }) => [reason, object.kind, object.name]),
      [['InvalidAddress', 'EndpointSlice', 'web-1']],
    );
    const others = slice([endpoint('nonsense')], {}, 'other');
    assert.deepEqual(translateAll(service(), [others]), translateAll(service()));
  });

  it('of an address type that is none are ignored, whatever its name', () => {
    for (const addressType of ['constructor', 'toString', '__proto__'])
      assert.deepEqual(
        translateAll(service(), [slice([endpoint('10.244.0.1')], { addressType })]).warnings,
        [],
      );
    const { services, warnings } = translateAll(service({ ipFamilies: ['constructor'] }));
    assert.deepEqual([services, warnings], [[], []]);
  });

  it('are not here where nobody knows what here is', () => {
    const objects = [slice([endpoint('10.244.0.1'), endpoint('10.244.0.2', { nodeName: '' })])];
    for (const nodeName of ['', undefined])
      assert.deepEqual(
        translateAll(service(), objects, { nodeName: malformed(nodeName) }).services.flatMap(backendsOf),
        ['10.244.0.1 8080', '10.244.0.2 8080'],
      );
  });

  it('without addresses are none; those of null conditions are ready', () => {
    const conditions = [
      undefined,
      {},
      malformed({ ready: null, serving: null, terminating: null }),
      { ready: true },
    ];
    const ready = conditions.map((c, i) =>
      malformed<ReturnType<typeof endpoint>>({ ...endpoint(`10.244.0.${i + 1}`), conditions: c }),
    );
    assert.deepEqual(of(slice([{ addresses: [] }, malformed({}), ...ready])), [
      '10.244.0.1 8080',
      '10.244.0.2 8080',
      '10.244.0.3 8080',
      '10.244.0.4 8080',
    ]);
  });

  it('that are not ready are left out, but for those that serve while they terminate', () => {
    assert.deepEqual(
      of(
        slice([
          endpoint('10.244.0.1', unready),
          endpoint('10.244.0.2', { conditions: { ready: false, serving: true } }),
          endpoint('10.244.0.3', gone),
          endpoint('10.244.0.4', terminating),
        ]),
      ),
      ['10.244.0.4 8080 terminating'],
    );
  });

  it('that are said to be ready are trusted, even while they terminate (publishNotReadyAddresses)', () => {
    const conditions = { ready: true, serving: false, terminating: true };
    assert.deepEqual(of(slice([endpoint('10.244.0.1', { conditions })])), ['10.244.0.1 8080']);
  });

  describe('that are there twice', () => {
    const lists = {
      'are one': [endpoint('10.244.0.1'), endpoint('10.244.0.1'), ['10.244.0.1 8080']],
      'do not terminate while one record says so': [
        endpoint('10.244.0.1', terminating),
        endpoint('10.244.0.1'),
        ['10.244.0.1 8080'],
      ],
      'do not serve while one record says that they will': [
        endpoint('10.244.0.1', terminating),
        endpoint('10.244.0.1', unready),
        [],
      ],
      'are ready if one record says so': [
        endpoint('10.244.0.1', unready),
        endpoint('10.244.0.1'),
        ['10.244.0.1 8080'],
      ],
      'are local if one record says so': [
        endpoint('10.244.0.1'),
        local('10.244.0.1'),
        ['10.244.0.1 8080 local'],
      ],
    } as const;
    for (const [title, [one, two, expected]] of Object.entries(lists)) {
      it(title, () => {
        assert.deepEqual(of(slice([one, two])), expected);
        assert.deepEqual(of(slice([two, one])), expected);
        assert.deepEqual(of(slice([one], named('a')), slice([two], named('b'))), expected);
        assert.deepEqual(of(slice([one], named('b')), slice([two], named('a'))), expected);
      });
    }

    it('in sloppy forms are one', () => {
      assert.deepEqual(of(slice([endpoint('10.180.00.001'), endpoint('10.180.0.1')])), ['10.180.0.1 8080']);
    });
  });

  it('of labels that hide their slice are none', () => {
    const labels = { 'kubernetes.io/service-name': 'web', 'service.kubernetes.io/headless': '' };
    assert.deepEqual(of(slice([endpoint('10.244.0.1')], { metadata: { labels } })), []);
  });
});
