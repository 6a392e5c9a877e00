import assert from 'node:assert/strict';

import { planServices } from '../../lib/plan';
import { defineService } from '../../lib/service-definition';
import { ServiceTable } from '../../lib/service-table';
import { Transaction } from '../../lib/transaction';

const service = (name: string, address: string, ...backends: string[]) =>
  defineService({
    name,
    frontends: [
      { type: 'ClusterIP', address, port: 80 },
      { type: 'NodePort', port: 30000 + Number(address.split(/[.:]/).at(-1)) },
    ],
    backends: backends.map((address) => ({ address, port: 80 })),
  });

describe('plan', () => {
  const table = new ServiceTable({ frontends: 8, backends: 16 }, new Set());
  const tx = new Transaction(table);
  tx.put(service('same', '10.96.0.1', '10.0.0.1'));
  tx.put(service('other', '10.96.0.2', '10.0.0.2'));
  tx.put(service('gone', 'fd00:96::3', 'fd00::3'));
  tx.accept();

  it('tells what is added, changed, removed and unchanged, and what it takes', () => {
    const desired = [
      service('new', 'fd00:96::4', 'fd00::4', 'fd00::5'),
      service('other', '10.96.0.2', '10.0.0.2', '10.0.0.3'),
      service('same', '10.96.0.1', '::ffff:10.0.0.1'),
    ];
    assert.deepEqual(planServices(desired, table), {
      added: ['new'],
      changed: ['other'],
      removed: ['gone'],
      unchanged: 1,
      entries: {
        services4: { need: 4, have: 8 },
        services6: { need: 2, have: 8 },
        backends: { need: 5, have: 16 },
      },
    });
  });

  it('of nothing removes everything', () => {
    const { added, changed, removed, unchanged } = planServices([], table);
    assert.deepEqual(
      { added, changed, removed, unchanged },
      {
        added: [],
        changed: [],
        removed: ['same', 'other', 'gone'],
        unchanged: 0,
      },
    );
  });

  it('changes nothing', () => {
    planServices([], table);
    assert.deepEqual([...table.records.keys()], ['same', 'other', 'gone']);
  });
});
