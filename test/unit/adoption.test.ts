import assert from 'node:assert/strict';

import { layouts } from '../../lib/abi';
import type { LoadBalancerError } from '../../lib/errors';
import { sameService, defineService, type ServiceDefinition } from '../../lib/service-definition';
import type { BackendSpec, FrontendSpec, ServiceSpec } from '../../lib';
import { Transaction } from '../../lib/transaction';
import { adopt, assertWhole, commit, makeServiceTable, stage } from '../support/adopted-tables';
import { KernelTables } from '../support/kernel-tables';

const capacity = { frontends: 64, backends: 256, maglevSlots: 4096 };

const frontend = (last: number, rest: Partial<FrontendSpec> = {}): FrontendSpec => ({
  type: 'ClusterIP',
  address: `10.96.0.${last}`,
  port: 80,
  ...rest,
});

const frontend6 = (last: number): FrontendSpec => ({ type: 'ClusterIP', address: `fd00::${last}`, port: 80 });

const backend = (last: number, rest: Partial<BackendSpec> = {}): BackendSpec => ({
  address: `10.0.0.${last}`,
  port: 8080,
  ...rest,
});

const backend6 = (last: number): BackendSpec => ({ address: `fd01::${last}`, port: 8080 });

const makeTable = () => makeServiceTable(capacity);
const reopen = (kernel: KernelTables) => adopt(kernel, makeTable());

function makeKernel(): KernelTables {
  return new KernelTables(capacity.backends, capacity.maglevSlots);
}

interface Case {
  readonly before: readonly ServiceSpec[];
  readonly after: readonly ServiceSpec[];
  readonly removed?: readonly string[];
}

const ranged = (name: string, last: number, ranges: string[]): ServiceSpec => ({
  name,
  frontends: [{ type: 'LoadBalancer', address: `192.0.2.${last}`, port: 443 }],
  backends: [backend(last)],
  sourceRanges: ranges,
});

const cases: Record<string, Case> = {
  'a service is added': {
    before: [],
    after: [{ name: 'a', frontends: [frontend(1), frontend6(1)], backends: [backend(1), backend6(1)] }],
  },
  'a set of backends is changed': {
    before: [{ name: 'a', frontends: [frontend(1), frontend6(1)], backends: [backend(1), backend6(1)] }],
    after: [
      { name: 'a', frontends: [frontend(1), frontend6(1)], backends: [backend(2), backend(3), backend6(2)] },
    ],
  },
  'a service gets another frontend instead': {
    before: [{ name: 'a', frontends: [frontend(1)], backends: [backend(1)] }],
    after: [{ name: 'a', frontends: [frontend(2), frontend(3)], backends: [backend(1)] }],
  },
  'a frontend passes on': {
    before: [
      { name: 'a', frontends: [frontend(1), frontend(2)], backends: [backend(1)] },
      { name: 'b', frontends: [frontend(3)], backends: [backend(2)] },
    ],
    after: [
      { name: 'a', frontends: [frontend(1)], backends: [backend(1)] },
      { name: 'b', frontends: [frontend(3), frontend(2)], backends: [backend(2)] },
    ],
  },
  'services are removed': {
    before: [
      { name: 'a', frontends: [frontend(1), frontend6(1)], backends: [backend(1), backend6(1)] },
      { name: 'b', frontends: [frontend(3)], backends: [backend(2)] },
    ],
    after: [],
    removed: ['a', 'b'],
  },
  'weights and states are changed': {
    before: [{ name: 'a', frontends: [frontend(1)], backends: [backend(1), backend(2, { weight: 3 })] }],
    after: [
      {
        name: 'a',
        frontends: [frontend(1)],
        backends: [
          backend(1, { weight: 2 }),
          backend(2, { weight: 3 }),
          backend(3, { state: 'quarantined' }),
        ],
      },
    ],
  },
  'a Maglev table is replaced': {
    before: [
      {
        name: 'a',
        frontends: [frontend(1)],
        backends: [backend(1), backend(2)],
        algorithm: 'maglev',
        maglevTableSize: 251,
      },
      {
        name: 'b',
        frontends: [frontend(2)],
        backends: [backend(1), backend(2)],
        algorithm: 'maglev',
        maglevTableSize: 251,
      },
    ],
    after: [
      {
        name: 'a',
        frontends: [frontend(1)],
        backends: [backend(1), backend(3)],
        algorithm: 'maglev',
        maglevTableSize: 251,
      },
    ],
  },
  'source ranges are changed': {
    before: [ranged('a', 1, ['10.0.0.0/8', 'fd00::/8'])],
    after: [ranged('a', 1, ['192.168.0.0/16'])],
  },
  'a definition gets shorter': {
    before: [
      {
        name: `a${'-'.repeat(600)}`,
        frontends: [frontend(1)],
        backends: Array.from({ length: 12 }, (_, i) => backend(i + 1)),
      },
    ],
    after: [{ name: `a${'-'.repeat(600)}`, frontends: [frontend(1)], backends: [] }],
  },
};

