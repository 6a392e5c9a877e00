import { type Exposure, exposureChange, type Outside } from './exposure';
import { sameService, type ServiceDefinition } from './service-definition';
import { isInternal, type ServiceTable } from './service-table';

/** What `apply` would do with a desired state. Names are service names, in the order of the input. */
export interface Plan {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Number of services that stay as they are. */
  readonly unchanged: number;
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

/** Compares; changes nothing. */
export function planServices(
  desired: readonly ServiceDefinition[],
  table: ServiceTable,
  outside: Outside,
): Plan {
  const added: string[] = [];
  const changed: string[] = [];
  const after: ServiceDefinition[] = [];
  const names = new Set<string>();
  let unchanged = 0;
  let need4 = 0;
  let need6 = 0;
  let backends = 0;
  for (const definition of desired) {
    names.add(definition.name);
    const current = table.records.get(definition.name);
    if (current && sameService(current.definition, definition)) {
      unchanged++;
    } else {
      after.push(definition);
      (current ? changed : added).push(definition.name);
    }
    for (const { family } of definition.frontends) {
      if (family === 4) need4++;
      else need6++;
    }
    backends += definition.backends.length;
  }
  const { capacity, records } = table;
  /* The library's own services are nobody's desire and stay. */
  const removed = [...records.keys()].filter((name) => !names.has(name) && !isInternal(name));
  const before = [...changed, ...removed].flatMap((name) => records.get(name)?.definition ?? []);
  const exposure = exposureChange(before, after, outside);
  return {
    added,
    changed,
    removed,
    unchanged,
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
