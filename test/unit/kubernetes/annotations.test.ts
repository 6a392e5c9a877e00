import assert from 'node:assert/strict';

import { matches, parseLabelSelector } from '../../../lib/kubernetes/labels';
import { endpoint, frontendsOf, service, slice, translateAll, translateOne } from './fixtures';

const ours = 'service.bpf-lb.io/';
const alias = 'service.cilium.io/';

function annotated(annotations: Record<string, string>, spec = {}) {
  const ports = [{ name: 'http', port: 80, nodePort: 30080 }];
  return service({ externalIPs: ['198.51.100.8'], ports, ...spec }, [{ ip: '198.51.100.7' }], {
    annotations,
  });
}

describe('kubernetes: annotations', () => {
  for (const prefix of [ours, alias]) {
    it(`choose the algorithm, below ${prefix}`, () => {
      for (const algorithm of ['random', 'maglev', 'least-connections'])
        assert.equal(translateOne(annotated({ [`${prefix}lb-algorithm`]: algorithm })).algorithm, algorithm);
    });

    it(`choose what source ranges mean, below ${prefix}`, () => {
      const ranges = { loadBalancerSourceRanges: ['203.0.113.0/24'] };
      for (const policy of ['allow', 'deny']) {
        const object = annotated({ [`${prefix}src-ranges-policy`]: policy }, ranges);
        assert.equal(translateOne(object).sourceRangesPolicy, policy);
      }
    });

    it(`choose the types of frontends, below ${prefix}`, () => {
      const made = (type: string) =>
        translateAll(annotated({ [`${prefix}type`]: type })).services.flatMap(({ frontends }) =>
          frontends.map((f) => f.type),
        );
      assert.deepEqual(made('ClusterIP'), ['ClusterIP']);
      assert.deepEqual(made('LoadBalancer, NodePort'), ['LoadBalancer', 'NodePort']);
      assert.deepEqual(made('ClusterIP,NodePort,LoadBalancer,ExternalIPs').length, 4);
      assert.deepEqual(made('Loadbalancer'), []);
    });

    it(`choose the nodes that serve, below ${prefix}`, () => {
      const served = (annotations: Record<string, string>, nodeLabels: Record<string, string>) =>
        translateAll(annotated(annotations), [], { nodeLabels }).services.length > 0;
      for (const label of [ours, alias]) {
        assert.equal(served({ [`${prefix}node`]: 'edge' }, { [`${label}node`]: 'edge' }), true);
        assert.equal(served({ [`${prefix}node`]: 'edge' }, { [`${label}node`]: 'core' }), false);
      }
      assert.equal(served({ [`${prefix}node`]: 'edge' }, {}), false);
      const selector = { [`${prefix}node-selector`]: 'tier in (edge, dmz), !old', [`${prefix}node`]: 'x' };
      assert.equal(served(selector, { tier: 'dmz' }), true);
      assert.equal(served(selector, { tier: 'dmz', old: '' }), false);
      assert.equal(served({ [`${prefix}node-selector`]: 'in (' }, {}), false);
    });
  }

  it('below our own prefix come first', () => {
    const both = { [`${alias}lb-algorithm`]: 'random', [`${ours}lb-algorithm`]: 'maglev' };
    assert.equal(translateOne(annotated(both)).algorithm, 'maglev');
    const reversed = Object.fromEntries(Object.entries(both).reverse());
    assert.equal(translateOne(annotated(reversed)).algorithm, 'maglev');
  });

  it('can have another prefix', () => {
    const annotationPrefix = 'lb.example.com/';
    const object = annotated({ 'lb.example.com/lb-algorithm': 'maglev', [`${ours}lb-algorithm`]: 'random' });
    assert.equal(translateOne(object, [], { annotationPrefix }).algorithm, 'maglev');
  });

  it('ask for source NAT in vain for anything else', () => {
    assert.deepEqual(translateAll(annotated({ [`${alias}forwarding-mode`]: 'snat' })).warnings, []);
    const { services, warnings } = translateAll(annotated({ [`${alias}forwarding-mode`]: 'dsr' }));
    assert.equal(services.length, 1);
    assert.deepEqual(
      warnings.map(({ reason, message }) => [reason, message]),
      [['UnsupportedAnnotation', "forwarding-mode 'dsr': snat is used"]],
    );
  });

  it('that are not known, or whose value is not, are named', () => {
    for (const [annotation, value, reason] of [
      [`${ours}lb-algorithm`, 'round-robin', 'InvalidAnnotation'],
      [`${ours}src-ranges-policy`, 'none', 'InvalidAnnotation'],
      [`${ours}type`, 'ExternalName', 'InvalidAnnotation'],
      [`${ours}node-selector`, 'a=b=c', 'InvalidAnnotation'],
      [`${ours}lb-algoritm`, 'maglev', 'UnsupportedAnnotation'],
      [`${alias}global`, 'true', 'UnsupportedAnnotation'],
    ] as const) {
      const { warnings } = translateAll(annotated({ [annotation]: value }));
      assert.deepEqual(
        warnings.map((warning) => warning.reason),
        [reason],
        annotation,
      );
    }
    assert.deepEqual(translateAll(annotated({ 'example.com/lb-algorithm': 'x', note: 'y' })).warnings, []);
  });

  it('leave backends of a family out that no frontend is left in', () => {
    const dual = { clusterIPs: ['10.96.0.10', 'fd00::10'], ipFamilies: ['IPv4', 'IPv6'] };
    const metadata = { name: 'web-6', labels: { 'kubernetes.io/service-name': 'web' } };
    const slices = [
      slice([endpoint('10.244.0.1')]),
      slice([endpoint('fd00:1::1')], { addressType: 'IPv6', metadata }),
    ];
    const families = (type: string) =>
      translateOne(annotated({ [`${ours}type`]: type }, dual), slices).backends.map(({ address }) => address);
    assert.deepEqual(families('LoadBalancer,NodePort'), ['10.244.0.1']);
    assert.deepEqual(families('NodePort'), ['10.244.0.1', 'fd00:1::1']);
    assert.deepEqual(frontendsOf(translateOne(annotated({ [`${ours}type`]: 'NodePort' }, dual), slices)), [
      'NodePort * 30080/TCP',
    ]);
  });
});

