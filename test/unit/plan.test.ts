import assert from 'node:assert/strict';

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
      entries: {
        services4: { need: 4, have: 8 },
        services6: { need: 2, have: 8 },
        backends: { need: 5, have: 16 },
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
});
