import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { NetworkFollower } from '../../lib/network-follower';

const timing = { quiet: 50, latest: 500, retry: 100, retries: 3 };

/** A follower in a time that stands still unless it is told to go on. */
class Scene {
  refreshes = 0;
  readonly failures: unknown[] = [];
  readonly follower: NetworkFollower;
  watching = true;
  /** What the next refreshes do; then they succeed. */
  readonly outcomes: (() => Promise<void>)[] = [];
  #notice: () => void = () => undefined;

  constructor() {
    this.follower = new NetworkFollower(
      {
        watchNetwork: (onChange) => {
          this.#notice = onChange;
          return { close: () => (this.watching = false) };
        },
      },
      () => {
        this.refreshes++;
        return this.outcomes.shift()?.() ?? Promise.resolve();
      },
      (error) => this.failures.push(error),
      timing,
    );
  }

  change(): void {
    this.#notice();
  }

  /** Lets timers and then promises have their turn. */
  async pass(milliseconds: number): Promise<void> {
    mock.timers.tick(milliseconds);
    await setImmediate();
  }
}

describe('following the network', () => {
  let scene: Scene;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    scene = new Scene();
  });

  afterEach(() => mock.timers.reset());

  const fail = () => Promise.reject(new Error('refused'));

  it('refreshes once when changes have come to rest, and not before', async () => {
    for (let i = 0; i < 3; i++) {
      scene.change();
      await scene.pass(49);
    }
    assert.equal(scene.refreshes, 0);
    await scene.pass(1);
    assert.equal(scene.refreshes, 1);
    await scene.pass(10_000);
    assert.equal(scene.refreshes, 1);
  });

  it('refreshes at last when they never rest', async () => {
    for (let time = 0; time < 1000; time += 20) {
      scene.change();
      await scene.pass(20);
    }
    assert.equal(scene.refreshes, 2);
  });

  it('refreshes again, once, when something changes meanwhile', async () => {
    let finish = () => undefined as void;
    scene.outcomes.push(() => new Promise((resolve) => (finish = resolve)));
    scene.change();
    await scene.pass(50);
    for (let i = 0; i < 3; i++) {
      scene.change();
      await scene.pass(50);
    }
    assert.equal(scene.refreshes, 1, 'one at a time');
    finish();
    await scene.pass(0);
    assert.equal(scene.refreshes, 2);
    await scene.pass(10_000);
    assert.equal(scene.refreshes, 2);
  });

  it('tries again when it failed, later each time, and then waits for the next change', async () => {
    scene.outcomes.push(fail, fail, fail, fail);
    scene.change();
    await scene.pass(50);
    assert.equal(scene.refreshes, 1);
    for (const [tries, wait] of [100, 200, 400].entries()) {
      await scene.pass(wait - 1);
      assert.equal(scene.refreshes, tries + 1);
      await scene.pass(1);
      assert.equal(scene.refreshes, tries + 2);
    }
    assert.deepEqual(
      scene.failures.map(String),
      Array.from({ length: 4 }, () => 'Error: refused'),
    );
    await scene.pass(100_000);
    assert.equal(scene.refreshes, 4);
    scene.outcomes.push(fail);
    scene.change();
    await scene.pass(50);
    await scene.pass(100);
    assert.equal(scene.refreshes, 6, 'from the beginning');
  });

  it('stops when it succeeded', async () => {
    scene.outcomes.push(fail);
    scene.change();
    await scene.pass(50);
    await scene.pass(100);
    await scene.pass(100_000);
    assert.equal(scene.refreshes, 2);
    assert.equal(scene.failures.length, 1);
  });

  it('does nothing after close()', async () => {
    scene.change();
    scene.follower.close();
    assert.equal(scene.watching, false);
    await scene.pass(10_000);
    scene.change();
    await scene.pass(10_000);
    assert.equal(scene.refreshes, 0);
    scene.follower.close();
  });

  it('neither repeats nor reports what fails while it is closed', async () => {
    let refuse: (error: Error) => void = () => undefined;
    scene.outcomes.push(() => new Promise((_, reject) => (refuse = reject)));
    scene.change();
    await scene.pass(50);
    scene.change();
    await scene.pass(50);
    scene.follower.close();
    refuse(new Error('closed'));
    await scene.pass(10_000);
    assert.equal(scene.refreshes, 1);
    assert.deepEqual(scene.failures, []);
  });
});
