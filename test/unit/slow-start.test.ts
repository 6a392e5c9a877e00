import assert from 'node:assert/strict';

import fc from 'fast-check';

import { carryOver, withDraining } from '../../lib/carry-over';
import { selectBackends } from '../../lib/selection';
import { defineService, sameService, type ServiceDefinition } from '../../lib/service-definition';
import { advanceRamps, nextStepOf, rampAt, rampSteps, weightsOf } from '../../lib/slow-start';
import type { BackendSpec, ServiceSpec } from '../../lib/spec';

const frontends = [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }] as const;

const backend = (last: number, more: Partial<BackendSpec> = {}): BackendSpec => ({
  address: `10.244.0.${last}`,
  port: 80,
  ...more,
});

function web(backends: readonly BackendSpec[], more: Partial<ServiceSpec> = {}): ServiceDefinition {
  return defineService({ name: 'web', frontends, backends, slowStart: 60, ...more });
}

const stepsOf = ({ backends }: ServiceDefinition) => backends.map(({ ramp }) => ramp?.step ?? rampSteps);

/** What an array of definitions that follow each other comes to; times in seconds. */
function history(...states: (readonly [at: number, definition: ServiceDefinition])[]): ServiceDefinition {
  const [[, first], ...others] = states as [(typeof states)[0], ...typeof states];
  return others.reduce((before, [at, after]) => carryOver(before, after, at), first);
}

describe('slow start', () => {
  const window = fc.double({ min: 0.1, max: 86_400, noNaN: true });
  const time = fc.double({ min: 0, max: 1e6, noNaN: true });

  it('grows from one step to all, never falls, and ends with the window', () => {
    fc.assert(
      fc.property(time, window, fc.array(time, { minLength: 2 }), (since, length, times) => {
        assert.equal(rampAt(since, length, since)?.step, 1);
        assert.equal(rampAt(since, length, since + 1.001 * length), undefined);
        let last = 0;
        for (const now of times.toSorted((a, b) => a - b)) {
          const step = rampAt(since, length, now)?.step ?? rampSteps;
          assert.ok(Number.isInteger(step) && step >= Math.max(last, 1) && step <= rampSteps);
          last = step;
        }
      }),
    );
  });

  it('is in proportion to the time: each step lasts a tenth of the window', () => {
    for (let step = 1; step < rampSteps; step++)
      assert.equal(rampAt(1000, 100, 1000 + 10 * step - 0.5)?.step, step);
    assert.equal(rampAt(1000, 100, 1100), undefined);
  });

  it('ends, if it is advanced when the next step is due', () => {
    fc.assert(
      fc.property(time, window, (since, slowStart) => {
        let definition = history(
          [0, web([backend(1)])],
          [since, web([backend(1), backend(2)], { slowStart })],
        );
        for (let i = 0; i < rampSteps - 1; i++) {
          const due = nextStepOf(definition);
          assert.ok(due !== undefined && due > since);
          /* A timer is late rather than early. */
          const next = advanceRamps(definition, due + slowStart / 1000);
          assert.equal(stepsOf(next)[1], (stepsOf(definition)[1] as number) + 1);
          definition = next;
        }
        assert.equal(nextStepOf(definition), undefined);
        assert.equal(advanceRamps(definition, since + 10 * slowStart), definition);
      }),
    );
  });

  it('is for backends that join, not for those that a service begins with', () => {
    const first = web([backend(1), backend(2)]);
    assert.deepEqual(stepsOf(first), [10, 10]);
    assert.deepEqual(stepsOf(carryOver(first, web([backend(1), backend(2), backend(3)]), 5)), [10, 10, 1]);
    assert.deepEqual(stepsOf(carryOver(first, web([backend(1), backend(3)], { slowStart: 0 }), 5)), [10, 10]);
  });

  it('is for backends that become active again', () => {
    for (const away of [
      { state: 'quarantined' },
      { state: 'terminating' },
      { weight: 0 },
    ] as Partial<BackendSpec>[]) {
      const both = web([backend(1), backend(2)]);
      const one = web([backend(1), backend(2, away)]);
      assert.deepEqual(stepsOf(history([0, both], [1, one])), [10, 10]);
      assert.deepEqual(stepsOf(history([0, both], [1, one], [2, both])), [10, 1]);
    }
    const drained = withDraining(web([backend(1), backend(2)]), backend(2), true, 1);
    assert.deepEqual(stepsOf(withDraining(drained, backend(2), false, 2)), [10, 1]);
  });

  it('goes on when the service is put again, whatever else is changed', () => {
    const after = history(
      [0, web([backend(1)])],
      [10, web([backend(1), backend(2)])],
      [40, web([backend(3), backend(2, { weight: 7 }), backend(1)])],
    );
    assert.deepEqual(stepsOf(after), [1, 6, 10]);
    assert.deepEqual(stepsOf(carryOver(after, web([backend(2)]), 80)), [10]);
  });

  it('is nothing that is desired: a spec is the same in it', () => {
    const desired = web([backend(1), backend(2)]);
    const after = history([0, web([backend(1)])], [1, desired]);
    assert.ok(sameService(after, desired));
    assert.ok(!sameService(after, web([backend(1), backend(2)], { slowStart: 30 })));
  });

  it('is a part of the weight, for every algorithm', () => {
    const after = history(
      [0, web([backend(1, { weight: 3 })])],
      [10, web([backend(1, { weight: 3 }), backend(2, { weight: 2 })])],
    );
    assert.deepEqual(weightsOf(after.backends), [30, 2]);
    const { weights, backends, count } = selectBackends(after, 4);
    assert.equal(count, 2);
    assert.deepEqual(
      backends.map(({ address }) => address),
      ['10.244.0.1', '10.244.0.2'],
    );
    /* By Walker's method the slot of the second one keeps what is its own of a half. */
    assert.equal((weights?.threshold[1] as number) / 2 ** 32 / 2, 2 / 32);
    assert.deepEqual(
      weightsOf(web([backend(1, { weight: 3 })]).backends),
      [3],
      'nothing is scaled without need',
    );
  });
});

