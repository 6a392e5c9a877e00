import assert from 'node:assert/strict';

import fc from 'fast-check';

import { ClusterState } from '../../../lib/kubernetes';
import { defineService } from '../../../lib/service-definition';
import { ServiceTable } from '../../../lib/service-table';
import { Transaction } from '../../../lib/transaction';
import { Objects, steps } from './events';
import { thisNode } from './fixtures';

/** The tables of a LoadBalancer, which refuse what may not be. */
class Node {
  readonly table = new ServiceTable({ frontends: 1000, backends: 10_000 }, new Set());

  follow(cluster: ClusterState): void {
    const { full, upserted, deleted } = cluster.take() ?? assert.fail('it is synced');
    const transaction = new Transaction(this.table);
    for (const name of deleted) transaction.remove(name);
    if (full) this.#forget(transaction, new Set(upserted.map(({ name }) => name)));
    for (const spec of upserted) transaction.put(defineService(spec));
    transaction.accept();
  }

  /** A full change comes in no order: all that is there gives its frontends away. */
  #forget(transaction: Transaction, desired: ReadonlySet<string>): void {
    for (const name of this.table.records.keys()) {
      if (desired.has(name)) transaction.disown(name);
      else transaction.remove(name);
    }
  }
}

describe('kubernetes: cluster state, after any sequence of events', () => {
  it('is as if it had only seen the end; and each change can be carried out as it is given', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const [objects, cluster, node] = [
          new Objects(),
          new ClusterState({ nodeName: thisNode }),
          new Node(),
        ];
        objects.list(cluster);
        for (const step of sequence) {
          if (step === 'take') {
            node.follow(cluster);
          } else if (step === 'relist') {
            objects.list(cluster);
          } else if (step === 'resync') {
            cluster.resync();
          } else {
            objects.change(step.type, step.object);
            cluster.apply(step.type, step.object);
          }
        }
        const fresh = new ClusterState({ nodeName: thisNode });
        objects.list(fresh);
        assert.deepEqual(cluster.services, fresh.services);
        assert.deepEqual(sorted(cluster.warnings), sorted(fresh.warnings));
        assert.deepEqual(sorted(cluster.healthChecks), sorted(fresh.healthChecks));
        assert.deepEqual(cluster.noLocalEndpoints, fresh.noLocalEndpoints);
        assert.deepEqual(cluster.node, fresh.node);
        node.follow(cluster);
        assert.deepEqual(
          new Map([...node.table.records].map(([name, { definition }]) => [name, definition])),
          new Map([...fresh.services].map(([name, spec]) => [name, defineService(spec)])),
        );
        const { upserted, deleted, warnings } = cluster.take() ?? assert.fail('it is synced');
        assert.deepEqual([upserted, deleted, warnings], [[], [], []]);
      }),
      { numRuns: 500 },
    );
  });
});

function sorted(list: readonly object[]): string[] {
  return list.map((item) => JSON.stringify(item)).sort();
}
