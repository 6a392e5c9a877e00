import { MaglevLimit } from './abi';
import { LoadBalancerError } from './errors';
import { canaryEntries, loadOptions } from './load-options';
import type { Capacity, GrowingCapacity, Options } from './options';
import { allPrograms, liveTables, serviceTables } from './programs';
import type { Generation } from './state-generation';
import type { LoadOptions, MapShape, Native } from '../types/native';

/** How the tables of an earlier process are used. */
export interface TableAdoption {
  readonly load: LoadOptions;
  /** The service tables can be used as they are; otherwise they are made anew, from the definitions. */
  readonly inPlace: boolean;
  /** The sizes that the tables have then. */
  readonly capacity: Capacity;
}

/**
 * Which tables of `earlier` can be used instead of those that would be made. Tables of connections keep the size that they
 * have; the service tables get the one that is asked for, unless they have grown beyond it as far as they may.
 *
 * Throws `ERR_BPF_STATE` when tables of connections differ from what the programs need.
 */
export async function adoptTables(
  native: Native,
  earlier: Generation,
  options: Options,
): Promise<TableAdoption> {
  const declared = native.declaredMaps();
  const pinned = new Set(await earlier.names());
  const capacity = grownCapacity(native, earlier, pinned, options);
  const wanted = loadOptions({ ...options, capacity });
  const reuseMaps: Record<string, string> = {};
  const maxEntries = { ...wanted.maxEntries };
  const sizes: Record<string, number> = {};
  const reasons: string[] = [];
  for (const name of liveTables) {
    if (!pinned.has(name)) {
      reasons.push(`${name} is missing`);
      continue;
    }
    const shape = native.pinnedMap(earlier.pathOf(name));
    const difference = differenceOf(shape, declared[name]);
    if (difference) reasons.push(`${name}: ${difference}`);
    /* A table that was not in use has one entry. */
    const used =
      shape.maxEntries > 1 || shape.maxEntries === (maxEntries[name] ?? declared[name]?.maxEntries);
    if (!used) continue;
    reuseMaps[name] = earlier.pathOf(name);
    if (maxEntries[name] === undefined) continue;
    maxEntries[name] = shape.maxEntries;
    sizes[name] = shape.maxEntries;
  }
  const definitions = pinned.has('definitions') && native.pinnedMap(earlier.pathOf('definitions'));
  if (!definitions) reasons.push('definitions is missing');
  else if (differenceOf(definitions, declared['definitions']))
    reasons.push(`definitions: ${differenceOf(definitions, declared['definitions'])}`);
  if (reasons.length > 0) {
    throw new LoadBalancerError(
      'ERR_BPF_STATE',
      `The tables that an earlier process left behind are not what these programs need (${reasons.join('; ')}): ` +
        `connections would be lost. Use the version that made them, or another state directory.`,
    );
  }
  const inPlace = serviceTables.every((name) => {
    if (!pinned.has(name)) return false;
    const shape = native.pinnedMap(earlier.pathOf(name));
    const size = maxEntries[name] ?? declared[name]?.maxEntries;
    return !differenceOf(shape, declared[name]) && shape.maxEntries === size;
  });
  if (inPlace) for (const name of serviceTables) reuseMaps[name] = earlier.pathOf(name);
  return {
    load: { ...wanted, maxEntries, reuseMaps },
    inPlace,
    capacity: {
      ...capacity,
      sockets: sizes['origins'] ?? capacity.sockets,
      flows: sizes['flows4'] ?? capacity.flows,
      affinities: sizes['affinities'] ?? capacity.affinities,
      fragments: sizes['fragments'] ?? capacity.fragments,
    },
  };
}

/** What the service tables have, where that is between what is asked for and what they may grow to. */
function grownCapacity(
  native: Native,
  earlier: Generation,
  pinned: ReadonlySet<string>,
  { capacity, maxCapacity, serviceCIDRs }: Options,
): Capacity {
  const grown = { ...capacity };
  const note = (name: keyof GrowingCapacity, map: string, entries: (pinned: number) => number) => {
    if (!pinned.has(map)) return;
    const size = entries(native.pinnedMap(earlier.pathOf(map)).maxEntries);
    if (size > capacity[name] && size <= maxCapacity[name]) grown[name] = size;
  };
  note('frontends', 'services4', (entries) => entries - canaryEntries.frontends);
  note('backends', 'backends', (entries) => entries - canaryEntries.backends);
  note('maglevSlots', 'maglev', (entries) => entries * MaglevLimit.SLOTS_PER_WORD);
  note('sourceRanges', 'ranges4', (entries) => entries - serviceCIDRs.length);
  return grown;
}

/** All tables of a generation and no program: for who only reads. */
export async function readerOf(native: Native, generation: Generation): Promise<LoadOptions> {
  const declared = native.declaredMaps();
  /* What another version has made otherwise can be told from the definitions. */
  const names = (await generation.names()).filter(
    (name) => name in declared && !differenceOf(native.pinnedMap(generation.pathOf(name)), declared[name]),
  );
  const reuseMaps = Object.fromEntries(names.map((name) => [name, generation.pathOf(name)]));
  return { maxEntries: {}, skipPrograms: allPrograms, reuseMaps };
}

function differenceOf(shape: MapShape, declared: MapShape | undefined): string | undefined {
  if (!declared) return 'is not known any more';
  for (const property of ['type', 'keySize', 'valueSize', 'flags'] as const) {
    if (shape[property] !== declared[property])
      return `${property} is ${shape[property]}, not ${declared[property]}`;
  }
  return undefined;
}
