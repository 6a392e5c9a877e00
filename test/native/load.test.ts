import assert from 'node:assert/strict';
import path from 'node:path';
import type { LoadOptions } from '../../types/native';
import {
  child,
  cleanupAfterEach,
  light,
  makeBpffs,
  native,
  numbered,
  openDescriptors,
  options,
  repetitions,
  requireRoot,
  run,
} from './support';

describe('native load()', () => {
  const cleanup = cleanupAfterEach();

  before(function () {
    requireRoot(this);
  });

  const load = async (change: Partial<LoadOptions> = {}) => {
    const datapath = await native.load({ ...options, ...change });
    cleanup.add(() => datapath.close());
    return datapath;
  };

  it('loads every program, and maps of the size asked for', async () => {
    const datapath = await load();
    assert.ok(datapath.programInfo('bpf_lb_connect4').id > 0);
    assert.ok(datapath.programInfo('bpf_lb_ingress').id > 0);
    assert.equal(datapath.mapInfo('services4').maxEntries, 20_000);
    assert.equal(datapath.mapInfo('services4').keySize, native.abi['lb_key4']?.size);
    assert.equal(datapath.mapInfo('services4').valueSize, native.abi['lb_service']?.size);
  });

  it('leaves programs out', async () => {
    const datapath = await load({ skipPrograms: ['bpf_lb_ingress'] });
    assert.throws(() => datapath.programInfo('bpf_lb_ingress'), { name: 'TypeError' });
    assert.ok(datapath.programInfo('bpf_lb_egress').id > 0);
  });

  it('rejects names that the object does not have', async () => {
    const invalid = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
    await assert.rejects(native.load({ ...options, maxEntries: { nothing: 1 } }), invalid);
    await assert.rejects(native.load({ ...options, skipPrograms: ['nothing'] }), invalid);
    await assert.rejects(native.load({ ...options, reuseMaps: { nothing: '/' } }), invalid);
  });

  it('throws for arguments of the wrong type or out of range', () => {
    const wrong = (value: unknown) => () => native.load(value as LoadOptions);
    assert.throws(wrong(undefined), { name: 'TypeError' });
    assert.throws(wrong({ ...options, maxEntries: null }), { name: 'TypeError' });
    assert.throws(wrong({ ...options, maxEntries: { services4: '1' } }), { name: 'TypeError' });
    assert.throws(wrong({ ...options, skipPrograms: {} }), { name: 'TypeError' });
    assert.throws(wrong({ ...options, reuseMaps: { services4: 'a\0b' } }), { name: 'TypeError' });
    for (const bad of [-1, 1.5, NaN, Infinity, 2 ** 32]) {
      assert.throws(wrong({ ...options, maxEntries: { services4: bad } }), { name: 'RangeError' });
    }
  });

  it('says which map could not be made, with the log of libbpf', async () => {
    const failure = native.load({ ...options, maxEntries: { services4: 2 ** 32 - 1 } });
    await assert.rejects(failure, (error: Error & Record<string, unknown>) => {
      assert.equal(error['code'], 'E2BIG');
      assert.equal(error['errno'], -7);
      assert.equal(error['syscall'], 'bpf_object__load');
      assert.equal(error['target'], 'services4');
      assert.match(String(error['log']), /services4.*failed to create/);
      return true;
    });
  });

  it('keeps the logs of simultaneous loads apart', async () => {
    const maps = ['services4', 'services6', 'addresses4', 'addresses6'];
    const outcomes = await Promise.allSettled(
      maps.map((map) => native.load({ ...options, maxEntries: { [map]: 2 ** 32 - 1 } })),
    );
    for (const [index, outcome] of outcomes.entries()) {
      assert.equal(outcome.status, 'rejected');
      assert.equal((outcome.reason as { target: string }).target, maps[index]);
    }
  });

  it('rejects with EPERM without capabilities', () => {
    const error = JSON.parse(
      run('setpriv', '--bounding-set=-all', '--inh-caps=-all', ...child('load-error.ts')),
    ) as Record<string, unknown>;
    assert.equal(error['code'], 'EPERM');
    assert.equal(error['errno'], -1);
    assert.equal(error['syscall'], 'bpf_object__load');
  });

  it('takes pinned maps over, contents and all', async () => {
    const pin = path.join(makeBpffs(cleanup), 'services4');
    const first = await load();
    first.pinMap('services4', pin);
    const { id, keySize, valueSize } = first.mapInfo('services4');
    const [keys, values] = [numbered(3, keySize), numbered(3, valueSize, 100)];
    await first.commit([{ map: 'services4', kind: 'update', keys, values }]);
    first.close();

    const second = await load({ reuseMaps: { services4: pin } });
    assert.equal(second.mapInfo('services4').id, id);
    assert.deepEqual(second.lookup('services4', keys.subarray(0, keySize)), values.subarray(0, valueSize));
  });

  it('takes the size of a pinned map over unless another is asked for', async () => {
    const pin = path.join(makeBpffs(cleanup), 'backends');
    (await load()).pinMap('backends', pin);
    const same = await load({ maxEntries: {}, reuseMaps: { backends: pin } });
    assert.equal(same.mapInfo('backends').maxEntries, 1_000);
    assert.equal(same.read('backends', 999 * same.mapInfo('backends').valueSize, 1).length, 1);
    await assert.rejects(load({ maxEntries: { backends: 999 }, reuseMaps: { backends: pin } }), {
      code: 'EINVAL',
      syscall: 'bpf_map__reuse_fd',
      target: pin,
      log: 'max_entries is 1000 instead of 999',
    });
  });

  it('rejects a pinned map of another shape, and a pin that is not there', async () => {
    const directory = makeBpffs(cleanup);
    const pin = path.join(directory, 'services6');
    (await load()).pinMap('services6', pin);
    await assert.rejects(load({ reuseMaps: { services4: pin } }), {
      code: 'EINVAL',
      target: pin,
      log: /^key size is \d+ instead of \d+$/,
    });
    const missing = path.join(directory, 'missing');
    await assert.rejects(load({ reuseMaps: { services4: missing } }), { code: 'ENOENT', target: missing });
  });

  it('fails to pin where there is no bpf file system', async () => {
    await assert.rejects(async () => (await load()).pinMap('services4', '/proc/bpf-lb-test'), {
      syscall: 'bpf_obj_pin',
      target: '/proc/bpf-lb-test',
    });
  });

  it('gives everything back at close(), which may be called twice', async () => {
    await load(light); // the thread pool and libbpf's own caches come into being
    const descriptors = openDescriptors();
    for (let i = 0; i < repetitions(100); i++) {
      const datapath = await native.load(light);
      assert.ok(openDescriptors() > descriptors);
      datapath.close();
      datapath.close();
    }
    assert.ok(openDescriptors() <= descriptors);
  });

  it('refuses every method after close()', async () => {
    const datapath = await load();
    datapath.close();
    const closed = { name: 'Error', code: 'ERR_BPF_CLOSED' };
    const key = new Uint8Array(8);
    assert.throws(() => datapath.lookup('services4', key), closed);
    assert.throws(() => datapath.read('backends', 0, 1), closed);
    assert.throws(() => datapath.mapInfo('services4'), closed);
    assert.throws(() => datapath.programInfo('bpf_lb_connect4'), closed);
    assert.throws(() => datapath.pinMap('services4', '/nowhere'), closed);
    assert.throws(() => datapath.testRun('bpf_lb_ingress', { data: key }), closed);
    assert.throws(() => datapath.commit([]), closed);
    assert.throws(() => datapath.dump('services4'), closed);
    assert.throws(() => datapath.attachCgroup('bpf_lb_connect4', '/'), closed);
    assert.throws(() => datapath.attachTcx('bpf_lb_ingress', 1), closed);
    assert.throws(() => datapath.attachClsact('bpf_lb_ingress', 1, 'ingress'), closed);
  });

  it('cannot be constructed or called on other objects from JavaScript', async () => {
    const datapath = await load();
    const Constructor = (datapath as unknown as { constructor: new (...args: unknown[]) => unknown })
      .constructor;
    assert.throws(() => new Constructor(), { name: 'TypeError' });
    assert.throws(() => new Constructor({}), { name: 'TypeError' });
    assert.throws(() => datapath.mapInfo.call({} as typeof datapath, 'services4'), { name: 'TypeError' });
  });
});
