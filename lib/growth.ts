import { attempt, type MapFullError } from './errors';
import type { Hook } from './hooks';
import type { LiveDatapath } from './live-datapath';
import { loadOptions } from './load-options';
import { loadPrograms } from './opening';
import type { Capacity, Options } from './options';
import { serviceTables } from './programs';
import type { ServiceTable } from './service-table';
import type { Datapath, LoadOptions, MapOperation, Native } from '../types/native';

/** BPF_MAP_TYPE_ARRAY */
const arrayMap = 2;

/** Bytes of an array that are copied at a time. */
const chunk = 2 ** 22;

/** What is to be done besides when tables grow. */
export interface GrowthEffects {
  /** All that is attached. */
  hooks(): Iterable<Hook>;
  /** `datapath` is in use now. */
  onGrown(datapath: Datapath): Promise<void>;
}

/**
 * Puts larger service tables in the place of full ones. A table of the kernel has the size that it was made with, so the
 * programs are loaded once more: with copies of the tables that grow, and with all the others as they are. Every link gets
 * the new program between two packets, or two calls; programs of both kinds read the same meanwhile, because nothing is
 * committed.
 */
export class TableGrowth {
  readonly #native: Native;
  readonly #datapath: LiveDatapath;
  readonly #table: ServiceTable;
  readonly #options: Options;
  readonly #effects: GrowthEffects;
  #capacity: Capacity;

  constructor(
    native: Native,
    datapath: LiveDatapath,
    table: ServiceTable,
    options: Options,
    effects: GrowthEffects,
  ) {
    this.#native = native;
    this.#datapath = datapath;
    this.#table = table;
    this.#options = options;
    this.#capacity = options.capacity;
    this.#effects = effects;
  }

  /** Makes room for what did not fit; false when that is not allowed. While it works, nothing may be committed. */
  async makeRoom({ map, option, need }: MapFullError): Promise<boolean> {
    const have = this.#capacity[option];
    const most = this.#options.maxCapacity[option];
    /* Texts have no size of their own: theirs follows from others, which grow until it is enough. */
    const wanted = map === 'definitions' ? 0 : need;
    if (have >= most || wanted > most) return false;
    /* One more than twice as many frontends is a power of two less one again. */
    await this.#grow({ ...this.#capacity, [option]: Math.min(most, Math.max(wanted, 2 * have + 1)) });
    return true;
  }

  async #grow(capacity: Capacity): Promise<void> {
    const before = loadOptions({ ...this.#options, capacity: this.#capacity }).maxEntries;
    const wanted = loadOptions({ ...this.#options, capacity });
    const grown = new Set<string>(serviceTables.filter((name) => wanted.maxEntries[name] !== before[name]));
    const next = await attempt('load the programs with larger tables', () =>
      loadPrograms(this.#native, this.#options, this.#sharing(wanted, grown)),
    );
    try {
      for (const name of grown) await attempt(`copy the table ${name}`, () => this.#copy(next, name));
      await attempt('attach the programs with larger tables', () => this.#move(next));
    } catch (error) {
      next.close();
      throw error;
    }
    this.#datapath.replace(next);
    this.#capacity = capacity;
    this.#table.grow(capacity);
    await this.#effects.onGrown(next);
  }

  /** Every link, or none. */
  #move(next: Datapath): void {
    const moved: Hook[] = [];
    try {
      for (const hook of this.#effects.hooks()) {
        if (!hook.link.attached()) continue;
        hook.link.update(next, hook.program);
        moved.push(hook);
      }
    } catch (error) {
      for (const { link, program } of moved) link.update(this.#datapath.current, program);
      throw error;
    }
  }

  /** All tables but the grown ones are those of the present datapath. */
  #sharing(wanted: LoadOptions, grown: ReadonlySet<string>): LoadOptions {
    const current = this.#datapath.current;
    /* Names with a dot are sections of the object, not tables. */
    const shared = Object.keys(this.#native.declaredMaps()).filter(
      (name) => !grown.has(name) && !name.includes('.'),
    );
    const maxEntries = { ...wanted.maxEntries };
    for (const name of shared) if (name in maxEntries) maxEntries[name] = current.mapInfo(name).maxEntries;
    return { ...wanted, maxEntries, reuseMaps: Object.fromEntries(shared.map((name) => [name, current])) };
  }

  async #copy(next: Datapath, map: string): Promise<void> {
    const current = this.#datapath.current;
    const { type, valueSize, maxEntries } = current.mapInfo(map);
    if (type === arrayMap) {
      const size = Math.ceil(valueSize / 8) * 8 * maxEntries;
      for (let offset = 0; offset < size; offset += chunk) {
        const bytes = current.read(map, offset, Math.min(chunk, size - offset));
        await next.commit([{ map, kind: 'store', offset, bytes }]);
      }
      return;
    }
    const { keys, values, count } = await current.dump(map);
    const operation: MapOperation = { map, kind: 'update', keys, values };
    if (count > 0) await next.commit([operation]);
  }
}
