import assert from 'node:assert/strict';

import { HookCases, repairPolicy } from '../../lib/hook-cases';
import type { HookLossCause, HookState } from '../../lib/hook-loss';

const period = 5000;
const hook = (program: string, cause?: HookLossCause): HookState => ({ program, where: 'eth0', cause });

describe('cases of lost hooks', () => {
  let cases: HookCases;

  beforeEach(() => {
    cases = new HookCases(period);
  });

  /** Lost, repaired, and lost again at once; returns what the second loss says of the next repair. */
  function loseAgain(now: number): number | undefined {
    cases.note([hook('a', 'detached')], now);
    cases.noteRepair(now);
    cases.note([hook('a')], now);
    return cases.note([hook('a', 'detached')], now).lost[0]?.retryIn;
  }

  it('a loss is news once, and so is its end', () => {
    assert.deepEqual(cases.note([hook('a'), hook('b')], 0), { lost: [], repaired: [] });
    const lost = [hook('a'), hook('b', 'detached')];
    assert.deepEqual(cases.note(lost, 1), {
      lost: [{ program: 'b', where: 'eth0', cause: 'detached', retryIn: 0 }],
      repaired: [],
    });
    assert.deepEqual(cases.note(lost, 2), { lost: [], repaired: [] });
    assert.equal(cases.isDue(2), true);
    assert.deepEqual(cases.note([hook('a'), hook('b')], 3), { lost: [], repaired: [hook('b')] });
    assert.equal(cases.isDue(3), false);
  });

  it('another cause is news', () => {
    cases.note([hook('a', 'cgroup-removed')], 0);
    const [lost] = cases.note([hook('a', 'cgroup-recreated')], 1).lost;
    assert.deepEqual([lost?.cause, lost?.retryIn], ['cgroup-recreated', 0]);
  });

  it('where there is no cgroup nothing is due', () => {
    const { lost } = cases.note([hook('a', 'cgroup-removed')], 0);
    assert.equal(lost[0]?.retryIn, undefined);
    assert.equal(cases.isDue(0), false);
  });

  it('repairs wait twice as long each time, and end', () => {
    let now = 0;
    const waits: (number | undefined)[] = [];
    for (let i = 0; i < repairPolicy.attempts; i++) {
      const wait = loseAgain(now);
      waits.push(wait);
      if (wait === undefined) break;
      assert.equal(cases.isDue(now + wait - 1), false);
      assert.equal(cases.isDue(now + wait), true);
      now += wait;
    }
    assert.deepEqual(waits, [10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, undefined]);
    assert.equal(cases.isDue(now + 1e9), false);
    cases.forgive();
    assert.equal(cases.isDue(now), true);
  });

  it('that nothing more will be tried is told, also of a program that never came back', () => {
    const lost = [hook('a', 'detached')];
    cases.note(lost, 0);
    for (let i = 0; i < repairPolicy.attempts; i++) {
      assert.deepEqual(cases.note(lost, i).lost, []);
      cases.noteRepair(i);
    }
    assert.deepEqual(cases.note(lost, 9).lost, [{ ...lost[0], retryIn: undefined }]);
    assert.deepEqual(cases.note(lost, 10).lost, []);
  });

  it('a program that has stayed long enough is trusted again', () => {
    loseAgain(0);
    cases.note([hook('a')], 1);
    const later = repairPolicy.longestDelay + 2;
    assert.equal(cases.note([hook('a', 'detached')], later).lost[0]?.retryIn, 0);
  });

  it('a hook that is nobody’s any more is forgotten', () => {
    cases.note([hook('a', 'detached')], 0);
    assert.deepEqual(cases.note([], 1), { lost: [], repaired: [] });
    assert.equal(cases.isDue(1), false);
    assert.deepEqual(cases.note([hook('a')], 2), { lost: [], repaired: [] });
  });
});
