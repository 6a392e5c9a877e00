import assert from 'node:assert/strict';

import { maglevTable } from '../../lib/maglev';
import { type MaglevPlacement, MaglevTables } from '../../lib/maglev-tables';
import { type BackendDefinition, defineService } from '../../lib/service-definition';

function backends(port: number, weights: readonly number[] = [1, 1, 1]): readonly BackendDefinition[] {
  return defineService({
    name: 'web',
    frontends: [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }],
    backends: weights.map((weight, i) => ({ address: `10.244.0.${i + 1}`, port, weight })),
  }).backends;
}

function acquire(tables: MaglevTables, list: readonly BackendDefinition[], size = 251): MaglevPlacement {
  const placement = tables.acquire(list, size);
  assert.ok(placement, 'there is room');
  return placement;
}

describe('Maglev tables', () => {
  it('are shared by services on the same pods, whatever their ports', () => {
    const tables = new MaglevTables(10_000);
    const first = acquire(tables, backends(8080));
    const { used } = tables;
    const second = acquire(tables, backends(9090));
    assert.deepEqual([second.first, second.size], [first.first, first.size]);
    assert.equal(tables.used, used);
  });

  it('are not shared by lists that differ in weights, members or size', () => {
    const tables = new MaglevTables(10_000);
    const placements = [
      acquire(tables, backends(8080)),
      acquire(tables, backends(8080, [2, 1, 1])),
      acquire(tables, backends(8080, [1, 1])),
      acquire(tables, backends(8080), 509),
    ];
    const ends = placements
      .map(({ first, size }) => [first, first + size] as const)
      .sort(([a], [b]) => a - b);
    for (const [i, [, end]] of ends.entries())
      assert.ok(end <= (ends[i + 1]?.[0] ?? Infinity), 'do not overlap');
  });

  it('tell backends apart by their ports where they share an address', () => {
    const tables = new MaglevTables(10_000);
    const list = [...backends(8080, [1]), ...backends(8081, [1])];
    const placement = acquire(tables, list);
    const [store] = tables.store(placement);
    assert.ok(store?.kind === 'store');
    const slots = new Uint16Array(Uint8Array.from(store.bytes).buffer).subarray(0, 251);
    const named = list.map(({ address, port }) => ({ id: `${address} ${port}`, weight: 1 }));
    assert.deepEqual(slots, maglevTable(named, 251));
  });

  it('are written once, when the kernel has taken them', () => {
    const tables = new MaglevTables(10_000);
    const placement = acquire(tables, backends(8080));
    assert.equal(tables.store(placement).length, 1);
    assert.equal(tables.store(placement).length, 1, 'the first store may have failed');
    tables.accept(placement);
    assert.deepEqual(tables.store(placement), []);
    assert.deepEqual(tables.store(acquire(tables, backends(9090))), []);
  });

  it('go with the last of their users', () => {
    const tables = new MaglevTables(10_000);
    const placements = [8080, 8081, 8082].map((port) => acquire(tables, backends(port)));
    const { used } = tables;
    for (const [i, placement] of placements.entries()) {
      assert.equal(tables.used, used, `with ${placements.length - i} users`);
      tables.release(placement);
    }
    assert.equal(tables.used, 0);
  });

  it('are written again after they have gone', () => {
    const tables = new MaglevTables(10_000);
    const placement = acquire(tables, backends(8080));
    tables.accept(placement);
    tables.release(placement);
    assert.equal(tables.store(acquire(tables, backends(8080))).length, 1);
  });

  it('say so when there is no room, and use what is given back', () => {
    const tables = new MaglevTables(600);
    const first = acquire(tables, backends(8080));
    const second = acquire(tables, backends(8080, [1, 1]));
    const { used } = tables;
    assert.equal(tables.acquire(backends(8080, [1]), 251), undefined);
    assert.equal(tables.used, used, 'what found no room takes none');
    acquire(tables, backends(9090));
    tables.release(second);
    const third = acquire(tables, backends(8080, [1]));
    assert.equal(third.first, second.first);
    assert.notEqual(third.first, first.first);
  });
});
