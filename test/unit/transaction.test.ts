import assert from 'node:assert/strict';

import fc from 'fast-check';
import ipaddr from 'ipaddr.js';

import { FrontendFlag, NetworkHint, PortHint, ServiceFlag } from '../../lib/abi';
import { parseCidr } from '../../lib/cidr';
import { definitionParts } from '../../lib/definition-table';
import { encodeRange } from '../../lib/encode';
import { LoadBalancerError, MapFullError } from '../../lib/errors';
import { maglevTable } from '../../lib/maglev';
import { networkOf } from '../../lib/network-hints';
import { Place } from '../../lib/place';
import { selectBackends } from '../../lib/selection';
import {
  type BackendDefinition,
  defineService,
  type FrontendDefinition,
  type ServiceDefinition,
} from '../../lib/service-definition';
import { defaultPolicy } from '../../lib/service-flags';
import { ServiceTable } from '../../lib/service-table';
import { RangesPending, Transaction } from '../../lib/transaction';
import { KernelTables } from '../support/kernel-tables';

const capacity = { frontends: 12, backends: 40, maglevSlots: 4000 };

/* Few names, addresses and ports, so that they meet. */
const names = ['a', 'b', 'c', 'd'];

const frontends = fc.uniqueArray(
  fc.oneof(
    fc.record({
      type: fc.constantFrom('ClusterIP' as const, 'LoadBalancer' as const),
      address: fc.constantFrom('10.96.0.1', '10.96.0.2', 'fd00:96::1'),
      port: fc.integer({ min: 80, max: 82 }),
    }),
    fc.record({ type: fc.constant('NodePort' as const), port: fc.integer({ min: 30080, max: 30082 }) }),
  ),
  { selector: (f) => `${'address' in f ? f.address : ''} ${f.port}`, minLength: 1, maxLength: 3 },
);

const backends = fc.uniqueArray(
  fc.record({
    address: fc.constantFrom('10.244.0.1', '10.244.0.2', '10.244.0.3', 'fd00::1', 'fd00::2'),
    port: fc.integer({ min: 8080, max: 8082 }),
    state: fc.constantFrom('active' as const, 'terminating' as const, 'maintenance' as const),
    local: fc.boolean(),
    clusterWide: fc.boolean(),
  }),
  { selector: ({ address, port }) => `${address} ${port}`, maxLength: 8 },
);

const content = fc.record({
  frontends,
  backends,
  algorithm: fc.constantFrom('random' as const, 'maglev' as const),
  sourceRanges: fc.subarray(['192.0.2.0/24', '198.51.100.0/25', '2001:db8::/32']),
});

interface Change {
  name: string;
  put?: { frontends: object[]; backends: object[] };
}

const change: fc.Arbitrary<Change> = fc.record(
  { name: fc.constantFrom(...names), put: content },
  { requiredKeys: ['name'] },
);

