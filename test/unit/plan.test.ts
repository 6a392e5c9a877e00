import assert from 'node:assert/strict';

import fc from 'fast-check';

import { DesiredServices } from '../../lib/desired-services';
import { planServices } from '../../lib/plan';
import { defineService } from '../../lib/service-definition';
import type { ServiceSpec } from '../../lib/spec';
import { hiddenPrefix } from '../../lib/internal-service';
import { ServiceTable } from '../../lib/service-table';
import { Transaction } from '../../lib/transaction';

const service = (name: string, address: string, ...backends: string[]): ServiceSpec => ({
  name,
  frontends: [
    { type: 'ClusterIP', address, port: 80 },
    { type: 'NodePort', port: 30000 + Number(address.split(/[.:]/).at(-1)) },
  ],
  backends: backends.map((address) => ({ address, port: 80 })),
});

function planFor(specs: readonly ServiceSpec[], table: ServiceTable) {
  const desired = new DesiredServices([0, 0]);
  for (const spec of specs) desired.add(spec);
  desired.settle(table);
  return planServices(desired, table, outside);
}

/** One device, on which one address of each family answers NodePorts. */
const outside = {
  externalDevices: ['eth0'],
  externalClusterIP: false,
  wildcardAddresses: (_: string, family: 4 | 6) => [family === 4 ? '192.0.2.1' : '2001:db8::1'],
};

const nodePort = (service: string, address: string, port: number) =>
  ({ service, type: 'NodePort', address, port, protocol: 'TCP', device: 'eth0' }) as const;

