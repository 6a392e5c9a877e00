import assert from 'node:assert/strict';

import { adoptServices } from '../../lib/adoption';
import { defineService, type ServiceDefinition } from '../../lib/service-definition';
import { defaultPolicy } from '../../lib/service-flags';
import { ServiceTable, type TableCapacity } from '../../lib/service-table';
import type { ServiceSpec } from '../../lib/spec';
import { RangesPending, Transaction } from '../../lib/transaction';
import type { KernelTables } from './kernel-tables';

/** An empty one, of a process that keeps its state. */
export function makeServiceTable(capacity: TableCapacity): ServiceTable {
  return new ServiceTable(capacity, new Set(), 0, defaultPolicy, true);
}

/** Stages a change of services: what is not given stays. */
export function stage(
  table: ServiceTable,
  specs: readonly ServiceSpec[],
  removed: readonly string[] = [],
): Transaction {
  const tx = new Transaction(table);
  for (const name of removed) tx.remove(name);
  for (const spec of specs) tx.disown(spec.name);
  for (const spec of specs) tx.put(defineService(spec));
  return tx;
}

export function commit(kernel: KernelTables, tx: Transaction): void {
  kernel.run(tx.operations());
  tx.accept();
}

/** What a process does that finds the tables. */
export async function adopt(kernel: KernelTables, table: ServiceTable): Promise<ServiceTable> {
  table.portHints.adopt(kernel.read('ports', 0, 65536));
  table.networkHints.adopt(kernel.read('networks', 0, 65536));
  const { torn, retired, leftovers } = await adoptServices(kernel, table, [], true);
  for (const range of retired) table.retire(range);
  commit(kernel, rewrite(table, torn));
  kernel.run(leftovers);
  return table;
}

function rewrite(table: ServiceTable, torn: readonly ServiceDefinition[]): Transaction {
  const tx = new Transaction(table);
  try {
    for (const definition of torn) tx.rewrite(definition);
    return tx;
  } catch (error) {
    if (!(error instanceof RangesPending)) throw error;
    tx.abandon();
    table.reuse(table.takeRetired());
    return rewrite(table, torn);
  }
}

/** The tables hold the services of `table`, whole, and nothing else. */
export function assertWhole(kernel: KernelTables, table: ServiceTable): void {
  const keys = { 4: 0, 6: 0 };
  for (const { definition, placements } of table.records.values()) {
    for (const { family } of definition.frontends) keys[family]++;
    for (const family of [4, 6] as const) {
      const placed = placements[family];
      if (!placed) continue;
      const values = [...(kernel.hashes[`services${family}`] ?? [])];
      const own = values
        .map(([key]) => kernel.service(`services${family}`, key))
        .filter((value) => value?.set === placed.set);
      assert.equal(own.length, definition.frontends.filter((f) => f.family === family).length);
      for (const value of own) assert.equal(value?.cluster.length, placed.count);
    }
  }
  assert.equal(kernel.hashes['services4']?.size, keys[4]);
  assert.equal(kernel.hashes['services6']?.size, keys[6]);
}
