import { DesiredServices } from '../../../lib/desired-services';
import { readDefinitions } from '../../../lib/definition-table';
import { layouts } from '../../../lib/abi';
import { LoadBalancerError } from '../../../lib/errors';
import { specOf } from '../../../lib/service';
import { defineService } from '../../../lib/service-definition';
import { ServiceTable } from '../../../lib/service-table';
import { makeSnapshot, readSnapshot } from '../../../lib/snapshot';
import type { ServiceSpec } from '../../../lib/spec';
import { Transaction } from '../../../lib/transaction';
import { type InputRound, mutate, Random } from './random';

const inputs = 4000;

const specs: ServiceSpec[] = [
  {
    name: 'web',
    frontends: [
      { type: 'ClusterIP', address: '10.96.0.1', port: 80, protocol: 'TCP' },
      { type: 'NodePort', port: 30_080 },
      { type: 'LoadBalancer', address: '2001:db8::1', port: 443 },
    ],
    backends: [
      { address: '10.244.0.1', port: 8080, weight: 2, local: true },
      { address: 'fd00::2', port: 8080, state: 'terminating' },
    ],
    sessionAffinity: 'ClientIP',
    sourceRanges: ['192.0.2.0/24'],
  },
  { name: 'ü\u0000', frontends: [{ type: 'HostPort', port: 53, protocol: 'UDP' }], backends: [] },
];

/** The definitions of services, as the kernel's table has them. */
function storedDefinitions() {
  const table = new ServiceTable({ frontends: 8, backends: 16 }, new Set(), 0, undefined, true);
  const tx = new Transaction(table);
  for (const spec of specs) tx.put(defineService(spec));
  for (const operation of tx.operations()) {
    if (operation.map === 'definitions' && operation.kind === 'update') return operation;
  }
  throw new Error('no definitions were written');
}

/** A file that somebody has edited, or cut off: services, or ERR_BPF_SNAPSHOT. */
function restoreMutated(random: Random, text: Buffer): void {
  let snapshot: unknown;
  try {
    snapshot = JSON.parse(mutate(random, text).toString());
  } catch {
    return; // no JSON is the embedder's finding
  }
  try {
    const desired = new DesiredServices([1, 0]);
    for (const spec of readSnapshot(snapshot)) desired.add(spec);
    desired.settle(new ServiceTable({ frontends: 8, backends: 16 }, new Set()));
  } catch (error) {
    if (!(error instanceof LoadBalancerError && error.code === 'ERR_BPF_SNAPSHOT')) throw error;
  }
}

/** A table that somebody has written into: what can be read is a service, and the rest is left out. */
function readMutated(random: Random, { keys, values }: { keys: Uint8Array; values: Uint8Array }): void {
  const { size: keySize } = layouts.lb_definition_key;
  const { size: partSize } = layouts.lb_definition;
  const fit = (bytes: Uint8Array, length: number) =>
    Buffer.concat([mutate(random, bytes), Buffer.alloc(length)]).subarray(0, length);
  const count = keys.byteLength / keySize;
  const mutated = random.oneIn(3) ? fit(keys, keys.byteLength) : keys;
  const dump = { keys: mutated, values: fit(values, count * partSize), count };
  for (const { definition } of readDefinitions(dump).definitions) defineService(specOf(definition));
}

/** What was saved by an earlier process, and has been damaged since: snapshots as JSON, and definitions of services. */
export function fuzzSaved(seed: number): Promise<InputRound> {
  const random = new Random(seed);
  const text = Buffer.from(JSON.stringify(makeSnapshot(specs.map((spec) => defineService(spec)))));
  const stored = storedDefinitions();
  for (let i = 0; i < inputs; i++) {
    try {
      if (random.oneIn(2)) restoreMutated(random, text);
      else readMutated(random, stored);
    } catch (error) {
      return Promise.resolve({ inputs: i, failure: (error as Error).stack });
    }
  }
  return Promise.resolve({ inputs, failure: undefined });
}