describe('adoption of service tables', () => {
  for (const [title, { before, after, removed }] of Object.entries(cases)) {
    it(`finds every service old or new wherever the process ended while ${title}`, async () => {
      const kernel = makeKernel();
      const table = makeTable();
      commit(kernel, stage(table, before));
      const tx = stage(table, after, removed);
      const operations = tx.operations();
      assert.ok(operations.length > 1);
      const old = new Map([...table.records].map(([name, { definition }]) => [name, definition]));
      tx.accept();
      const now = new Map([...table.records].map(([name, { definition }]) => [name, definition]));
      let repaired = 0;
      for (let done = 0; done <= operations.length; done++) {
        const found = kernel.clone();
        found.run(operations, done);
        const adopted = await reopen(found);
        assertWhole(found, adopted);
        const isOneOf = (name: string, definition: ServiceDefinition) =>
          [old.get(name), now.get(name)].some((one) => one && sameService(one, definition));
        for (const [name, { definition }] of adopted.records) assert.ok(isOneOf(name, definition), name);
        for (const name of old.keys())
          assert.ok(adopted.records.has(name) || !now.has(name), `${name} is lost after ${done} writes`);
        commit(found, stage(adopted, after, removed));
        assertWhole(found, adopted);
        assert.deepEqual(
          [...adopted.records].map(([name, { definition }]) => [name, definition]).sort(),
          [...now].sort(),
        );
        repaired++;
      }
      assert.equal(repaired, operations.length + 1);
    });
  }

  it('keeps ids, groups and numbers, and gives none of them again', async () => {
    const kernel = makeKernel();
    const table = makeTable();
    const spec = { name: 'a', frontends: [frontend(1), frontend6(1)], backends: [backend(1)] };
    commit(kernel, stage(table, [spec, { ...spec, name: 'gone', frontends: [frontend(2)] }]));
    commit(kernel, stage(table, [], ['gone']));
    const adopted = await reopen(kernel);
    assert.deepEqual(adopted.records.get('a'), table.records.get('a'));
    assert.deepEqual(adopted.state, table.state);
    commit(kernel, stage(adopted, [{ ...spec, name: 'b', frontends: [frontend(3)] }]));
    assert.deepEqual(adopted.records.get('b')?.ids, [4]);
  });

  it('has nothing to write for services that are what they are to be', async () => {
    const kernel = makeKernel();
    const table = makeTable();
    const specs = cases['a Maglev table is replaced']?.before ?? [];
    commit(kernel, stage(table, specs));
    const adopted = await reopen(kernel);
    const tx = new Transaction(adopted);
    for (const spec of specs) assert.equal(tx.put(defineService(spec)), false);
    assert.ok(tx.isEmpty);
    assert.deepEqual([...adopted.unclaimed], []);
  });

  it('lets a frontend pass to a service that is asked for, and leaves the rest of its owner', async () => {
    const kernel = makeKernel();
    commit(
      kernel,
      stage(makeTable(), [{ name: 'old', frontends: [frontend(1), frontend(2)], backends: [backend(1)] }]),
    );
    const adopted = await reopen(kernel);
    const tx = new Transaction(adopted);
    tx.put(defineService({ name: 'new', frontends: [frontend(1)], backends: [backend(2)] }));
    commit(kernel, tx);
    assertWhole(kernel, adopted);
    assert.deepEqual([...adopted.unclaimed], ['old']);
    assert.equal(adopted.owners.get('10.96.0.1:80/TCP'), 'new');
    assert.equal(adopted.owners.get('10.96.0.2:80/TCP'), 'old');
  });

  it('reuses the room of nothing that is in use', async () => {
    const kernel = makeKernel();
    const table = makeTable();
    const specs = Array.from({ length: 20 }, (_, i) => ({
      name: `s${i}`,
      frontends: [frontend(i + 1)],
      backends: Array.from({ length: i }, (_, j) => backend(j + 1)),
    }));
    commit(kernel, stage(table, specs));
    commit(kernel, stage(table, [], ['s3', 's7', 's12']));
    const adopted = await reopen(kernel);
    assert.equal(adopted.ranges.used, table.ranges.used - 22);
    commit(
      kernel,
      stage(adopted, [{ name: 'x', frontends: [frontend(40)], backends: [backend(1), backend(2)] }]),
    );
    assertWhole(kernel, adopted);
  });

  it('refuses a state of another version, and says which', async () => {
    const kernel = makeKernel();
    commit(kernel, stage(makeTable(), [{ name: 'a', frontends: [frontend(1)], backends: [] }]));
    const { offset } = layouts.lb_state.fields.version;
    new DataView((kernel.arrays['state'] as Uint8Array).buffer).setUint32(offset, 99, true);
    await assert.rejects(reopen(kernel), (error: LoadBalancerError) => {
      assert.equal(error.code, 'ERR_BPF_STATE');
      assert.match(error.message, /version 99 .* a newer one/);
      return true;
    });
  });
});
