import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib/spec';
import { skip } from '../support/skip';
import { families } from './families';
import { Harness, verdicts } from './harness';
import { passed, request, Traffic } from './traffic';

/** Whether a packet comes in the middle of a change is chance, and rare. So what it would find is put into the tables. */
describe('program: services that change under a reader', function () {
  const count = 200;
  let harness: Harness;
  let traffic: Traffic;
  let sourcePort = 1024;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    harness = await Harness.open({ capacity: { backends: 64 } });
    traffic = new Traffic(harness);
  });

  after(() => harness?.close());

  const torn = async () => (await harness.call('counters')).SERVICE_TORN ?? NaN;

  async function serve(more: Partial<ServiceSpec>, backends: ServiceSpec['backends']): Promise<void> {
    await harness.call('remove', 'web');
    await harness.call('put', {
      name: 'web',
      frontends: [{ type: 'NodePort', port: 30001 }],
      backends,
      ...more,
    });
  }

  const algorithms: Record<string, Partial<ServiceSpec>> = {
    random: {},
    weighted: {},
    Maglev: { algorithm: 'maglev', maglevTableSize: 251 },
    'least-connections': { algorithm: 'least-connections' },
    'session affinity': { sessionAffinity: 'ClientIP' },
  };

  for (const [family, { client, node, remote }] of Object.entries(families)) {
    const other = remote.replace(/2$/, '3');

    /** Of many clients, because some algorithms give a client always the same. */
    function ask() {
      sourcePort++;
      const sources = Array.from({ length: count }, (_, i) => client.replace(/2$/, `${10 + i}`));
      return traffic.send(sources.map((source) => request({ source, sourcePort, destination: node })));
    }

    for (const [algorithm, more] of Object.entries(algorithms)) {
      it(`${family}, ${algorithm}: never have a backend of another set`, async () => {
        await serve(more, [
          { address: remote, port: 8080, weight: algorithm === 'weighted' ? 3 : 1 },
          { address: other, port: 8080 },
        ]);
        assert.notEqual(await harness.call('tear', { of: 'backend', address: remote }), 0);
        const before = await torn();
        const all = await ask();
        const sent = all.filter(({ retval }) => retval !== verdicts.drop);
        assert.deepEqual(new Set(passed(sent).map(({ destination }) => destination)), new Set([other]));
        assert.equal((await torn()) - before, count - sent.length, 'the others are counted');
      });
    }

    for (const of of ['frontend', 'set'] as const) {
      it(`${family}: are not read when the ${of} is another`, async () => {
        await serve({}, [{ address: remote, port: 8080 }]);
        passed(await ask());
        assert.notEqual(await harness.call('tear', { of }), 0);
        const before = await torn();
        for (const { retval } of await ask()) assert.equal(retval, verdicts.drop);
        assert.equal((await torn()) - before, count);
      });
    }
  }
});
