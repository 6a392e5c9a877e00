import { MaglevLimit } from './abi';
import { adoptServices } from './adoption';
import { readDeviceTables, wildcardTexts } from './device-tables';
import { attempt, LoadBalancerError } from './errors';
import { canaryEntries } from './load-options';
import { type Metrics, readMetrics } from './metrics';
import { loadNative } from './native';
import type { ServiceOwner } from './service';
import { ServiceList } from './service-list';
import { ServiceTable } from './service-table';
import { makeSnapshot, type Snapshot } from './snapshot';
import { StateDirectory } from './state-directory';
import { readerOf } from './state-tables';
import type { Datapath } from '../types/native';

/**
 * What a LoadBalancer keeps in its state directory, for tools: it may be open meanwhile, in another process, and does not
 * notice. Changes nothing; properties tell what was there when it was opened, or at the last {@link refresh}.
 *
 * Needs what reading the directory needs (it belongs to the user who opened the LoadBalancer), and CAP_BPF.
 */
export class StateView {
  readonly #stateDir: string;
  #datapath: Datapath;
  #table: ServiceTable;
  #services: ServiceList;

  private constructor(stateDir: string, { datapath, table, services }: Contents) {
    this.#stateDir = stateDir;
    this.#datapath = datapath;
    this.#table = table;
    this.#services = services;
  }

  /** Throws `ERR_BPF_STATE` where there is no state, or that of another version, `ERR_BPF_PERMISSION`, `ERR_BPF_SYSCALL`. */
  static async open(stateDir: string): Promise<StateView> {
    return new StateView(stateDir, await read(stateDir));
  }

  /** Those of an unfinished change are shown as they are going to be. What would change a service, and `connections()`, reject with `ERR_BPF_READ_ONLY`. */
  get services(): ServiceList {
    return this.#services;
  }

  /** The same as the LoadBalancer's, for `restore()`. */
  snapshot(): Snapshot {
    return makeSnapshot(this.#table.listed());
  }

  /** What the programs have counted by now; table entries in use as they were. */
  metrics(): Metrics {
    return readMetrics(this.#datapath, this.#table);
  }

  /** Reads all anew. Rejects as {@link open} does; then what was read before stays. */
  async refresh(): Promise<void> {
    const contents = await read(this.#stateDir);
    this.#datapath.close();
    this.#datapath = contents.datapath;
    this.#table = contents.table;
    this.#services = contents.services;
  }

  /** Lets go of the tables. Idempotent. */
  close(): void {
    this.#datapath.close();
  }
}

interface Contents {
  readonly datapath: Datapath;
  readonly table: ServiceTable;
  readonly services: ServiceList;
}

async function read(stateDir: string): Promise<Contents> {
  const native = loadNative();
  const generation = await StateDirectory.read(native, stateDir);
  if (!generation) {
    throw new LoadBalancerError(
      'ERR_BPF_STATE',
      `There is no state in ${stateDir}: use the stateDir of a LoadBalancer that is open, or was closed with keep.`,
    );
  }
  return attempt(`read the state in ${stateDir}`, async () => {
    const datapath = await native.load(await readerOf(native, generation));
    try {
      const entries = (map: string) => datapath.mapInfo(map).maxEntries;
      const capacity = {
        frontends: entries('services4') - canaryEntries.frontends,
        backends: entries('backends') - canaryEntries.backends,
        maglevSlots: entries('maglev') * MaglevLimit.SLOTS_PER_WORD,
      };
      const table = new ServiceTable(capacity, new Set(), canaryEntries.backends);
      await adoptServices(datapath, table, [], true);
      const devices = await readDeviceTables(datapath);
      const services = new ServiceList(table, ownerOf(table), (type, family) =>
        wildcardTexts(devices, type, family),
      );
      return { datapath, table, services };
    } catch (error) {
      datapath.close();
      throw error;
    }
  });
}

function ownerOf({ records }: ServiceTable): ServiceOwner {
  const refuse = () =>
    Promise.reject(
      new LoadBalancerError('ERR_BPF_READ_ONLY', 'A view of a state changes nothing: ask the LoadBalancer.'),
    );
  return {
    record: (name) => records.get(name),
    updateService: refuse,
    deleteService: refuse,
    drains: { drain: refuse, undrain: refuse, connections: refuse },
    rebalancing: { rebalance: refuse },
  };
}
