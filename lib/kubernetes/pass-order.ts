import type { ServiceSpec } from '../spec';
import { claimsOf, withFrontends } from './candidate';

/** A service as it was (undefined: it was not there), and as it is to be. */
export interface ServiceChange {
  readonly before: ServiceSpec | undefined;
  readonly after: ServiceSpec;
}

/** What can be done one after the other, the deletions first. A name may be there twice. */
export interface Steps {
  readonly upserted: readonly ServiceSpec[];
  readonly deleted: readonly string[];
}

function keysOf(spec: ServiceSpec | undefined): Set<string> {
  return new Set(spec?.frontends.flatMap((frontend) => claimsOf(frontend, spec)));
}

/** What a service keeps while it passes its other frontends on; undefined: nothing. */
function withoutGains({ before, after }: ServiceChange): ServiceSpec | undefined {
  const had = keysOf(before);
  const kept = after.frontends.filter((frontend) => claimsOf(frontend, after).every((key) => had.has(key)));
  return withFrontends(after, kept);
}

/**
 * Orders changes so that no service takes a frontend that another one still has: those that pass one on let go first.
 * They may take others in turn, even from each other, only after that.
 */
export function passOrder(changes: readonly ServiceChange[]): Steps {
  const before = new Map<string, string>();
  for (const change of changes) for (const key of keysOf(change.before)) before.set(key, change.after.name);
  const losers = new Set<string>();
  for (const { after } of changes) {
    for (const key of keysOf(after)) {
      const owner = before.get(key);
      if (owner !== undefined && owner !== after.name) losers.add(owner);
    }
  }
  const passing: ServiceSpec[] = [];
  const taking: ServiceSpec[] = [];
  const deleted: string[] = [];
  for (const change of changes) {
    const { after } = change;
    const kept = losers.has(after.name) ? withoutGains(change) : after;
    if (kept !== after) taking.push(after);
    if (!kept) deleted.push(after.name);
    else if (losers.has(after.name)) passing.push(kept);
    else taking.push(after);
  }
  return { upserted: [...passing, ...taking], deleted };
}
