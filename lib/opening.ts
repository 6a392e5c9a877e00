import { isTracking } from './conntrack';
import { attempt } from './errors';
import { loadOptions } from './load-options';
import type { Options } from './options';
import type { StateDirectory } from './state-directory';
import { adoptTables, readerOf } from './state-tables';
import type { Datapath, LoadOptions, Native } from '../types/native';

/** The programs in the kernel, with tables of their own or those of an earlier process. */
export interface Loaded {
  readonly datapath: Datapath;
  /** With the sizes that the tables have. */
  readonly options: Options;
  /** Where the tables of an earlier process can be read: `datapath` itself where they are used on. */
  readonly earlier: Datapath | undefined;
}

/** With what the options ask of the programs themselves. */
export async function loadPrograms(
  native: Native,
  { existingConnections }: Options,
  load: LoadOptions,
): Promise<Datapath> {
  const readConntrack = existingConnections === 'leave' && (await isTracking(native));
  return native.load({ ...load, readConntrack });
}

/** Throws `ERR_BPF_STATE` for tables of an earlier process that cannot be used. */
export async function load(
  native: Native,
  options: Options,
  state: StateDirectory | undefined,
): Promise<Loaded> {
  const left = state?.earlier;
  const adoption =
    left &&
    (await attempt('look at the tables of an earlier process', () => adoptTables(native, left, options)));
  const datapath = await attempt('load the programs', () =>
    loadPrograms(native, options, adoption?.load ?? loadOptions(options)),
  );
  if (!adoption) return { datapath, options, earlier: undefined };
  const resized = { ...options, capacity: adoption.capacity };
  if (adoption.inPlace) return { datapath, options: resized, earlier: datapath };
  try {
    const earlier = await attempt('read the tables of an earlier process', async () =>
      native.load(await readerOf(native, left)),
    );
    return { datapath, options: resized, earlier };
  } catch (error) {
    datapath.close();
    throw error;
  }
}
