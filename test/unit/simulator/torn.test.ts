import assert from 'node:assert/strict';

import { parseOptions } from '../../../lib/options';
import { defineService } from '../../../lib/service-definition';
import { ServiceTable } from '../../../lib/service-table';
import { settingsOperation } from '../../../lib/settings';
import { DecisionModule } from '../../../lib/simulator/decision-module';
import { Explainer } from '../../../lib/simulator/explainer';
import { KernelTables } from '../../../lib/simulator/kernel-tables';
import { parseQuery } from '../../../lib/simulator/query';
import type { ServiceSpec } from '../../../lib/spec';
import { Transaction } from '../../../lib/transaction';
import { KernelTables as PlainTables } from '../../support/kernel-tables';

const settings = settingsOperation(parseOptions({}), 0n);

const spec = (first: number, count: number): ServiceSpec => ({
  name: 'web',
  frontends: [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }],
  backends: Array.from({ length: count }, (_, i) => ({ address: `10.0.0.${first + i}`, port: 80 })),
});

/** The tables of a kernel, in which somebody changes something between two looks. */
class ChangingTables {
  readonly #plain = new PlainTables(64);
  #looks = 0;
  onLook: (look: number) => void = () => undefined;

  run(operations: Parameters<PlainTables['run']>[0], limit?: number): void {
    this.#plain.run(operations, limit);
  }

  reset(): void {
    this.#looks = 0;
  }

  lookup(map: string, key: Uint8Array): Uint8Array | undefined {
    this.onLook(this.#looks++);
    if (map === 'settings') return settings.kind === 'store' ? settings.bytes : undefined;
    const hash = this.#plain.hashes[map];
    if (hash) return hash.get(Buffer.from(key).toString('hex'));
    const array = this.#plain.arrays[map];
    if (!array || map === 'ports' || map === 'networks') return array;
    const size = 32;
    const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
    return array.subarray(index * size, (index + 1) * size);
  }
}

describe('explain() while another thread writes the tables', () => {
  const { question, ...asked } = parseQuery(
    { from: '10.0.1.1', to: '10.96.0.1', port: 80, socket: true, seed: 7 },
    () => 0,
  );

  it('tells the old state or the new one, at whatever look and after whatever write', () => {
    const module = new DecisionModule();
    const seen = new Set<string>();
    for (let look = 0; look < 12; look++) {
      for (let writes = 0; writes <= 4; writes++) {
        const kernel = new ChangingTables();
        const table = new ServiceTable({ frontends: 8, backends: 64 }, new Set());
        const first = new Transaction(table);
        first.put(defineService(spec(1, 3)));
        kernel.run(first.operations());
        first.accept();
        const change = new Transaction(table);
        change.put(defineService(spec(101, 2)));
        const operations = change.operations();
        kernel.reset();
        kernel.onLook = (at) => {
          if (at === look) kernel.run(operations, writes);
        };
        const tables = new KernelTables(module.memory, kernel);
        const verdict = new Explainer(module, tables, table, true).explain({ question, ...asked });
        assert.equal(verdict.verdict, 'forward');
        const all = [...verdict.candidates].sort().join();
        assert.ok(
          ['10.0.0.1:80,10.0.0.2:80,10.0.0.3:80', '10.0.0.101:80,10.0.0.102:80'].includes(all),
          `look ${look}, ${writes} writes: ${all}`,
        );
        assert.ok(verdict.candidates.includes(verdict.backend ?? ''));
        seen.add(all);
      }
    }
    assert.equal(seen.size, 2, 'both states were met');
  });

  it('gives up on a service that changes each time it is looked at', () => {
    const kernel = new ChangingTables();
    const table = new ServiceTable({ frontends: 8, backends: 64 }, new Set());
    const put = (first: number) => {
      const tx = new Transaction(table);
      tx.put(defineService(spec(first, 2)));
      kernel.run(tx.operations());
      tx.accept();
      table.reuse(table.takeRetired());
    };
    put(1);
    const module = new DecisionModule();
    let last = 1;
    /* Each look at a backend finds one of another state: ranges are used again at once. */
    const lookup = (map: string, key: Uint8Array) => {
      if (map === 'backends') {
        put((last++ % 100) + 1);
        put((last++ % 100) + 1);
      }
      return kernel.lookup(map, key);
    };
    const tables = new KernelTables(module.memory, { lookup });
    const { verdict, reason } = new Explainer(module, tables, table, true).explain({ question, ...asked });
    assert.deepEqual([verdict, reason], ['reject', 'service-changing']);
  });

  it('finds nothing in tables that are empty', () => {
    const table = new ServiceTable({ frontends: 8, backends: 64 }, new Set());
    const module = new DecisionModule();
    const tables = new KernelTables(module.memory, { lookup: () => undefined });
    const explained = new Explainer(module, tables, table, true).explain({ question, ...asked });
    assert.equal(explained.reason, 'no-service');
    assert.equal(tables.lookup(module.tables[0]!, 0), 0);
  });
});