/** What becomes of a transaction: the kernel takes it, takes a part of it and then no more, or it is given up. */
const outcome = fc.oneof(
  { weight: 3, arbitrary: fc.constant('accept' as const) },
  { weight: 1, arbitrary: fc.record({ failAfter: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.constant('abandon' as const) },
);

const history = fc.array(fc.record({ changes: fc.array(change, { maxLength: 5 }), outcome }), {
  maxLength: 30,
});

function define({ name, put }: Change): ServiceDefinition | undefined {
  try {
    return defineService({ name, ...put } as Parameters<typeof defineService>[0]);
  } catch (error) {
    assert.ok(error instanceof LoadBalancerError);
    return undefined; // families that do not match
  }
}

function hex(address: string, family: 4 | 6): string {
  if (address === '') return '00'.repeat(family === 4 ? 4 : 16);
  return Buffer.from(ipaddr.parse(address).toByteArray()).toString('hex');
}

function keyOf({ address, family, port }: FrontendDefinition): string {
  return hex(address, family) + port.toString(16).padStart(4, '0') + '06' + '00';
}

function backendText(address: string, family: 4 | 6, port: number): string {
  return `${family === 4 ? `00000000000000000000ffff${hex(address, 4)}` : hex(address, 6)} ${port}`;
}

type Model = Map<string, ServiceDefinition>;

/** Of all networks exactly those with frontends have the bits that say so. */
function checkNetworks(kernel: KernelTables, model: Model): void {
  const wanted = new Uint8Array(65536);
  for (const { frontends } of model.values()) {
    for (const { family, address } of frontends) {
      if (!address) continue;
      const network = networkOf(family, address);
      wanted[network] =
        (wanted[network] as number) | (family === 4 ? NetworkHint.FRONTEND4 : NetworkHint.FRONTEND6);
    }
  }
  const bits = NetworkHint.FRONTEND4 | NetworkHint.FRONTEND6;
  assert.deepEqual(
    kernel.arrays['networks']?.map((hints) => hints & bits),
    wanted,
  );
}

/** What each address of frontends is, for ports that it does not have. */
function checkAddresses(kernel: KernelTables, model: Model): void {
  const wanted: Record<string, Map<string, number>> = { frontends4: new Map(), frontends6: new Map() };
  for (const { type, family, address } of [...model.values()].flatMap(({ frontends }) => frontends)) {
    if (!address) continue;
    const flags = wanted[`frontends${family}`] as Map<string, number>;
    const flag = type === 'ClusterIP' ? FrontendFlag.CLUSTER_IP : FrontendFlag.VIP;
    flags.set(hex(address, family), (flags.get(hex(address, family)) ?? 0) | flag);
  }
  for (const [map, flags] of Object.entries(wanted)) {
    const found = [...(kernel.hashes[map] ?? [])].map(([key, value]) => [key, value[0]] as const);
    assert.deepEqual(new Map(found.sort()), new Map([...flags].sort()));
  }
}

/** Each service has its source ranges, under the id that its frontends say, and nobody else has any. */
function checkRanges(kernel: KernelTables, model: Model): void {
  const wanted: Record<string, Set<string>> = { ranges4: new Set(), ranges6: new Set() };
  for (const { frontends, sourceRanges } of model.values()) {
    const [first] = frontends as [FrontendDefinition];
    const ids = frontends.map((f) => kernel.service(`services${f.family}`, keyOf(f))?.ranges);
    assert.ok(ids.every((id) => id === ids[0]));
    assert.ok(ids[0], `${first.key} has an id for its ranges`);
    for (const range of sourceRanges)
      wanted[`ranges${range.family}`]?.add(Buffer.from(encodeRange(ids[0], range)).toString('hex'));
  }
  for (const [map, keys] of Object.entries(wanted))
    assert.deepEqual(new Set([...(kernel.hashes[map]?.keys() ?? [])].sort()), new Set([...keys].sort()));
}

/** The table is the one that Maglev makes for the list, whoever made it. */
function checkMaglev(slots: readonly number[], list: readonly BackendDefinition[], algorithm: unknown): void {
  if (algorithm !== 'maglev' || list.length === 0) {
    assert.deepEqual(slots, []);
    return;
  }
  const several = new Set(list.map(({ address }) => address)).size < list.length;
  const named = list.map(({ address, port, weight }) => ({
    id: several ? `${address} ${port}` : address,
    weight,
  }));
  assert.deepEqual(slots, [...maglevTable(named, slots.length)]);
}

/** The kernel has exactly the services of the model. */
function compare(kernel: KernelTables, model: Model): void {
  const keys: Record<string, string[]> = { services4: [], services6: [] };
  for (const definition of model.values()) {
    for (const frontend of definition.frontends) {
      const map = `services${frontend.family}`;
      const key = keyOf(frontend);
      keys[map]?.push(key);
      const found = kernel.service(map, key);
      assert.ok(found, `${frontend.key} is there`);
      const wanted = selectBackends(definition, frontend.family, definition.algorithm);
      const cluster = wanted.backends.slice(0, wanted.count);
      const local = wanted.backends.slice(wanted.localOffset, wanted.localOffset + wanted.localCount);
      const text = (b: BackendDefinition) => backendText(b.address, b.family, b.port);
      assert.deepEqual(found.cluster, cluster.map(text));
      assert.deepEqual(found.local, local.map(text));
      checkMaglev(found.maglev, cluster, definition.algorithm);
      checkMaglev(found.localMaglev, local, definition.algorithm);
      assert.equal((found.flags & ServiceFlag.USABLE) !== 0, wanted.usable);
      const hint = frontend.address ? PortHint.FRONTEND : PortHint.WILDCARD;
      assert.ok((kernel.arrays['ports']?.[frontend.port] ?? 0) & hint, `port ${frontend.port} has its hint`);
    }
  }
  checkNetworks(kernel, model);
  checkAddresses(kernel, model);
  checkRanges(kernel, model);
  for (const map of ['services4', 'services6']) {
    assert.deepEqual([...(kernel.hashes[map]?.keys() ?? [])].sort(), keys[map]?.sort());
  }
  const all = [...model.values()].flatMap(({ frontends }) => frontends);
  for (const port of [80, 81, 82, 30080, 30081, 30082]) {
    const hints = kernel.arrays['ports']?.[port] ?? 0;
    assert.equal(
      (hints & PortHint.FRONTEND) !== 0,
      all.some((f) => f.port === port && f.address !== ''),
    );
    assert.equal(
      (hints & PortHint.WILDCARD) !== 0,
      all.some((f) => f.port === port && f.address === ''),
    );
  }
}

/** The table's own books are right, and no two ranges have a slot in common. */
function checkTable(table: ServiceTable, model: Model): void {
  assert.deepEqual([...table.records.keys()].sort(), [...model.keys()].sort());
  const owners = [...model].flatMap(([name, { frontends }]) =>
    frontends.map(({ key }) => [key, name] as const),
  );
  assert.deepEqual(new Map([...table.owners].sort()), new Map(owners.sort()));
  for (const family of [4, 6] as const) {
    const count = [...model.values()]
      .flatMap(({ frontends }) => frontends)
      .filter((f) => f.family === family);
    assert.equal(table.entries[family], count.length);
    assert.ok(count.length <= capacity.frontends);
  }
  const taken = new Set<number>();
  for (const { placements } of table.records.values()) {
    for (const { first, backends } of Object.values(placements)) {
      for (let i = 0; i < backends.length; i++) {
        assert.equal(taken.has(first + i), false, 'ranges do not overlap');
        assert.ok(first + i < capacity.backends);
        taken.add(first + i);
      }
    }
  }
  assert.equal(table.ranges.used, taken.size + table.retiredEntries);
}

/** One owner a frontend: what the naive model knows about conflicts. */
function isTaken(model: Model, { name, frontends }: ServiceDefinition): boolean {
  const others = [...model.values()].filter((other) => other.name !== name);
  return frontends.some(({ key }) => others.some((other) => other.frontends.some((f) => f.key === key)));
}

describe('transactions of the service table', () => {
  it('after any history the kernel has what a naive model has', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const table = new ServiceTable(capacity, new Set());
        const kernel = new KernelTables(capacity.backends, capacity.maglevSlots);
        let model: Model = new Map();
        for (const { changes, outcome } of steps) {
          const tx = new Transaction(table);
          const next: Model = new Map(model);
          for (const change of changes) {
            if (!change.put) {
              assert.equal(tx.remove(change.name), next.delete(change.name));
              continue;
            }
            const definition = define(change);
            if (!definition) continue;
            const taken = isTaken(next, definition);
            try {
              tx.put(definition);
              assert.equal(taken, false, 'a frontend has one owner');
              next.set(change.name, definition);
            } catch (error) {
              if (error instanceof RangesPending || error instanceof MapFullError) continue;
              assert.equal((error as LoadBalancerError).code, 'ERR_BPF_DUPLICATE_FRONTEND');
              assert.equal(taken, true, 'only what is taken is refused');
            }
          }
          if (outcome === 'abandon') {
            tx.abandon();
          } else if (outcome === 'accept') {
            kernel.run(tx.operations());
            tx.accept();
            model = next;
          } else {
            kernel.run(tx.operations(), outcome.failAfter);
            kernel.run(tx.undo());
            tx.abandon();
          }
          compare(kernel, model);
          checkTable(table, model);
          table.reuse(table.takeRetired());
        }
      }),
      { numRuns: 300 },
    );
  });

  it('services may pass frontends on to each other in one transaction', () => {
    fc.assert(
      fc.property(fc.array(content, { minLength: 4, maxLength: 4 }), (wanted) => {
        const table = new ServiceTable(capacity, new Set());
        const kernel = new KernelTables(capacity.backends, capacity.maglevSlots);
        const model: Model = new Map();
        for (const shift of [0, 1, 2, 3]) {
          const tx = new Transaction(table);
          const next = new Map<string, ServiceDefinition>();
          const owned = new Set<string>();
          for (const [i, name] of names.entries()) {
            const definition = define({ name, put: wanted[(i + shift) % 4] as NonNullable<Change['put']> });
            if (!definition || definition.frontends.some(({ key }) => owned.has(key))) continue;
            for (const { key } of definition.frontends) owned.add(key);
            next.set(name, definition);
          }
          /* As apply() does it. */
          for (const name of model.keys()) if (!next.has(name)) tx.remove(name);
          for (const name of next.keys()) tx.disown(name);
          for (const definition of next.values()) tx.put(definition);
          kernel.run(tx.operations());
          tx.accept();
          model.clear();
          for (const [name, definition] of next) model.set(name, definition);
          compare(kernel, model);
          checkTable(table, model);
          table.reuse(table.takeRetired());
        }
      }),
      { numRuns: 100 },
    );
  });

  const service = (name: string, address: string, count = 1) =>
    defineService({
      name,
      frontends: [{ type: 'ClusterIP', address, port: 80 }],
      backends: Array.from({ length: count }, (_, i) => ({ address: `10.0.0.${i + 1}`, port: 80 })),
    });

  it('writes what a service leads to before it, hints before it, too, and what its address is afterwards', () => {
    const table = new ServiceTable(capacity, new Set());
    const steps = (stage: (tx: Transaction) => unknown) => {
      const tx = new Transaction(table);
      stage(tx);
      const operations = tx.operations().map(({ map, kind }) => `${kind} ${map}`);
      tx.accept();
      return operations;
    };
    const definition = {
      ...service('a', '10.96.0.1'),
      algorithm: 'maglev' as const,
      sourceRanges: [parseCidr('192.0.2.0/24', new Place('test'))],
    };
    assert.deepEqual(
      steps((tx) => tx.put(definition)),
      [
        'store backends',
        'store maglev',
        'update ranges4',
        'store ports',
        'store networks',
        'update services4',
        'update frontends4',
      ],
    );
    assert.deepEqual(
      steps((tx) => tx.remove('a')),
      ['delete frontends4', 'delete services4', 'store ports', 'store networks', 'delete ranges4'],
    );
  });

  it('writes a range that a program may see only after it was reused', () => {
    const table = new ServiceTable({ frontends: 4, backends: 4 }, new Set());
    const commit = (definition: ServiceDefinition) => {
      const tx = new Transaction(table);
      tx.put(definition);
      const first = tx.record('a')?.placements[4]?.first;
      tx.accept();
      return first;
    };
    const before = commit(service('a', '10.96.0.1', 2));
    assert.notEqual(commit(service('a', '10.96.0.2', 2)), before);
    assert.throws(() => commit(service('a', '10.96.0.1', 2)), RangesPending);
    table.reuse(table.takeRetired());
    assert.equal(commit(service('a', '10.96.0.1', 2)), before);
  });

  it('writes a Maglev table that a program may see only after it was reused', () => {
    const table = new ServiceTable({ ...capacity, maglevSlots: 2 * 256 }, new Set());
    const commit = (backends: number) => {
      const tx = new Transaction(table);
      tx.put({ ...service('a', '10.96.0.1', backends), algorithm: 'maglev', maglevTableSize: 251 });
      const first = tx.record('a')?.placements[4]?.maglev?.first;
      tx.accept();
      return first;
    };
    assert.deepEqual([commit(1), commit(2)], [0, 256]);
    assert.throws(() => commit(3), RangesPending);
    table.reuse(table.takeRetired());
    assert.equal(commit(3), 0);
  });

  it('tells what a full table needs', () => {
    const table = new ServiceTable({ frontends: 1, backends: 3 }, new Set());
    const tx = new Transaction(table);
    assert.throws(() => tx.put(service('a', '10.96.0.1', 4)), {
      code: 'ERR_BPF_MAP_FULL',
      map: 'backends',
      need: 4,
      have: 3,
    });
    tx.put(service('a', '10.96.0.1', 3));
    assert.throws(() => tx.put(service('b', '10.96.0.2', 0)), {
      code: 'ERR_BPF_MAP_FULL',
      map: 'services4',
      need: 2,
      have: 1,
      message: /open the LoadBalancer with a larger capacity\.frontends/,
    });
    assert.equal(tx.record('b'), undefined);
    assert.equal(tx.record('a')?.definition.backends.length, 3);
  });

  it('keeps the ids of frontends that stay, and never gives one twice', () => {
    const table = new ServiceTable(capacity, new Set());
    const ids = (name: string, ...addresses: string[]) => {
      const tx = new Transaction(table);
      tx.put(
        defineService({
          name,
          frontends: addresses.map((address) => ({ type: 'ClusterIP', address, port: 80 })),
          backends: [],
        }),
      );
      tx.accept();
      return table.records.get(name)?.ids;
    };
    assert.deepEqual(ids('a', '10.96.0.1', '10.96.0.2'), [1, 2]);
    assert.deepEqual(ids('b', '10.96.0.3'), [3]);
    assert.deepEqual(ids('a', '10.96.0.4', '10.96.0.2'), [4, 2]);
    assert.deepEqual(ids('a', '10.96.0.1', '10.96.0.4'), [5, 4]);
  });

  it('has nothing to do for a service that is what it is to be', () => {
    const table = new ServiceTable(capacity, new Set());
    const first = new Transaction(table);
    assert.equal(first.put(service('a', '10.96.0.1')), true);
    assert.equal(first.put(service('a', '10.96.0.1')), false);
    first.accept();
    const second = new Transaction(table);
    assert.equal(second.put(service('a', '10.96.0.1')), false);
    assert.equal(second.isEmpty, true);
  });

  it('writes again, with the range that it has, what new addresses of the node concern', () => {
    const definition = (address: string) =>
      defineService({
        name: address,
        frontends: [{ type: 'ExternalIPs', address, port: 80 }],
        backends: [{ address: '10.244.0.1', port: 80 }],
      });
    const table = new ServiceTable({ frontends: 2, backends: 2 }, new Set());
    const first = new Transaction(table);
    for (const address of ['192.0.2.1', '192.0.2.2']) first.put(definition(address));
    first.operations();
    first.accept();
    const before = table.records.get('192.0.2.1');
    const second = new Transaction(table);
    second.useNodeAddresses(new Set(['192.0.2.1']));
    assert.deepEqual(
      second.operations().map(({ map, kind }) => [map, kind]),
      [['services4', 'update']],
    );
    second.accept();
    assert.equal(table.records.get('192.0.2.1'), before);
    assert.equal(table.retiredEntries, 0);
    assert.deepEqual(table.nodeAddresses, new Set(['192.0.2.1']));
  });

  it('lets a frontend pass to another service where nothing else has room', () => {
    const definition = (name: string, ...addresses: string[]) =>
      defineService({
        name,
        frontends: addresses.map((address) => ({ type: 'ClusterIP' as const, address, port: 80 })),
        backends: [],
      });
    const table = new ServiceTable({ frontends: 3, backends: 2 }, new Set());
    const first = new Transaction(table);
    first.put(definition('a', '10.96.0.1', '10.96.0.2'));
    first.put(definition('b', '10.96.0.3'));
    first.accept();
    const second = new Transaction(table);
    for (const name of ['a', 'b']) second.disown(name);
    second.put(definition('b', '10.96.0.2', '10.96.0.3'));
    second.put(definition('a', '10.96.0.1'));
    second.accept();
    assert.equal(table.entries[4], 3);
  });

  it('refuses a service whose text has no room, and leaves the rest as it was', () => {
    const table = new ServiceTable({ frontends: 4, backends: 4 }, new Set(), 0, defaultPolicy, true);
    const have = definitionParts(table.capacity);
    const service = (last: number, size: number, backendPort = 8080) =>
      defineService({
        name: `${last}`.padEnd(size),
        frontends: [{ type: 'ClusterIP', address: `10.96.0.${last}`, port: 80 }],
        backends: [{ address: '10.0.0.1', port: backendPort }],
      });
    const commit = (...definitions: ServiceDefinition[]) => {
      const tx = new Transaction(table);
      for (const definition of definitions) tx.put(definition);
      tx.operations();
      tx.accept();
    };
    /* Besides its name, the text of each has between one and two parts. */
    commit(service(1, 256 * (have - 4)));
    assert.equal(table.definitions?.used, have - 2);
    commit(service(1, 256 * (have - 4), 8081));
    assert.equal(table.definitions.used, have - 2, 'it takes the place of the old one');
    const tx = new Transaction(table);
    const isFull = (need: number) => (error: unknown) =>
      error instanceof MapFullError &&
      error.map === 'definitions' &&
      error.need === need &&
      error.have === have &&
      error.option === 'backends';
    assert.throws(() => tx.put(service(2, 1024)), isFull(have + 4));
    tx.put(service(3, 0));
    assert.throws(() => tx.put(service(4, 0)), isFull(have + 2));
    tx.operations();
    tx.accept();
    assert.deepEqual(
      [...table.records.keys()].map((name) => name.trim()),
      ['1', '3'],
    );
    table.reuse(table.takeRetired());
    assert.equal(table.ranges.used, 2);
    table.grow({ frontends: 8, backends: 8 });
    commit(service(2, 1024));
    assert.equal(table.definitions.used, have + 6);
  });
});
