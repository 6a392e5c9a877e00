import { isDeepStrictEqual } from 'node:util';

import { formatEndpoint } from './address';
import { carryOver } from './carry-over';
import { monotonicSeconds } from './clock';
import type { DefinitionChange } from './datagram-flows';
import type { DesiredServices } from './desired-services';
import { type Exposure, exposureChange, type Outside } from './exposure';
import type { BackendDefinition, ServiceDefinition } from './service-definition';
import type { ServiceTable } from './service-table';
import { type SizedTable, type TableNeed, tableNeeds } from './table-needs';

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
  /** What becomes of the backends of services that are added, changed and removed; not of those that keep theirs. */
  readonly backends: readonly BackendChange[];
  /** What the desired state takes in each table. */
  readonly entries: Readonly<Record<SizedTable, TableNeed>>;
}

/** Backends as `address:port`. */
export interface BackendChange {
  readonly service: string;
  readonly added: readonly string[];
  /** They stay, with another state, weight or place. */
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** Compares; changes nothing. `desired` is settled. */
export function planServices(desired: DesiredServices, table: ServiceTable, outside: Outside): Plan {
  const { definitions, failures } = desired;
  const { capacity, policy, records } = table;
  const [added, changed, removed]: [string[], string[], string[]] = [[], [], []];
  const [before, after]: [ServiceDefinition[], ServiceDefinition[]] = [[], []];
  const changes = new Map<string, DefinitionChange>();
  for (const [name, wanted] of desired.changes(table)) {
    const current = records.get(name)?.definition;
    const definition = current && wanted ? carryOver(current, wanted, monotonicSeconds()) : wanted;
    if (current) before.push(current);
    if (definition) after.push(definition);
    changes.set(name, { before: current, after: definition });
    (!definition ? removed : current ? changed : added).push(name);
  }
  const exposure = exposureChange(before, after, outside);
  const states = [...table.listed()].map(
    (current) => changes.get(current.name) ?? { before: current, after: current },
  );
  for (const name of added) states.push(changes.get(name) as DefinitionChange);
  const backends = once(() => [...changes.values()].flatMap(backendChange));
  const entries = once(() => tableNeeds(states, policy, capacity));
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
    get backends() {
      return backends();
    },
    get entries() {
      return entries();
    },
  };
}

/** apply() makes plans, too, and few ask them for everything. */
function once<T>(find: () => T): () => T {
  let found: { readonly value: T } | undefined;
  return () => (found ??= { value: find() }).value;
}

function backendChange({ before, after }: DefinitionChange): BackendChange[] {
  const [old, now] = [byEndpoint(before), byEndpoint(after)];
  const both = [...now.keys()].filter((key) => old.has(key));
  const change = {
    service: ((after ?? before) as ServiceDefinition).name,
    added: [...now.keys()].filter((key) => !old.has(key)),
    changed: both.filter((key) => !isDeepStrictEqual(old.get(key), now.get(key))),
    removed: [...old.keys()].filter((key) => !now.has(key)),
  };
  return change.added.length + change.changed.length + change.removed.length > 0 ? [change] : [];
}

function byEndpoint(service: ServiceDefinition | undefined): Map<string, BackendDefinition> {
  return new Map(
    service?.backends.map((backend) => [formatEndpoint(backend.address, backend.port), backend]),
  );
}
