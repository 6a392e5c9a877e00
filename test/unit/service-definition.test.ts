import assert from 'node:assert/strict';
import { inspect } from 'node:util';

import fc from 'fast-check';

import type { FrontendSpec, ServiceSpec } from '../../lib';
import { LoadBalancerError } from '../../lib/errors';
import { defineService, sameService } from '../../lib/service-definition';

const good: ServiceSpec = {
  name: 'web',
  frontends: [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }],
  backends: [{ address: '10.244.0.1', port: 8080 }],
};

function define(changes: object): ReturnType<typeof defineService> {
  return defineService({ ...good, ...changes });
}

const frontend = (changes: object) => ({ frontends: [{ ...good.frontends[0], ...changes }] });
const backend = (changes: object) => ({ backends: [{ ...good.backends[0], ...changes }] });

function shorten(text: string): string {
  return text.length > 90 ? `${text.slice(0, 90)}…` : text;
}

describe('service definitions', () => {
  it('fill in defaults and are canonical', () => {
    assert.deepEqual(
      defineService({
        name: 'web',
        frontends: [
          { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
          { type: 'LoadBalancer', address: '2001:DB8::0:1', port: 53, protocol: 'UDP' },
        ],
        backends: [
          { address: '::ffff:10.244.0.1', port: 8080 },
          {
            address: '2001:db8:0::9',
            port: 53,
            weight: 0,
            state: 'terminating',
            local: true,
            clusterWide: false,
          },
        ],
        externalTrafficPolicy: 'Local',
      }),
      {
        name: 'web',
        frontends: [
          {
            type: 'ClusterIP',
            family: 4,
            address: '10.96.0.1',
            port: 80,
            protocol: 'TCP',
            key: '10.96.0.1:80/TCP',
          },
          {
            type: 'LoadBalancer',
            family: 6,
            address: '2001:db8::1',
            port: 53,
            protocol: 'UDP',
            key: '[2001:db8::1]:53/UDP',
          },
        ],
        backends: [
          {
            family: 4,
            address: '10.244.0.1',
            port: 8080,
            weight: 1,
            state: 'active',
            local: false,
            clusterWide: true,
          },
          {
            family: 6,
            address: '2001:db8::9',
            port: 53,
            weight: 0,
            state: 'terminating',
            local: true,
            clusterWide: false,
          },
        ],
        externalTrafficPolicy: 'Local',
        internalTrafficPolicy: 'Cluster',
        algorithm: undefined,
        maglevTableSize: undefined,
        affinityTimeout: 0,
        sourceRanges: [],
        sourceRangesPolicy: 'allow',
        slowStart: 0,
        resetOnRemoval: false,
      },
    );
  });

  it('take how backends are chosen, and for whom', () => {
    const { algorithm, maglevTableSize, affinityTimeout, sourceRanges, sourceRangesPolicy } = define({
      algorithm: 'maglev',
      maglevTableSize: 65_537,
      sessionAffinity: 'ClientIP',
      sourceRanges: ['192.0.2.1/24', '2001:db8::/32', ' 192.0.2.0/24 '],
      sourceRangesPolicy: 'deny',
    });
    assert.deepEqual([algorithm, maglevTableSize], ['maglev', 65_537]);
    assert.equal(affinityTimeout, 10_800);
    assert.deepEqual(
      sourceRanges.map(({ text }) => text),
      ['192.0.2.0/24', '2001:db8::/32'],
    );
    assert.equal(sourceRangesPolicy, 'deny');
  });

  it('keep a timeout of session affinity only where there is affinity', () => {
    assert.equal(define({ sessionAffinityTimeout: 5 }).affinityTimeout, 0);
    assert.equal(define({ sessionAffinity: 'None', sessionAffinityTimeout: 5 }).affinityTimeout, 0);
    assert.equal(define({ sessionAffinity: 'ClientIP', sessionAffinityTimeout: 5 }).affinityTimeout, 5);
  });

  it('SCTP is balanced', () => {
    assert.equal(define(frontend({ protocol: 'SCTP' })).frontends[0]?.key, '10.96.0.1:80/SCTP');
  });

  describe('wildcards', () => {
    const nodePort: FrontendSpec = { type: 'NodePort', port: 30080 };
    const keys = (frontends: FrontendSpec[], ...backends: string[]) =>
      defineService({
        name: 'web',
        frontends,
        backends: backends.map((address) => ({ address, port: 80 })),
      }).frontends.map(({ key }) => key);

    it('exist in the families of the other frontends', () => {
      const of = (address: string): FrontendSpec => ({ type: 'ClusterIP', address, port: 80 });
      assert.deepEqual(keys([of('10.96.0.1'), nodePort]), ['10.96.0.1:80/TCP', '0.0.0.0:30080/TCP']);
      assert.deepEqual(keys([of('fd00::1'), nodePort]), ['[fd00::1]:80/TCP', '[::]:30080/TCP']);
      assert.deepEqual(keys([of('fd00::1'), of('10.96.0.1'), nodePort]).slice(2), [
        '0.0.0.0:30080/TCP',
        '[::]:30080/TCP',
      ]);
    });

    it('exist in the families of the backends when there is no other frontend', () => {
      assert.deepEqual(keys([nodePort], '10.0.0.1'), ['0.0.0.0:30080/TCP']);
      assert.deepEqual(keys([nodePort], 'fd00::1'), ['[::]:30080/TCP']);
      assert.deepEqual(keys([nodePort], 'fd00::1', '10.0.0.1'), ['0.0.0.0:30080/TCP', '[::]:30080/TCP']);
    });

    it('exist in both families when nothing tells', () => {
      assert.deepEqual(keys([nodePort]), ['0.0.0.0:30080/TCP', '[::]:30080/TCP']);
      assert.deepEqual(keys([{ type: 'HostPort', port: 80, protocol: 'UDP' }]), [
        '0.0.0.0:80/UDP',
        '[::]:80/UDP',
      ]);
    });
  });

  const bad: Record<string, [changes: object, what: RegExp][]> = {
    ERR_BPF_INVALID_NAME: [
      [{ name: '' }, /a name/],
      [{ name: ' \t' }, /a name/],
      [{ name: undefined }, /a name/],
      [{ name: 7 }, /a name/],
    ],
    ERR_BPF_INVALID_ADDRESS: [
      [frontend({ address: '10.96.0' }), /frontends\[0\]\.address: '10\.96\.0' is not an IP address/],
      [frontend({ address: undefined }), /frontends\[0\]\.address: undefined/],
      [frontend({ address: '127.0.0.1' }), /loopback/],
      [frontend({ address: '::1' }), /loopback/],
      [frontend({ type: 'ExternalIPs', address: '127.9.9.9' }), /loopback/],
      [frontend({ type: 'LoadBalancer', address: '0.0.0.0' }), /every address/],
      [frontend({ type: 'HostPort', address: '::' }), /every address/],
      [frontend({ address: 'ff02::1' }), /unicast/],
      [backend({ address: 'example.org' }), /backends\[0\]\.address: 'example\.org'/],
      [backend({ address: undefined }), /backends\[0\]\.address: undefined/],
      [backend({ address: '10.0.0.1:80' }), /backends\[0\]/],
      [{ sourceRanges: ['10.0.0.0/8', '10.0.0.0/33'] }, /sourceRanges\[1\]: '10\.0\.0\.0\/33'/],
      [{ sourceRanges: [null] }, /sourceRanges\[0\]: null/],
    ],
    ERR_BPF_INVALID_PORT: [
      [frontend({ port: 0 }), /frontends\[0\]\.port: 0 is not a port/],
      [frontend({ port: 70000 }), /70000 is not a port/],
      [frontend({ port: 65536 }), /65536/],
      [frontend({ port: -1 }), /-1/],
      [frontend({ port: 80.5 }), /80\.5/],
      [frontend({ port: NaN }), /NaN/],
      [frontend({ port: '80' }), /'80'/],
      [frontend({ port: undefined }), /undefined/],
      [backend({ port: 0 }), /backends\[0\]\.port: 0/],
      [backend({ port: 70000 }), /backends\[0\]\.port: 70000/],
      [backend({ port: 80n }), /80n/],
    ],
    ERR_BPF_INVALID_PROTOCOL: [
      [frontend({ protocol: 'DCCP' }), /frontends\[0\]\.protocol: 'DCCP'/],
      [frontend({ protocol: 'tcp' }), /'tcp'/],
      [frontend({ protocol: 6 }), /6 is not balanced/],
      [frontend({ protocol: null }), /null/],
    ],
    ERR_BPF_INVALID_FRONTEND: [
      [{ frontends: [] }, /at least one frontend/],
      [{ frontends: undefined }, /at least one frontend/],
      [{ frontends: 'all' }, /at least one frontend/],
      [{ frontends: [null] }, /frontends\[0\] needs a type/],
      [{ frontends: [7] }, /frontends\[0\] needs a type/],
      [frontend({ type: 'ExternalName' }), /frontends\[0\] needs a type/],
      [frontend({ type: undefined }), /frontends\[0\] needs a type/],
      [frontend({ type: 'NodePort' }), /a NodePort has no address/],
    ],
    ERR_BPF_INVALID_BACKEND: [
      [{ backends: undefined }, /array of backends/],
      [{ backends: {} }, /array of backends/],
      [{ backends: [undefined] }, /backends\[0\] is not an object/],
      [{ backends: ['10.0.0.1:80'] }, /backends\[0\] is not an object/],
      [backend({ weight: -1 }), /backends\[0\]\.weight: -1/],
      [backend({ weight: 65536 }), /65536/],
      [backend({ weight: 1.5 }), /1\.5/],
      [backend({ weight: '2' }), /'2'/],
      [backend({ state: 'gone' }), /backends\[0\]\.state: 'gone'/],
      [backend({ clusterWide: 'no' }), /backends\[0\]\.clusterWide: 'no'/],
      [{ backends: [good.backends[0], good.backends[0]] }, /10\.244\.0\.1:8080 is there twice/],
      [{ backends: [good.backends[0], { address: '::ffff:10.244.0.1', port: 8080 }] }, /twice/],
      [
        { backends: [...Array(40).keys(), 7].map((i) => ({ address: `10.244.0.${i + 1}`, port: 80 })) },
        /10\.244\.0\.8:80 is there twice/,
      ],
    ],
    ERR_BPF_DUPLICATE_FRONTEND: [
      [{ frontends: [good.frontends[0], good.frontends[0]] }, /10\.96\.0\.1:80\/TCP twice/],
      [{ frontends: [good.frontends[0], { ...good.frontends[0], type: 'ExternalIPs' }] }, /twice/],
      [
        {
          frontends: [
            { type: 'NodePort', port: 30080 },
            { type: 'HostPort', port: 30080 },
          ],
        },
        /0\.0\.0\.0:30080\/TCP twice/,
      ],
    ],
    ERR_BPF_MIXED_FAMILIES: [
      [{ backends: [{ address: 'fd00::1', port: 80 }] }, /backend \[fd00::1\]:80 is IPv6/],
      [{ backends: [...good.backends, { address: 'fd00::1', port: 80 }] }, /\[fd00::1\]:80/],
      [frontend({ address: 'fd00::1' }), /backend 10\.244\.0\.1:8080 is IPv4/],
    ],
    ERR_BPF_INVALID_OPTION: [
      [{ externalTrafficPolicy: 'local' }, /externalTrafficPolicy: 'local'/],
      [{ internalTrafficPolicy: 1 }, /internalTrafficPolicy: 1/],
      [{ algorithm: 'round-robin' }, /algorithm: 'round-robin' is not an algorithm/],
      [{ algorithm: null }, /algorithm: null/],
      [{ maglevTableSize: 252 }, /maglevTableSize: 252 is not a prime/],
      [{ maglevTableSize: 241 }, /maglevTableSize: 241/],
      [{ maglevTableSize: 131_101 }, /maglevTableSize: 131101/],
      [{ maglevTableSize: '251' }, /maglevTableSize: '251'/],
      [{ sessionAffinity: 'Cookie' }, /sessionAffinity: 'Cookie'/],
      [{ sessionAffinity: 'ClientIP', sessionAffinityTimeout: 0 }, /sessionAffinityTimeout: 0/],
      [{ sessionAffinityTimeout: 86_401 }, /sessionAffinityTimeout: 86401/],
      [{ sessionAffinityTimeout: 1.5 }, /sessionAffinityTimeout: 1\.5/],
      [{ sourceRanges: '10.0.0.0/8' }, /sourceRanges: '10\.0\.0\.0\/8' is not an array/],
      [{ slowStart: -1 }, /slowStart: -1/],
      [{ slowStart: '30s' }, /slowStart: '30s'/],
      [{ sourceRangesPolicy: 'reject' }, /sourceRangesPolicy: 'reject'/],
    ],
  };

  for (const [code, cases] of Object.entries(bad)) {
    describe(code, () => {
      for (const [changes, what] of cases) {
        it(shorten(inspect(changes).replace(/\s+/g, ' ')), () => {
          assert.throws(() => define(changes), { name: 'LoadBalancerError', code, message: what });
        });
      }
    });
  }

  it('names the service in every message about one', () => {
    for (const cases of Object.values(bad)) {
      for (const [changes] of cases) {
        if ('name' in changes) continue;
        assert.throws(() => define(changes), /Service web/);
      }
    }
  });

  it('rejects what is no object', () => {
    for (const spec of [undefined, null, 7, 'web', () => good]) {
      assert.throws(() => defineService(spec as unknown as ServiceSpec), { code: 'ERR_BPF_INVALID_OPTION' });
    }
  });

  it('never fails in another way, whatever it is given', () => {
    const field = fc.anything({ withSparseArray: true, withBigInt: true });
    const list = fc.oneof(field, fc.array(field), fc.sparseArray(field, { maxNumElements: 3 }));
    const almost = fc.record(
      {
        type: fc.oneof(field, fc.constantFrom('ClusterIP', 'NodePort', 'HostPort')),
        address: fc.oneof(field, fc.ipV4(), fc.ipV6()),
        port: fc.oneof(field, fc.nat(70_000)),
        protocol: fc.oneof(field, fc.constantFrom('TCP', 'UDP')),
        weight: field,
        state: field,
      },
      { requiredKeys: [] },
    );
    const spec = fc.oneof(
      field,
      fc.record({
        name: fc.oneof(field, fc.string()),
        frontends: fc.oneof(list, fc.array(almost)),
        backends: fc.oneof(list, fc.array(almost)),
        externalTrafficPolicy: fc.oneof(fc.constant(undefined), field),
      }),
    );
    fc.assert(
      fc.property(spec, (input) => {
        try {
          const { frontends } = defineService(input as ServiceSpec);
          assert.ok(frontends.length > 0);
        } catch (error) {
          assert.ok(error instanceof LoadBalancerError, String(error));
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('take a copy of what they are given', () => {
    const backends = [{ address: '10.244.0.1', port: 8080 }];
    const definition = define({ backends });
    (backends[0] as { port: number }).port = 9;
    backends.push({ address: '10.244.0.2', port: 8080 });
    assert.deepEqual(
      definition.backends.map(({ port }) => port),
      [8080],
    );
  });

  it('are the same when nothing would have to be written', () => {
    const definition = define({});
    assert.equal(sameService(definition, define({})), true);
    assert.equal(
      sameService(definition, define({ backends: [{ address: '::ffff:10.244.0.1', port: 8080 }] })),
      true,
    );
    for (const changes of [
      backend({ port: 81 }),
      backend({ address: '10.244.0.2' }),
      backend({ weight: 2 }),
      backend({ state: 'terminating' }),
      backend({ local: true }),
      backend({ clusterWide: false }),
      { backends: [] },
      frontend({ port: 81 }),
      frontend({ type: 'ExternalIPs' }),
      frontend({ protocol: 'UDP' }),
      { externalTrafficPolicy: 'Local' },
      { internalTrafficPolicy: 'Local' },
      { algorithm: 'maglev' },
      { maglevTableSize: 251 },
      { sessionAffinity: 'ClientIP' },
      { sourceRanges: ['192.0.2.0/24'] },
      { sourceRangesPolicy: 'deny' },
    ]) {
      assert.equal(sameService(definition, define(changes)), false, JSON.stringify(changes));
    }
  });
});