describe('draining', () => {
  const both = web([backend(1), backend(2)], { slowStart: 0 });
  const drained = withDraining(both, backend(2), true, 1);

  it('takes a backend off the offer, whatever its state, also when there is no other', () => {
    const offered = (definition: ServiceDefinition) => {
      const { backends, usable } = selectBackends(definition, 4);
      return { backends: backends.map(({ address }) => address), usable };
    };
    assert.deepEqual(offered(drained), { backends: ['10.244.0.1'], usable: true });
    const none = { backends: [], usable: false };
    assert.deepEqual(offered(withDraining(drained, backend(1), true, 1)), none);
    const last = web([backend(1, { state: 'terminating', local: true })]);
    assert.deepEqual(offered(last), { backends: ['10.244.0.1'], usable: true });
    assert.deepEqual(offered(withDraining(last, backend(1), true, 1)), none);
  });

  it('lasts as long as the backend is listed', () => {
    const draining = (definition: ServiceDefinition) => definition.backends.map((b) => b.draining ?? false);
    assert.deepEqual(draining(carryOver(drained, web([backend(2), backend(3), backend(1)]), 2)), [
      true,
      false,
      false,
    ]);
    const without = carryOver(drained, web([backend(1)]), 2);
    assert.deepEqual(draining(carryOver(without, both, 3)), [false, false]);
    assert.ok(sameService(drained, both), 'and is nothing that is desired');
  });

  it('is done once', () => {
    assert.equal(withDraining(drained, backend(2), true, 1), drained);
    assert.equal(withDraining(both, backend(2), false, 1), both);
    assert.equal(withDraining(both, backend(9), true, 1), both);
  });
});
