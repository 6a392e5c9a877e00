import { FlowFlag, layouts } from '../../lib/abi';
import { CommitQueue } from '../../lib/commit-queue';
import { DeviceLayer } from '../../lib/device-layer';
import { Hooks } from '../../lib/hooks';
import { loadOptions } from '../../lib/load-options';
import { readMetrics } from '../../lib/metrics';
import { loadNative } from '../../lib/native';
import { type OpenOptions, parseOptions } from '../../lib/options';
import { defineService } from '../../lib/service-definition';
import { serviceCIDROperations } from '../../lib/service-cidrs';
import { ServiceTable } from '../../lib/service-table';
import { settingsOperation } from '../../lib/settings';
import type { ServiceSpec } from '../../lib/spec';
import type { Datapath } from '../../types/native';

/*
 * Runs in a network namespace as a child of the test: loads the programs, selects the devices, and sends packets
 * through the programs by BPF_PROG_TEST_RUN, where FIB lookups see the namespace's routes.
 */

/** What the test may ask for. */
export interface Calls {
  open(options: OpenOptions): Promise<Record<string, number>>;
  put(spec: ServiceSpec): Promise<boolean>;
  remove(name: string): Promise<boolean>;
  /** Frames in hex. */
  run(
    program: string,
    device: string,
    frame: string,
    flags: number,
  ): Promise<{ retval: number; frame: string }>;
  counters(): Promise<Record<string, number>>;
  flows(): Promise<number>;
  /** Removes one direction of every flow, as an LRU table may; returns how many. */
  evict(direction: 'request' | 'reply'): Promise<number>;
  close(): Promise<void>;
}

const native = loadNative();
let datapath: Datapath;
let table: ServiceTable;
let queue: CommitQueue;
let layer: DeviceLayer;
const ifindexes: Record<string, number> = {};

const calls: Calls = {
  async open(given) {
    const options = parseOptions({ ...given, socketLB: false });
    datapath = await native.load(loadOptions(options));
    table = new ServiceTable(options.capacity, new Set(), 0, options.policy);
    await datapath.commit([
      settingsOperation(options, native.netns().cookie),
      ...serviceCIDROperations(options.serviceCIDRs, table.networkHints),
    ]);
    queue = new CommitQueue(native, table, datapath);
    layer = new DeviceLayer(native, datapath, new Hooks(datapath, undefined), options);
    await layer.select(options.devices);
    await queue.add((tx) => tx.useNodeAddresses(layer.nodeAddresses));
    for (const { name, ifindex } of layer.devices) ifindexes[name] = ifindex;
    return ifindexes;
  },
  put: (spec) => queue.add((tx) => tx.put(defineService(spec))),
  remove: (name) => queue.add((tx) => tx.remove(name)),
  run(program, device, frame, flags) {
    const ifindex = ifindexes[device];
    if (ifindex === undefined) throw new Error(`no device ${device}`);
    const result = datapath.testRun(program, { data: Buffer.from(frame, 'hex'), ifindex, flags });
    return Promise.resolve({ retval: result.retval, frame: Buffer.from(result.data).toString('hex') });
  },
  counters() {
    const { counters } = readMetrics(datapath, table);
    return Promise.resolve(
      Object.fromEntries(Object.entries(counters).map(([name, n]) => [name, Number(n)])),
    );
  },
  async flows() {
    const [v4, v6] = [await datapath.dump('flows4'), await datapath.dump('flows6')];
    return v4.count + v6.count;
  },
  async evict(direction) {
    const { fields, size } = layouts.lb_flow4;
    const { keys, values, count } = await datapath.dump('flows4');
    const keySize = layouts.lb_tuple4.size;
    const gone: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const flags = values[i * size + fields.flow.offset + layouts.lb_flow.fields.flags.offset] as number;
      const reply = (flags & FlowFlag.REPLY) !== 0;
      if (reply === (direction === 'reply')) gone.push(keys.subarray(i * keySize, (i + 1) * keySize));
    }
    await datapath.commit([{ map: 'flows4', kind: 'delete', keys: Buffer.concat(gone) }]);
    return gone.length;
  },
  close() {
    layer.detach();
    datapath.close();
    return Promise.resolve();
  },
};

process.on('message', ({ id, call, args }: { id: number; call: keyof Calls; args: unknown[] }) => {
  Promise.resolve()
    .then(() => (calls[call] as (...args: unknown[]) => Promise<unknown>)(...args))
    .then(
      (value) => process.send?.({ id, value }),
      (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
    );
});
process.on('disconnect', () => process.exit(0));
