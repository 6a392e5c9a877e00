import { FlowFlag, layouts } from '../../lib/abi';
import { CommitQueue } from '../../lib/commit-queue';
import { DeviceLayer } from '../../lib/device-layer';
import { Hooks } from '../../lib/hooks';
import { liveDatapath } from '../../lib/live-datapath';
import { loadOptions } from '../../lib/load-options';
import { readMetrics } from '../../lib/metrics';
import { loadNative } from '../../lib/native';
import { type OpenOptions, type Options, parseOptions } from '../../lib/options';
import { defineService } from '../../lib/service-definition';
import { serviceCIDROperations } from '../../lib/service-cidrs';
import { ServiceTable } from '../../lib/service-table';
import { initialState, settingsOperation, stateOperation } from '../../lib/settings';
import { decodeCounted, type ShadowDecision } from '../../lib/shadow';
import type { ServiceSpec } from '../../lib/spec';
import type { Datapath } from '../../types/native';
import { type BulkCalls, bulkCalls } from './bulk';
import { type Tear, tear } from './tear';

/*
 * Runs in a network namespace as a child of the test: loads the programs, selects the devices, and sends packets
 * through the programs by BPF_PROG_TEST_RUN, where FIB lookups see the namespace's routes.
 */

/** A frame, in hex, through a program. */
export interface FrameRun {
  program: string;
  device: string;
  frame: string;
}

/** What the test may ask for. */
export interface Calls extends BulkCalls {
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
  /** The same for many frames, one after the other; `error` is the code of a run that the kernel refuses. */
  runAll(runs: readonly FrameRun[]): Promise<({ retval: number; frame: string } | { error: string })[]>;
  counters(): Promise<Record<string, number>>;
  /** Entries of all flows that live, one for each direction. */
  flows(): Promise<number>;
  /** Removes one direction of every flow, as an LRU table may; returns how many. */
  evict(direction: 'request' | 'reply'): Promise<number>;
  /** What was counted in shadow mode. */
  shadowDecisions(): Promise<(ShadowDecision & { count: number })[]>;
  /** Ends shadow mode. */
  activate(): Promise<void>;
  /** Leaves the tables as a change in its middle does; returns how many elements that concerns. */
  tear(what: Tear): Promise<number>;
  /** Entries of a table. */
  sizeOf(map: string): Promise<number>;
  close(): Promise<void>;
}

const native = loadNative();
let options: Options;
let datapath: Datapath;
let table: ServiceTable;
let queue: CommitQueue;
let layer: DeviceLayer;
const ifindexes: Record<string, number> = {};

/** The entries of one table of flows whose time is not over. */
async function livingFlows(family: '4' | '6', pending: boolean) {
  const map = (pending ? 'pending' : 'flows') + family;
  const { fields, size } = layouts[`lb_flow${family}`];
  const { expires, flags } = layouts.lb_flow.fields;
  const keySize = layouts[`lb_tuple${family}`].size;
  const { keys, values, count } = await datapath.dump(map);
  const view = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  const [now] = process.hrtime();
  const living = Array.from({ length: count }, (_, i) => i).filter(
    (i) => view.readUInt32LE(i * size + fields.flow.offset + expires.offset) >= now,
  );
  return {
    map,
    keys: living.map((i) => keys.subarray(i * keySize, (i + 1) * keySize)),
    flags: living.map((i) => view.readUInt8(i * size + fields.flow.offset + flags.offset)),
  };
}

function ifindexOf(device: string): number {
  const ifindex = ifindexes[device];
  if (ifindex === undefined) throw new Error(`no device ${device}`);
  return ifindex;
}

const calls: Calls = {
  ...bulkCalls(() => datapath, ifindexOf),
  async open(given) {
    options = parseOptions({ ...given, socketLB: false });
    datapath = await native.load(loadOptions(options));
    table = new ServiceTable(options.capacity, new Set(), 0, options.policy);
    await datapath.commit([
      settingsOperation(options, native.netns().cookie),
      ...serviceCIDROperations(options.serviceCIDRs, table.networkHints),
    ]);
    queue = new CommitQueue(native, table, datapath);
    layer = new DeviceLayer(native, datapath, new Hooks(native, liveDatapath(datapath), undefined), options);
    await layer.select(options.devices);
    await queue.add((tx) => tx.useNodeAddresses(layer.nodeAddresses));
    for (const { name, ifindex } of layer.devices) ifindexes[name] = ifindex;
    return ifindexes;
  },
  put: (spec) => queue.add((tx) => tx.put(defineService(spec))),
  remove: (name) => queue.add((tx) => tx.remove(name)),
  run(program, device, frame, flags) {
    const data = Buffer.from(frame, 'hex');
    const result = datapath.testRun(program, { data, ifindex: ifindexOf(device), flags });
    return Promise.resolve({ retval: result.retval, frame: Buffer.from(result.data).toString('hex') });
  },
  async runAll(runs) {
    const results = [];
    for (const { program, device, frame } of runs) {
      try {
        results.push(await calls.run(program, device, frame, 0));
      } catch (error) {
        results.push({ error: (error as NodeJS.ErrnoException).code ?? String(error) });
      }
    }
    return results;
  },
  counters() {
    const { counters } = readMetrics(datapath, table);
    return Promise.resolve(
      Object.fromEntries(Object.entries(counters).map(([name, n]) => [name, Number(n)])),
    );
  },
  async flows() {
    const tables = await Promise.all([
      livingFlows('4', false),
      livingFlows('4', true),
      livingFlows('6', false),
      livingFlows('6', true),
    ]);
    return tables.reduce((sum, { keys }) => sum + keys.length, 0);
  },
  async evict(direction) {
    let count = 0;
    for (const pending of [false, true]) {
      const { map, keys, flags } = await livingFlows('4', pending);
      const gone = keys.filter(
        (_, i) => ((flags[i] as number) & FlowFlag.REPLY ? 'reply' : 'request') === direction,
      );
      await datapath.commit([{ map, kind: 'delete', keys: Buffer.concat(gone) }]);
      count += gone.length;
    }
    return count;
  },
  async shadowDecisions() {
    const counted = decodeCounted(await datapath.dump('decisions'), table.owners);
    return counted.map((decision) => ({ ...decision, count: Number(decision.count) }));
  },
  activate: () => datapath.commit([stateOperation(options, { ...initialState(options), shadow: false })]),
  tear: (what) => tear(datapath, what, options.capacity.backends),
  sizeOf: async (map) => (await datapath.dump(map)).count,
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
