import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { BackendState } from '../../lib';
import { type AliasTable, always } from '../../lib/alias-table';
import { selectBackends } from '../../lib/selection';
import { type BackendDefinition, defineService } from '../../lib/service-definition';

const states: BackendState[] = ['active', 'terminating', 'quarantined', 'maintenance'];

const backends = fc.uniqueArray(
  fc.record({
    address: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1', 'fd00::2', 'fd00::3'),
    port: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom(...states),
    local: fc.boolean(),
    clusterWide: fc.boolean(),
    weight: fc.constantFrom(0, 1, 1, 1, 5),
  }),
  { selector: ({ address, port }) => `${address} ${port}`, maxLength: 12 },
);

const dualStack = [
  { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
  { type: 'ClusterIP', address: 'fd00:96::1', port: 80 },
] as const;

/** The rule, said another way: `active` ones if there are any, else terminating ones; nobody without a weight. */
function usable(
  list: readonly BackendDefinition[],
  active: (b: BackendDefinition) => boolean = () => true,
): Set<BackendDefinition> {
  const of = (state: BackendState) => list.filter((b) => b.state === state && b.weight > 0);
  const first = of('active').filter(active);
  return new Set(first.length > 0 ? first : of('terminating'));
}

/** How much of all draws each backend of a list gets, by the alias method. */
function sharesOf(count: number, at: number, { threshold, alias }: AliasTable): number[] {
  const shares = new Array<number>(count).fill(0);
  for (let i = 0; i < count; i++) {
    const kept = threshold[at + i] === always ? 1 : (threshold[at + i] as number) / 2 ** 32;
    shares[i] = (shares[i] as number) + kept / count;
    const other = alias[at + i] as number;
    shares[other] = (shares[other] as number) + (1 - kept) / count;
  }
  return shares;
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
          assert.deepEqual(
            new Set(cluster),
            usable(ofFamily, (b) => b.clusterWide),
          );
          assert.deepEqual(new Set(local), usable(ofFamily.filter((b) => b.local)));
          assert.equal(new Set(cluster).size, count, 'nobody is on offer twice');
          assert.equal(new Set(local).size, localCount);
          if (!selection.weights)
            assert.equal(new Set(backends).size, backends.length, 'nobody is there twice');
          assert.equal(cluster.length, count);
          assert.equal(local.length, localCount);
          assert.equal(selection.usable, usable(ofFamily).size > 0, 'topology hides nobody from the verdict');
        }),
        { numRuns: 2000 },
      );
    });

    it(`gives each backend its share of both lists, IPv${family}`, () => {
      fc.assert(
        fc.property(backends, (specs) => {
          const definition = defineService({ name: 'web', frontends: dualStack, backends: specs });
          const { backends, count, localOffset, localCount, weights } = selectBackends(definition, family);
          for (const [at, n] of [
            [0, count],
            [localOffset, localCount],
          ] as const) {
            const list = backends.slice(at, at + n);
            const total = list.reduce((sum, { weight }) => sum + weight, 0);
            const even = { threshold: new Uint32Array(at + n).fill(always), alias: new Uint32Array(at + n) };
            sharesOf(n, at, weights ?? even).forEach((share, i) => {
              assert.ok(Math.abs(share - (list[i] as BackendDefinition).weight / total) < 1e-6);
            });
          }
        }),
        { numRuns: 2000 },
      );
    });
  }

  it('has an order for Maglev that does not depend on the order in which it was told', () => {
    fc.assert(
      fc.property(backends, fc.infiniteStream(fc.nat()), (specs, random) => {
        const shuffled = specs
          .map((spec) => ({ spec, key: random.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ spec }) => spec);
        const [one, other] = [specs, shuffled].map((list) => {
          const definition = defineService({ name: 'web', frontends: dualStack, backends: list });
          return selectBackends(definition, 4, 'maglev');
        });
        assert.deepEqual(one, other);
      }),
    );
  });

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

  it('keeps a backend that topology leaves to other nodes for policy Local, behind those that both lists have', () => {
    const definition = defineService({
      name: 'web',
      frontends: dualStack,
      backends: [
        { address: '10.0.0.1', port: 80, local: true, clusterWide: false },
        { address: '10.0.0.2', port: 80 },
        { address: '10.0.0.3', port: 80, local: true },
        { address: '10.0.0.4', port: 80, clusterWide: false },
      ],
    });
    const { backends, ...counts } = selectBackends(definition, 4);
    assert.deepEqual(
      backends.map(({ address }) => address),
      ['10.0.0.2', '10.0.0.3', '10.0.0.1'],
    );
    assert.deepEqual(counts, { count: 2, localOffset: 1, localCount: 2, usable: true });
  });

  it('counts a backend that is on offer to nobody here as one that exists', () => {
    const backends = [{ address: '10.0.0.1', port: 80, clusterWide: false }];
    const selection = selectBackends(defineService({ name: 'web', frontends: dualStack, backends }), 4);
    assert.deepEqual(selection, { backends: [], count: 0, localOffset: 0, localCount: 0, usable: true });
  });

  it('gives terminating backends their last resort whatever topology says', () => {
    const backends = [
      { address: '10.0.0.1', port: 80, state: 'terminating', clusterWide: false },
      { address: '10.0.0.2', port: 80, state: 'quarantined' },
    ] as const;
    const selection = selectBackends(defineService({ name: 'web', frontends: dualStack, backends }), 4);
    assert.deepEqual(
      selection.backends.map(({ address }) => address),
      ['10.0.0.1'],
    );
  });
});
