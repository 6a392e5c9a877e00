import type { Endpoint } from './address';
import type { BackendDefinition, ServiceDefinition } from './service-definition';
import { isRamp, rampAt } from './slow-start';

/**
 * What a service is when it is put in the place of an earlier one: backends that stay go on draining and go on with their slow
 * start, and those that are given connections anew begin one. `now` in seconds of the programs' clock.
 */
export function carryOver(
  before: ServiceDefinition,
  after: ServiceDefinition,
  now: number,
): ServiceDefinition {
  const isTouched = before.backends.some(({ draining, ramp }) => draining || ramp);
  if (after.slowStart === 0 && !isTouched) return after;
  const earlier = new Map(before.backends.map((backend) => [keyOf(backend), backend]));
  const backends = after.backends.map((backend) =>
    continued(earlier.get(keyOf(backend)), backend, after.slowStart, now),
  );
  return { ...after, backends };
}

/** The service with one of its backends draining, or not any more. The same service if it is so already. */
export function withDraining(
  definition: ServiceDefinition,
  { address, port }: Endpoint,
  draining: boolean,
  now: number,
): ServiceDefinition {
  const backends = definition.backends.map((backend) => {
    if (backend.address !== address || backend.port !== port || !!backend.draining === draining)
      return backend;
    const changed = { ...backend, draining, ramp: undefined };
    return { ...changed, ramp: newRamp(backend, changed, definition.slowStart, now) };
  });
  return backends.every((b, i) => b === definition.backends[i]) ? definition : { ...definition, backends };
}

/** What has come of backends, by their position. */
export type Progress = Readonly<Record<number, Pick<BackendDefinition, 'draining' | 'ramp'>>>;

/** What {@link carryOver} would keep of a service; undefined: nothing. */
export function progressOf({ backends }: ServiceDefinition): Progress | undefined {
  const touched = backends.flatMap(({ draining, ramp }, i) =>
    draining || ramp ? [[i, { draining, ramp }] as const] : [],
  );
  return touched.length > 0 ? (Object.fromEntries(touched) as Progress) : undefined;
}

/** Whether something that was stored is what {@link progressOf} says. */
export function isProgress(stored: unknown): stored is Progress {
  return (
    typeof stored === 'object' &&
    stored !== null &&
    Object.values(stored as Record<string, unknown>).every((backend) => {
      if (typeof backend !== 'object' || backend === null) return false;
      const { draining, ramp, ...rest } = backend as { draining?: unknown; ramp?: unknown };
      const isDraining = draining === undefined || typeof draining === 'boolean';
      return isDraining && (ramp === undefined || isRamp(ramp)) && Object.keys(rest).length === 0;
    })
  );
}

/** The service with what {@link progressOf} said of it. */
export function withProgress(definition: ServiceDefinition, progress: Progress): ServiceDefinition {
  const backends = definition.backends.map((backend, i) => ({ ...backend, ...progress[i] }));
  return { ...definition, backends };
}

function continued(
  before: BackendDefinition | undefined,
  after: BackendDefinition,
  slowStart: number,
  now: number,
): BackendDefinition {
  const backend: BackendDefinition = before?.draining ? { ...after, draining: true } : after;
  if (slowStart === 0) return backend;
  const ramp =
    before?.ramp && takes(backend)
      ? rampAt(before.ramp.since, slowStart, now)
      : newRamp(before, backend, slowStart, now);
  return ramp === backend.ramp ? backend : { ...backend, ramp };
}

function newRamp(
  before: BackendDefinition | undefined,
  after: BackendDefinition,
  slowStart: number,
  now: number,
) {
  const isNew = takes(after) && !(before && takes(before));
  return isNew && slowStart > 0 ? rampAt(now, slowStart, now) : undefined;
}

/** Whether it is given new connections as a matter of course. */
function takes({ state, weight, draining }: BackendDefinition): boolean {
  return state === 'active' && weight > 0 && !draining;
}

function keyOf({ address, port }: BackendDefinition): string {
  return `${address} ${port}`;
}
