import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { LoadBalancer, type ServiceSpec } from '../../lib';
import { skip } from '../support/skip';

const service = (name: string, address: string): ServiceSpec => ({
  name,
  frontends: [{ type: 'ClusterIP', address, port: 80 }],
  backends: [{ address: '10.244.0.1', port: 80 }],
});

const capacity = { frontends: 64, backends: 64, flows: 64, sockets: 64 };

describe('closing', () => {
  let stateDir: string;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  beforeEach(() => {
    stateDir = mkdtempSync(path.join(tmpdir(), 'bpf-lb-closing-'));
  });

  afterEach(() => {
    execFileSync('sh', ['-c', 'umount "$1" 2>/dev/null || true', 'sh', stateDir]);
    rmSync(stateDir, { recursive: true });
  });

  const open = (options = {}) => LoadBalancer.open({ socketLB: false, capacity, ...options });

  it('lets others have the state directory, which one at a time may have', async () => {
    const first = await open({ stateDir });
    await assert.rejects(open({ stateDir }), { code: 'ERR_BPF_STATE_LOCKED', stateDir, pid: process.pid });
    await first.close();
    await first.close();
    await (await open({ stateDir })).close();
  });

  it('of two that open one state directory at once one opens', async () => {
    const opened = await Promise.allSettled([open({ stateDir }), open({ stateDir })]);
    for (const each of opened) if (each.status === 'fulfilled') await each.value.close();
    assert.deepEqual(opened.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const refused = opened.find((each) => each.status === 'rejected');
    assert.equal((refused?.reason as { code?: string }).code, 'ERR_BPF_STATE_LOCKED');
  });

  it('waits for an apply() that is under way, and keeps later calls out', async () => {
    const lb = await open();
    const applied = lb.apply(Array.from({ length: 60 }, (_, i) => service(`s${i}`, `10.96.0.${i + 1}`)));
    const closed = lb.close();
    assert.equal((await applied).added.length, 60);
    await closed;
    await assert.rejects(lb.apply([]), { code: 'ERR_BPF_CLOSED' });
    assert.throws(() => lb.status(), { code: 'ERR_BPF_CLOSED' });
  });
});

describe('a service', () => {
  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
  });

  it('is updated by all calls of one tick', async () => {
    await using lb = await LoadBalancer.open({ socketLB: false, capacity });
    const web = await lb.upsertService(service('web', '10.96.0.1'));
    await Promise.all([
      web.update({ backends: [{ address: '10.244.0.9', port: 80 }] }),
      web.update({ internalTrafficPolicy: 'Local' }),
    ]);
    assert.deepEqual(web.backends.map(String), ['10.244.0.9:80']);
    assert.equal(web.internalTrafficPolicy, 'Local');
    await web.delete();
    await assert.rejects(web.update({}), { code: 'ERR_BPF_INVALID_NAME' });
  });

  it('fits when as many were asked for', async () => {
    await using lb = await LoadBalancer.open({ socketLB: false, capacity });
    const services = Array.from({ length: 64 }, (_, i) => service(`s${i}`, `10.96.0.${i + 1}`));
    assert.deepEqual(lb.plan(services).entries.services4, { need: 64, have: 64, swap: 0 });
    await lb.apply(services);
    assert.deepEqual(lb.metrics().tables.services4, { used: 64, capacity: 64 });
    await assert.rejects(lb.upsertService(service('more', '10.97.0.1')), {
      code: 'ERR_BPF_MAP_FULL',
      map: 'services4',
      need: 65,
      have: 64,
    });
  });
});
