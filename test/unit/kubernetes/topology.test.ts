import assert from 'node:assert/strict';

import {
  backendsOf,
  endpoint,
  local,
  service,
  slice,
  terminating,
  thisNode,
  translateOne,
  unready,
  zones,
} from './fixtures';

type Endpoints = Parameters<typeof slice>[0];

const forNode = (...names: string[]) => ({ hints: { forNodes: names.map((name) => ({ name })) } });
const offered = (endpoints: Endpoints, zone?: string) =>
  backendsOf(translateOne(service(), [slice(endpoints)], zone === undefined ? {} : { zone }));

describe('kubernetes: topology', () => {
  const [a, b] = ['10.244.0.1', '10.244.0.2'];

  it('offers the endpoints of the zone where every ready one has a hint', () => {
    const endpoints = [endpoint(a, zones('west')), endpoint(b, zones('east', 'north'))];
    assert.deepEqual(offered(endpoints, 'west'), [`${a} 8080`, `${b} 8080 elsewhere`]);
    assert.deepEqual(offered(endpoints, 'north'), [`${a} 8080 elsewhere`, `${b} 8080`]);
  });

  it('offers all where no hint names the zone, or the node has none', () => {
    const endpoints = [endpoint(a, zones('west')), endpoint(b, zones('east'))];
    for (const zone of ['south', '', undefined])
      assert.deepEqual(offered(endpoints, zone), [`${a} 8080`, `${b} 8080`]);
  });

  it('offers all where one ready endpoint has no hint', () => {
    for (const without of [{}, { hints: {} }, zones()])
      assert.deepEqual(offered([endpoint(a, zones('west')), endpoint(b, without)], 'east'), [
        `${a} 8080`,
        `${b} 8080`,
      ]);
  });

  it('does not ask endpoints that are not ready, neither for a hint nor by theirs', () => {
    const c = '10.244.0.3';
    assert.deepEqual(
      offered([endpoint(a, zones('west')), endpoint(b, zones('east')), endpoint(c, unready)], 'west'),
      [`${a} 8080`, `${b} 8080 elsewhere`],
    );
    assert.deepEqual(
      offered([endpoint(a, zones('west')), endpoint(c, { ...unready, ...zones('east') })], 'east'),
      [`${a} 8080`],
    );
  });

  it('prefers endpoints whose hints name the node, and falls back to the zone', () => {
    const both = (node: string, zone: string) => ({
      hints: { ...forNode(node).hints, ...zones(zone).hints },
    });
    assert.deepEqual(
      offered([local(a, both(thisNode, 'west')), endpoint(b, both('other', 'west'))], 'west'),
      [`${a} 8080 local`, `${b} 8080 elsewhere`],
    );
    assert.deepEqual(offered([endpoint(a, both('x', 'west')), endpoint(b, both('other', 'east'))], 'west'), [
      `${a} 8080`,
      `${b} 8080 elsewhere`,
    ]);
    assert.deepEqual(offered([endpoint(a, forNode(thisNode)), endpoint(b, {})], 'west'), [
      `${a} 8080`,
      `${b} 8080`,
    ]);
  });

  it('leaves policy Local alone: an endpoint here that is for other zones is local all the same', () => {
    assert.deepEqual(offered([local(a, zones('east')), endpoint(b, zones('west'))], 'west'), [
      `${a} 8080 local elsewhere`,
      `${b} 8080`,
    ]);
  });

  it('does not concern terminating endpoints', () => {
    assert.deepEqual(
      offered([endpoint(a, { ...terminating, ...zones('east') }), endpoint(b, zones('west'))], 'west'),
      [`${a} 8080 terminating`, `${b} 8080`],
    );
  });

  it('is a matter of each family, and of each port', () => {
    const dual = service({
      clusterIPs: ['10.96.0.10', 'fd00::10'],
      ipFamilies: ['IPv4', 'IPv6'],
    });
    const spec = translateOne(
      dual,
      [
        slice([endpoint(a, zones('west')), endpoint(b, zones('east'))]),
        slice([endpoint('fd00:1::1', zones('west')), endpoint('fd00:1::2')], {
          addressType: 'IPv6',
          metadata: { name: 'web-6', labels: { 'kubernetes.io/service-name': 'web' } },
        }),
      ],
      { zone: 'west' },
    );
    assert.deepEqual(backendsOf(spec), [
      `${a} 8080`,
      `${b} 8080 elsewhere`,
      'fd00:1::1 8080',
      'fd00:1::2 8080',
    ]);
  });
});
