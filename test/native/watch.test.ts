import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { Watch } from '../../types/native';
import { makeRing, recordOf, type Ring } from './ring';
import {
  child,
  cleanupAfterEach,
  inNamespace,
  makeNamespace,
  native,
  openDescriptors,
  requireRoot,
  run,
} from './support';

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const ignore = () => {};
const numberOf = (record: Uint8Array) => Buffer.from(record.slice(0, 4)).readUInt32LE();

/** Lets the event loop turn until something has happened, then a few times more: it must not happen again. */
async function turnUntil(happened: () => boolean): Promise<void> {
  for (let i = 0; !happened(); i++) {
    assert.ok(i < 1_000, 'did not happen');
    await turn();
  }
  for (let i = 0; i < 10; i++) await turn();
}

describe('native watches', () => {
  const cleanup = cleanupAfterEach();

  before(function () {
    requireRoot(this);
  });

  describe('watchNetwork()', () => {
    for (const scenario of ['changes', 'bursts', 'loss', 'close', 'exceptions']) {
      it(`in a namespace: ${scenario}`, () => {
        run(...inNamespace(makeNamespace(cleanup)), ...child('watch-network.ts'), scenario);
      });
    }

    it('throws for what is not a function', () => {
      assert.throws(() => native.watchNetwork(undefined as unknown as () => void), {
        name: 'TypeError',
        message: 'onChange must be a function',
      });
    });

    it('ends a process whose callback throws', () => {
      const command = [...inNamespace(makeNamespace(cleanup)), ...child('watch-network.ts'), 'uncaught'];
      assert.throws(() => run(...command), /status 1\n[^]*Error: thrown by the callback/);
    });
  });

  describe('watchRing()', () => {
    let ring: Ring;

    beforeEach(async () => {
      ring = await makeRing(cleanup);
    });

    /** Watches to the end of the test: without a reference it would end with the next garbage collection. */
    function watchRing(onRecord: (record: Uint8Array) => void): Watch {
      const watch = ring.datapath.watchRing('events', onRecord);
      cleanup.add(() => watch.close());
      return watch;
    }

    it('delivers every record once, in order, with its bytes', async () => {
      const records: Uint8Array[] = [];
      ring.emit(10); // before the watch, too
      watchRing((record) => records.push(record));
      await turnUntil(() => records.length === 10);
      ring.emit(1_000);
      await turnUntil(() => records.length === 1_010);
      ring.emit(1);
      await turnUntil(() => records.length === 1_011);
      assert.deepEqual(records, numbers(0, 1_011).map(recordOf));
    });

    it('lets others have their turn after 256 records', async () => {
      const counts: number[] = [];
      let count = 0;
      ring.emit(1_000);
      watchRing(() => count++);
      while (counts.reduce((sum, one) => sum + one, 0) < 1_000) {
        await turn();
        counts.push(count);
        count = 0;
        assert.ok(counts.length < 1_000);
      }
      assert.deepEqual(
        counts.filter((one) => one > 0),
        [256, 256, 256, 232],
      );
    });

    it('goes on after the ring was full', async () => {
      const seen: number[] = [];
      watchRing((record) => seen.push(numberOf(record)));
      ring.emit(20_000);
      await turnUntil(() => seen.length > 256);
      for (let kept = -1; kept < seen.length; await turn()) kept = seen.length;
      const kept = seen.length;
      assert.ok(kept < 20_000);
      assert.deepEqual(seen, numbers(0, kept));
      ring.emit(2);
      await turnUntil(() => seen.length > kept);
      assert.deepEqual(seen.slice(kept), [20_000, 20_001]);
    });

    it('close() in the callback stops at once and leaves the rest to the next watch', async () => {
      const first: number[] = [];
      const second: number[] = [];
      ring.emit(500);
      const watch = watchRing((record) => {
        first.push(numberOf(record));
        if (first.length === 5) watch.close();
      });
      await turnUntil(() => first.length === 5);
      assert.deepEqual(first, numbers(0, 5));
      watchRing((record) => second.push(numberOf(record)));
      await turnUntil(() => second.length === 495);
      assert.deepEqual(second, numbers(5, 500));
      assert.equal(first.length, 5);
    });

    it('close() before the first record, and a second time', async () => {
      let count = 0;
      const watch = watchRing(() => count++);
      ring.emit(10);
      watch.close();
      watch.close();
      let taken = 0;
      watchRing(() => taken++);
      await turnUntil(() => taken === 10);
      assert.equal(count, 0);
    });

    it('ends with the datapath, also from inside the callback', async () => {
      const { datapath, emit } = await makeRing(cleanup);
      const descriptors = openDescriptors();
      let count = 0;
      emit(500);
      const watch = datapath.watchRing('events', () => {
        count++;
        datapath.close();
      });
      await turnUntil(() => count > 0);
      assert.equal(count, 1);
      assert.ok(openDescriptors() < descriptors);
      watch.close();
      assert.throws(() => datapath.watchRing('events', ignore), { code: 'ERR_BPF_CLOSED' });
    });

    it('opens and closes many times without leaving anything open', async () => {
      const cycle = () => ring.datapath.watchRing('events', ignore).close();
      cycle();
      const descriptors = openDescriptors();
      for (let i = 0; i < 200; i++) cycle();
      await turn();
      assert.equal(openDescriptors(), descriptors);
    });

    it('throws for arguments that make no sense', () => {
      const watch = (map: unknown, onRecord: unknown) => () =>
        ring.datapath.watchRing(map as string, onRecord as () => void);
      const { datapath } = ring;
      assert.throws(watch('backends', ignore), {
        name: 'TypeError',
        message: "map 'backends' is not a ring buffer",
      });
      assert.throws(watch('nothing', ignore), { name: 'TypeError' });
      assert.throws(watch(1, ignore), { name: 'TypeError' });
      assert.throws(watch('events', undefined), { name: 'TypeError' });
      // The other methods find nothing in it that they could work with.
      const [keys, values, none] = [new Uint8Array(8), new Uint8Array(8), new Uint8Array()];
      const failure = { name: 'Error', target: 'events' };
      assert.throws(() => datapath.lookup('events', none), failure);
      assert.throws(() => datapath.commitNow([{ map: 'events', kind: 'update', keys, values }]), {
        name: 'RangeError',
      });
    });
  });

  it('let the process end', () => {
    run(...inNamespace(makeNamespace(cleanup)), ...child('watch-exit.ts'));
  });
});
