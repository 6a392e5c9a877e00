import assert from 'node:assert/strict';

import fc from 'fast-check';

import { LoadBalancerError, type Snapshot } from '../../lib';
import { defineService } from '../../lib/service-definition';
import { makeSnapshot, readSnapshot } from '../../lib/snapshot';

describe('snapshots', () => {
  const spec = {
    name: 'default/web:http',
    frontends: [
      { type: 'ClusterIP', address: '10.96.0.1', port: 80 },
      { type: 'NodePort', port: 30080 },
    ],
    backends: [{ address: '10.0.0.1', port: 8080, weight: 2, state: 'terminating' }],
    sessionAffinity: 'ClientIP',
    sourceRanges: ['10.0.0.0/8'],
  } as const;

  it('describe services so that they come back the same, also by way of a file', () => {
    const definition = defineService(spec);
    const file = JSON.stringify(makeSnapshot([definition]));
    assert.deepEqual(readSnapshot(JSON.parse(file)).map(defineService), [definition]);
  });

  it('have a version, and are refused when that is another one', () => {
    const snapshot: Snapshot = makeSnapshot([]);
    assert.deepEqual(snapshot, { kind: 'bpf-lb services', version: 1, services: [] });
    assert.throws(() => readSnapshot({ ...snapshot, version: 2 }), {
      code: 'ERR_BPF_SNAPSHOT',
      message: /version 2, .* version 1/,
    });
  });

  it('are told from everything else', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        assert.throws(
          () => readSnapshot(value),
          (error: unknown) => error instanceof LoadBalancerError && error.code === 'ERR_BPF_SNAPSHOT',
        );
      }),
      { numRuns: 500 },
    );
  });
});
