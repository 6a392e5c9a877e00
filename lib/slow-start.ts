import type { BackendDefinition, ServiceDefinition } from './service-definition';

/** How far the slow start of a backend is. */
export interface Ramp {
  /** When it began, in seconds of the programs' clock. */
  readonly since: number;
  /** Of {@link rampSteps}: the part of its weight that counts. */
  readonly step: number;
}

/** In so many steps a backend comes to its whole share. */
export const rampSteps = 10;

/** Whether something that was stored is a ramp. */
export function isRamp(stored: unknown): stored is Ramp {
  if (typeof stored !== 'object' || stored === null) return false;
  const { since, step } = stored as Partial<Ramp>;
  return (
    Number.isFinite(since) && Number.isInteger(step) && (step as number) >= 0 && (step as number) <= rampSteps
  );
}

/** The ramp of a backend at a time; undefined when it is over. Times and the window in seconds. */
export function rampAt(since: number, window: number, now: number): Ramp | undefined {
  const elapsed = Math.max(0, now - since);
  const step = elapsed >= window ? rampSteps : 1 + Math.floor((elapsed / window) * rampSteps);
  return step < rampSteps ? { since, step } : undefined;
}

/** The weights that count now, in proportion: those that were given, unless a backend is in slow start. */
export function weightsOf(backends: readonly BackendDefinition[]): number[] {
  if (!backends.some(({ ramp }) => ramp)) return backends.map(({ weight }) => weight);
  return backends.map(({ weight, ramp }) => weight * (ramp?.step ?? rampSteps));
}

/** The same service at a later time: itself, unless a ramp has come to another step. */
export function advanceRamps(definition: ServiceDefinition, now: number): ServiceDefinition {
  const { slowStart } = definition;
  const backends = definition.backends.map((backend) => {
    if (!backend.ramp) return backend;
    const ramp = rampAt(backend.ramp.since, slowStart, now);
    return ramp?.step === backend.ramp.step ? backend : { ...backend, ramp };
  });
  return backends.every((b, i) => b === definition.backends[i]) ? definition : { ...definition, backends };
}

/** When the next ramp of the service comes to its next step; undefined when there is none. */
export function nextStepOf({ backends, slowStart }: ServiceDefinition): number | undefined {
  const times = backends.flatMap(({ ramp }) =>
    ramp ? [ramp.since + (slowStart * ramp.step) / rampSteps] : [],
  );
  return times.length > 0 ? Math.min(...times) : undefined;
}
