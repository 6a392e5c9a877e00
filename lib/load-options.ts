import type { Options } from './options';
import { socketPrograms } from './programs';
import type { LoadOptions } from '../types/native';

/** Entries of the service tables that the canary takes. */
export const canaryEntries = { frontends: 1, backends: 2 } as const;

/** More devices and addresses than a node has; both tables are small. */
const maxDevices = 1024;
const maxAddresses = 4096;

/** Sizes of the kernel's tables. What only one of the two layers uses stays tiny when that layer is off. */
export function loadOptions({ capacity, socketLB }: Options): LoadOptions {
  const frontends = capacity.frontends + canaryEntries.frontends;
  return {
    maxEntries: {
      services4: frontends,
      services6: frontends,
      backends: capacity.backends + canaryEntries.backends,
      addresses4: maxAddresses,
      addresses6: maxAddresses,
      devices: maxDevices,
      origins: socketLB ? capacity.sockets : 1,
      flows4: capacity.flows,
      flows6: capacity.flows,
    },
    skipPrograms: socketLB ? [] : Object.keys(socketPrograms),
    reuseMaps: {},
  };
}
