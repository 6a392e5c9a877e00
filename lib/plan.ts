import type { DesiredServices } from './desired-services';
import { type Exposure, exposureChange, type Outside } from './exposure';
import type { ServiceDefinition } from './service-definition';
import type { ServiceTable } from './service-table';

/** What `apply` would do with a desired state. Names are service names, in the order of the input. */
export interface Plan {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Number of services that stay as they are. */
  readonly unchanged: number;
  /** Services that cannot be what they are to be, and stay what they are, with the reason. */
  readonly failed: ReadonlyMap<string, Error>;
  /** What clients outside this node will reach and do not reach yet, or not from the same ranges. */
  readonly exposed: readonly Exposure[];
  /** What they reach now and will not reach any more. */
  readonly withdrawn: readonly Exposure[];
  /** Table entries that the desired state takes, and how many there are. */
  readonly entries: {
    readonly services4: { readonly need: number; readonly have: number };
    readonly services6: { readonly need: number; readonly have: number };
    readonly backends: { readonly need: number; readonly have: number };
  };
}

/** Compares; changes nothing. `desired` is settled. */
export function planServices(desired: DesiredServices, table: ServiceTable, outside: Outside): Plan {
  const { definitions, failures } = desired;
  const { capacity, records } = table;
  const [added, changed, removed]: [string[], string[], string[]] = [[], [], []];
  const [before, after]: [ServiceDefinition[], ServiceDefinition[]] = [[], []];
  for (const [name, definition] of desired.changes(table)) {
    const current = records.get(name);
    if (current) before.push(current.definition);
    if (definition) after.push(definition);
    (!definition ? removed : current ? changed : added).push(name);
  }
  let need4 = 0;
  let need6 = 0;
  let backends = 0;
  for (const definition of definitions.values()) {
    for (const { family } of definition.frontends) {
      if (family === 4) need4++;
      else need6++;
    }
    backends += definition.backends.length;
  }
  const exposure = exposureChange(before, after, outside);
  return {
    added,
    changed,
    removed,
    unchanged: definitions.size - added.length - changed.length,
    failed: failures,
    get exposed() {
      return exposure().exposed;
    },
    get withdrawn() {
      return exposure().withdrawn;
    },
    entries: {
      services4: { need: need4, have: capacity.frontends },
      services6: { need: need6, have: capacity.frontends },
      backends: { need: backends, have: capacity.backends },
    },
  };
}
