import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { BackendState } from '../../lib';
import { selectBackends } from '../../lib/selection';
import { type BackendDefinition, defineService } from '../../lib/service-definition';

const states: BackendState[] = ['active', 'terminating', 'quarantined', 'maintenance'];

const backends = fc.uniqueArray(
  fc.record({
    address: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1', 'fd00::2', 'fd00::3'),
    port: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom(...states),
    local: fc.boolean(),
  }),
  { selector: ({ address, port }) => `${address} ${port}`, maxLength: 12 },
);

const dualStack = [
  { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
  { type: 'ClusterIP', address: 'fd00:96::1', port: 80 },
] as const;

/** The rule, said another way: active ones if there are any, else terminating ones. */
function usable(list: readonly BackendDefinition[]): Set<BackendDefinition> {
  const of = (state: BackendState) => list.filter((backend) => backend.state === state);
  return new Set(of('active').length > 0 ? of('active') : of('terminating'));
}

describe('selection of backends', () => {
  for (const family of [4, 6] as const) {
    it(`offers what the rules say, to all and to policy Local, IPv${family}`, () => {
      fc.assert(
        fc.property(backends, (specs) => {
          const definition = defineService({ name: 'web', frontends: dualStack, backends: specs });
          const ofFamily = definition.backends.filter((b) => b.family === family);
          const selection = selectBackends(definition, family);
          const { backends, count, localOffset, localCount } = selection;
          const cluster = backends.slice(0, count);
          const local = backends.slice(localOffset, localOffset + localCount);
          assert.deepEqual(new Set(cluster), usable(ofFamily));
          assert.deepEqual(new Set(local), usable(ofFamily.filter((b) => b.local)));
          assert.equal(new Set(backends).size, backends.length, 'nobody is there twice');
          assert.equal(cluster.length, count);
          assert.equal(local.length, localCount);
          assert.equal(selection.usable, count > 0);
        }),
        { numRuns: 2000 },
      );
    });
  }

  it('puts terminating local backends behind active ones elsewhere', () => {
    const definition = defineService({
      name: 'web',
      frontends: dualStack,
      backends: [
        { address: '10.0.0.1', port: 80, state: 'terminating', local: true },
        { address: '10.0.0.2', port: 80 },
      ],
    });
    const { backends, ...counts } = selectBackends(definition, 4);
    assert.deepEqual(
      backends.map(({ address }) => address),
      ['10.0.0.2', '10.0.0.1'],
    );
    assert.deepEqual(counts, { count: 1, localOffset: 1, localCount: 1, usable: true });
  });
});
