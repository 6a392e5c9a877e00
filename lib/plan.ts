import type { ServiceDefinition } from './service-definition';
import { sameService } from './service-definition';
import type { ServiceTable } from './service-table';

/** What `apply` would do with a desired state. Names are service names, in the order of the input. */
export interface Plan {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Number of services that stay as they are. */
  readonly unchanged: number;
  /** Table entries that the desired state takes, and how many there are. */
  readonly entries: {
    readonly services4: { readonly need: number; readonly have: number };
    readonly services6: { readonly need: number; readonly have: number };
    readonly backends: { readonly need: number; readonly have: number };
  };
}

/** Compares; changes nothing. */
export function planServices(desired: readonly ServiceDefinition[], table: ServiceTable): Plan {
  const added: string[] = [];
  const changed: string[] = [];
  const names = new Set<string>();
  let unchanged = 0;
  let need4 = 0;
  let need6 = 0;
  let backends = 0;
  for (const definition of desired) {
    names.add(definition.name);
    const current = table.records.get(definition.name);
    if (!current) added.push(definition.name);
    else if (sameService(current.definition, definition)) unchanged++;
    else changed.push(definition.name);
    for (const { family } of definition.frontends) {
      if (family === 4) need4++;
      else need6++;
    }
    backends += definition.backends.length;
  }
  const { capacity } = table;
  return {
    added,
    changed,
    removed: [...table.records.keys()].filter((name) => !names.has(name)),
    unchanged,
    entries: {
      services4: { need: need4, have: capacity.frontends },
      services6: { need: need6, have: capacity.frontends },
      backends: { need: backends, have: capacity.backends },
    },
  };
}
