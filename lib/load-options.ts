import { MaglevLimit } from './abi';
import { definitionParts } from './definition-table';
import type { Options } from './options';
import { destroyPrograms, listPrograms, socketPrograms } from './programs';
import type { LoadOptions } from '../types/native';

/** Entries of the service tables that the canary takes. */
export const canaryEntries = { frontends: 1, backends: 2 } as const;

/** More devices and addresses than a node has; both tables are small. */
const maxDevices = 1024;
const maxAddresses = 4096;

/** Namespaces and cgroups that are left alone; clients that sockets were asked for; loaded backends. */
const maxExceptions = 16_384;
const maxClients = 4096;
const maxLoads = 65_536;

/** Pending flows are short-lived: a quarter of what confirmed ones have, but enough for a burst, however few flows. */
function pendingFlows(flows: number): number {
  return Math.max(Math.ceil(flows / 4), Math.min(flows, 16_384), 4096);
}

/** Sizes of the kernel's tables. What only one of the two layers uses stays tiny when that layer is off. */
export function loadOptions({ capacity, socketLB, serviceCIDRs, stateDir }: Options): LoadOptions {
  const frontends = capacity.frontends + canaryEntries.frontends;
  return {
    maxEntries: {
      services4: frontends,
      services6: frontends,
      backends: capacity.backends + canaryEntries.backends,
      addresses4: maxAddresses,
      addresses6: maxAddresses,
      devices: maxDevices,
      frontends4: capacity.frontends,
      frontends6: capacity.frontends,
      ranges4: capacity.sourceRanges + serviceCIDRs.length,
      ranges6: capacity.sourceRanges + serviceCIDRs.length,
      maglev: Math.ceil(capacity.maglevSlots / MaglevLimit.SLOTS_PER_WORD),
      definitions: stateDir === undefined ? 1 : definitionParts(capacity),
      affinities: capacity.affinities,
      fragments: capacity.fragments,
      clients: socketLB ? maxClients : 1,
      exceptions: socketLB ? maxExceptions : 1,
      loads: maxLoads,
      origins: socketLB ? capacity.sockets : 1,
      flows4: capacity.flows,
      flows6: capacity.flows,
      pending4: pendingFlows(capacity.flows),
      pending6: pendingFlows(capacity.flows),
    },
    skipPrograms: socketLB ? [] : [...Object.keys(socketPrograms), ...listPrograms, ...destroyPrograms],
    reuseMaps: {},
  };
}