describe('plan', () => {
  const table = new ServiceTable({ frontends: 8, backends: 16 }, new Set());
  const tx = new Transaction(table);
  tx.put(defineService(service('same', '10.96.0.1', '10.0.0.1')));
  tx.put(defineService(service('other', '10.96.0.2', '10.0.0.2')));
  tx.put(defineService(service('gone', 'fd00:96::3', 'fd00::3')));
  tx.accept();

  it('tells what is added, changed, removed and unchanged, and what it takes', () => {
    const desired = [
      service('new', 'fd00:96::4', 'fd00::4', 'fd00::5'),
      service('other', '10.96.0.2', '10.0.0.2', '10.0.0.3'),
      service('same', '10.96.0.1', '::ffff:10.0.0.1'),
    ];
    assert.deepEqual(planFor(desired, table), {
      added: ['new'],
      changed: ['other'],
      removed: ['gone'],
      unchanged: 1,
      failed: new Map(),
      exposed: [nodePort('new', '2001:db8::1', 30004)],
      withdrawn: [nodePort('gone', '2001:db8::1', 30003)],
      backends: [
        { service: 'gone', added: [], changed: [], removed: ['[fd00::3]:80'] },
        { service: 'new', added: ['[fd00::4]:80', '[fd00::5]:80'], changed: [], removed: [] },
        { service: 'other', added: ['10.0.0.3:80'], changed: [], removed: [] },
      ],
      entries: {
        services4: { need: 4, have: 8, swap: 0 },
        services6: { need: 2, have: 8, swap: 0 },
        backends: { need: 5, have: 16, swap: 2 },
        maglev: { need: 0, have: 1_048_576, swap: 0 },
        ranges4: { need: 0, have: 65_536, swap: 0 },
        ranges6: { need: 0, have: 65_536, swap: 0 },
      },
    });
  });

  it('of nothing removes everything', () => {
    const { added, changed, removed, unchanged } = planFor([], table);
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

  it('tells what a change of one service exposes and withdraws', () => {
    const moved: ServiceSpec = {
      name: 'same',
      frontends: [
        { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
        { type: 'NodePort', port: 30001 },
        { type: 'NodePort', port: 30001, protocol: 'UDP' },
        { type: 'ExternalIPs', address: '203.0.113.5', port: 80 },
      ],
      backends: [{ address: '10.0.0.9', port: 80 }],
    };
    const others = [service('other', '10.96.0.2', '10.0.0.2'), service('gone', 'fd00:96::3', 'fd00::3')];
    const { exposed, withdrawn } = planFor([moved, ...others], table);
    assert.deepEqual(exposed, [
      { ...nodePort('same', '192.0.2.1', 30001), protocol: 'UDP' },
      { ...nodePort('same', '203.0.113.5', 80), type: 'ExternalIPs' },
    ]);
    assert.deepEqual(withdrawn, []);
    const taken: ServiceSpec = {
      name: 'taker',
      frontends: [{ type: 'NodePort', port: 30001 }],
      backends: [{ address: '10.0.0.9', port: 80 }],
    };
    const plan = planFor([taken, ...others], table);
    assert.deepEqual(plan.exposed, [nodePort('taker', '192.0.2.1', 30001)]);
    assert.deepEqual(plan.withdrawn, [nodePort('same', '192.0.2.1', 30001)]);
  });

  it('is plain data for others', () => {
    const plan = planFor([service('new', '10.96.0.9', '10.0.0.1')], table);
    assert.deepEqual(structuredClone(plan), { ...plan });
    assert.deepEqual(structuredClone(plan).exposed, [nodePort('new', '192.0.2.1', 30009)]);
  });

  it('leaves internal services alone', () => {
    const internal = new ServiceTable({ frontends: 8, backends: 16 }, new Set());
    const tx = new Transaction(internal);
    tx.put(defineService(service(`${hiddenPrefix}canary`, '10.96.0.1', '10.0.0.1')));
    tx.accept();
    const { removed, withdrawn } = planFor([], internal);
    assert.deepEqual([removed, withdrawn], [[], []]);
  });

  it('changes nothing', () => {
    planFor([], table);
    assert.deepEqual([...table.records.keys()], ['same', 'other', 'gone']);
  });

  const someBackends = fc.uniqueArray(
    fc.record({
      address: fc.oneof(
        fc.integer({ min: 1, max: 40 }).map((n) => `10.244.0.${n}`),
        fc.integer({ min: 1, max: 40 }).map((n) => `fd00::${n}`),
      ),
      port: fc.constant(80),
      state: fc.constantFrom('active' as const, 'terminating' as const, 'quarantined' as const),
      weight: fc.constantFrom(0, 1, 1, 2),
      local: fc.boolean(),
      clusterWide: fc.boolean(),
    }),
    { maxLength: 30, selector: ({ address }) => address },
  );
  const someServices = fc
    .array(
      fc.option(
        fc.record({
          backends: someBackends,
          families: fc.subarray(['10.96.0.', 'fd00:96::'], { minLength: 1 }),
          algorithm: fc.constantFrom('random' as const, 'maglev' as const),
          sourceRanges: fc.subarray(['192.0.2.0/24', '198.51.100.0/25', '2001:db8::/32']),
        }),
      ),
      { maxLength: 5 },
    )
    .map((all) =>
      all.flatMap((one, i): ServiceSpec[] =>
        one === null
          ? []
          : [
              {
                name: `s${i}`,
                backends: one.backends.filter(({ address }) =>
                  one.families.some((prefix) => prefix.includes(':') === address.includes(':')),
                ),
                algorithm: one.algorithm,
                sourceRanges: one.sourceRanges,
                frontends: one.families.map((prefix) => ({
                  type: 'LoadBalancer',
                  address: `${prefix}${i + 1}`,
                  port: 80,
                })),
              },
            ],
      ),
    );

  it('says of every table what is used when it has been carried out', () => {
    fc.assert(
      fc.property(fc.array(someServices, { minLength: 1, maxLength: 5 }), (states) => {
        const table = new ServiceTable({ frontends: 64, backends: 4096, maglevSlots: 2 ** 22 }, new Set());
        for (const specs of states) {
          const { entries, removed } = planFor(specs, table);
          const tx = new Transaction(table);
          for (const name of removed) tx.remove(name);
          for (const spec of specs) tx.put(defineService(spec));
          tx.accept();
          table.reuse(table.takeRetired());
          const needs = Object.fromEntries(Object.entries(entries).map(([name, { need }]) => [name, need]));
          assert.deepEqual(needs, {
            services4: table.entries[4],
            services6: table.entries[6],
            backends: table.backendsUsed,
            maglev: table.maglevTables.used,
            ranges4: table.sourceRanges[4],
            ranges6: table.sourceRanges[6],
          });
        }
      }),
      { numRuns: 200 },
    );
  });

  it('says how much room there has to be for a service to change', () => {
    const backends = (count: number, port: number) =>
      Array.from({ length: count }, (_, i) => ({ address: `10.0.1.${i + 1}`, port }));
    const web = (port: number): ServiceSpec => ({
      ...service('web', '10.96.0.1'),
      backends: backends(10, port),
    });
    for (const [capacity, fits] of [
      [20, true],
      [19, false],
    ] as const) {
      const tight = new ServiceTable({ frontends: 8, backends: capacity }, new Set());
      const tx = new Transaction(tight);
      tx.put(defineService(web(80)));
      tx.accept();
      const { need, swap, have } = planFor([web(81)], tight).entries.backends;
      assert.deepEqual({ need, swap, have }, { need: 10, swap: 10, have: capacity });
      const change = () => new Transaction(tight).put(defineService(web(81)));
      if (fits) change();
      else assert.throws(change, { code: 'ERR_BPF_MAP_FULL' });
    }
  });
});