describe('kubernetes: label selectors', () => {
  const labels = new Map([
    ['zone', 'west'],
    ['example.com/tier', 'edge'],
    ['empty', ''],
  ]);
  for (const [selector, expected] of [
    ['zone=west', true],
    ['zone==west', true],
    ['zone = west', true],
    ['zone=east', false],
    ['zone!=east', true],
    ['zone!=west', false],
    ['missing!=x', true],
    ['missing=', false],
    ['empty=', true],
    ['empty', true],
    ['zone in (east,west)', true],
    ['zone in (east)', false],
    ['zone notin (east, north)', true],
    ['zone notin (west)', false],
    ['missing notin (west)', true],
    ['missing in (west)', false],
    ['example.com/tier', true],
    ['!example.com/tier', false],
    ['!missing', true],
    ['constructor', false],
    ['zone=west,example.com/tier in (edge,core),!missing', true],
    ['zone=west,example.com/tier in (core)', false],
  ] as const) {
    it(`${selector} ${expected ? 'matches' : 'does not match'}`, () => {
      const requirements = parseLabelSelector(selector);
      assert.ok(requirements);
      assert.equal(matches(labels, requirements), expected);
    });
  }

  for (const selector of ['', ',', 'a=b,', 'a b', 'a in b', 'a in (b', 'a=b=c', '=b', '!', 'a in (b))'])
    it(`${JSON.stringify(selector)} is none`, () => {
      assert.equal(parseLabelSelector(selector), undefined);
    });
});
