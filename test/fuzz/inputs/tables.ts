import assert from 'node:assert/strict';

import { LoadBalancerError } from '../../../lib/errors';
import type { ServiceSpec } from '../../../lib/spec';
import { adopt, assertWhole, commit, makeServiceTable, stage } from '../../support/adopted-tables';
import { KernelTables } from '../../support/kernel-tables';
import { awkward, type InputRound, Random } from './random';

const inputs = 1500;

/** Little more than is in them, so that what is lost is missed. */
const capacity = { frontends: 16, backends: 64, maglevSlots: 2048, sourceRanges: 16 };

const backends = (count: number, subnet: number) =>
  Array.from({ length: count }, (_, i) => ({ address: `10.244.${subnet}.${i + 1}`, port: 8080 }));

/** What was there, and what is asked for afterwards. */
const before: ServiceSpec[] = [
  {
    name: 'web',
    frontends: [
      { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
      { type: 'ClusterIP', address: 'fd00:96::1', port: 80 },
      { type: 'NodePort', port: 30_080 },
    ],
    backends: [...backends(3, 1), { address: 'fd00:244::1', port: 8080, local: true }],
    sessionAffinity: 'ClientIP',
  },
  {
    name: 'hashed',
    frontends: [{ type: 'ClusterIP', address: '10.96.0.2', port: 443, protocol: 'UDP' }],
    backends: backends(2, 2),
    algorithm: 'maglev',
    maglevTableSize: 251,
  },
  {
    name: 'open',
    frontends: [{ type: 'LoadBalancer', address: '192.0.2.1', port: 443 }],
    backends: backends(4, 3),
    sourceRanges: ['198.51.100.0/24', '203.0.113.7/32'],
  },
  { name: 'empty', frontends: [{ type: 'HostPort', port: 53, protocol: 'UDP' }], backends: [] },
];
const after: ServiceSpec[] = [
  { ...before[0]!, backends: [...backends(2, 1), { address: 'fd00:244::2', port: 8080 }] },
  { ...before[1]!, backends: backends(5, 2) },
  before[2]!,
  {
    name: 'new',
    frontends: [{ type: 'ClusterIP', address: '10.96.0.3', port: 80 }],
    backends: backends(9, 4),
  },
];

/** Tables as a process leaves them that has changed some services meanwhile. */
async function leaveTables(): Promise<KernelTables> {
  const kernel = new KernelTables(capacity.backends, capacity.maglevSlots);
  const table = await adopt(kernel, makeServiceTable(capacity));
  commit(kernel, stage(table, after.slice(0, 2)));
  commit(kernel, stage(table, before));
  return kernel;
}

/** Writes into an element, adds one, or takes one away. */
function damage(random: Random, kernel: KernelTables): void {
  const byte = () => (random.oneIn(2) ? random.pick(awkward) : random.below(256));
  const scribble = (bytes: Uint8Array, size = bytes.length) => {
    const changed = Uint8Array.from(bytes);
    for (let times = random.below(3); times >= 0; times--) changed[random.below(size)] = byte();
    return changed;
  };
  if (random.oneIn(5)) {
    const map = random.pick(Object.keys(kernel.arrays));
    /* Most of what was written is at the start. */
    kernel.arrays[map] = scribble(kernel.arrays[map]!, map === 'backends' ? 1024 : undefined);
    return;
  }
  const elements = random.pick(Object.values(kernel.hashes).filter(({ size }) => size > 0));
  const [key, value] = random.pick([...elements]);
  switch (random.below(4)) {
    case 0:
      elements.delete(key);
      break;
    case 1:
      elements.set(Buffer.from(scribble(Buffer.from(key, 'hex'))).toString('hex'), value);
      break;
    default:
      elements.set(key, scribble(value));
  }
}

/** Adopted or refused; then everything is as it is asked for, and room for it is found. */
async function adoptDamaged(kernel: KernelTables): Promise<void> {
  const table = makeServiceTable(capacity);
  try {
    await adopt(kernel, table);
  } catch (error) {
    if (error instanceof LoadBalancerError && error.code === 'ERR_BPF_STATE') return;
    throw error;
  }
  assertWhole(kernel, table);
  for (const specs of [after, before]) {
    const wanted = new Set(specs.map(({ name }) => name));
    const gone = [...table.records.keys()].filter((name) => !wanted.has(name));
    table.reuse(table.takeRetired());
    commit(kernel, stage(table, specs, gone));
    assertWhole(kernel, table);
    assert.deepEqual(new Set(table.records.keys()), wanted);
  }
}

/** Tables of an earlier process that somebody has written into. */
export async function fuzzTables(seed: number): Promise<InputRound> {
  const random = new Random(seed);
  const left = await leaveTables();
  for (let i = 0; i < inputs; i++) {
    const kernel = left.clone();
    for (let times = random.below(3); times >= 0; times--) damage(random, kernel);
    try {
      await adoptDamaged(kernel);
    } catch (error) {
      return { inputs: i, failure: (error as Error).stack };
    }
  }
  return { inputs, failure: undefined };
}
