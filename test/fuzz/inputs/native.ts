import { setTimeout } from 'node:timers/promises';

import { loadNative } from '../../../lib/native';
import { devicePrograms, socketPrograms, tables } from '../../../lib/programs';
import type { Datapath, LoadOptions, Native } from '../../../types/native';
import { type InputRound, Random } from './random';
import { describe, isTyped, oddValue } from './values';

const inputs = 3000;
const patience = 20_000;

const programs = [...Object.keys(socketPrograms), ...Object.keys(devicePrograms.ethernet)];
/** Quick to verify, and enough to have each kind of hook. */
const loaded = ['bpf_lb_recvmsg4', 'bpf_lb_egress'];
const allPrograms = [...programs, ...Object.keys(devicePrograms.ip)];

const options: LoadOptions = {
  maxEntries: Object.fromEntries(
    ['flows4', 'flows6', 'pending4', 'pending6', 'origins'].map((map) => [map, 64]),
  ),
  skipPrograms: allPrograms.filter((program) => !loaded.includes(program)),
  reuseMaps: {},
};

type Method = (...args: unknown[]) => unknown;

/** All that an object of the addon can do, but for what ends it. */
function methodsOf(object: object): string[] {
  const prototype = Object.getPrototypeOf(object) as object;
  const inherited = prototype === Object.prototype ? [] : Object.getOwnPropertyNames(prototype);
  const names = [...Object.getOwnPropertyNames(object), ...inherited];
  return names.filter(
    (name) =>
      name !== 'constructor' &&
      name !== 'close' &&
      typeof (object as Record<string, unknown>)[name] === 'function',
  );
}

/** What some method may take. Nothing here exists outside of the datapath. */
function plausible(random: Random): unknown {
  const bytes = () => random.bytes(random.pick([0, 1, 4, 8, 12, 16, 20, 24, 36, 40, 64, 200]));
  switch (random.below(8)) {
    case 0:
      return random.pick(tables);
    case 1:
      return random.pick(loaded);
    case 2:
      return bytes();
    case 3:
      return random.pick([0, 2, 60, 2 ** 31 - 1]);
    case 4:
      return random.pick(['ingress', 'egress', '/nonexistent/of/bpf-lb', '192.0.2.1', '2001:db8::1']);
    case 5:
      return () => undefined;
    case 6:
      return Array.from({ length: random.below(4) }, () => operation(random, bytes));
    default:
      return {
        data: random.oneIn(4) ? oddValue(random) : bytes(),
        repeat: random.pick([0, 1, 2, -1, NaN, '1']),
        mark: random.oneIn(2) ? oddValue(random) : 1,
        flags: random.pick([0, 1, 2, 2 ** 32]),
        priority: random.below(9),
        handle: random.below(9),
        programTypes: [random.below(40)],
        mapTypes: [random.below(40)],
        helpers: [{ programType: random.below(40), helper: random.below(300) }],
        functions: random.oneIn(2) ? ['x'] : oddValue(random),
      };
  }
}

function operation(random: Random, bytes: () => Buffer): unknown {
  const [keys, values] = [bytes(), bytes()];
  const map = random.oneIn(8) ? oddValue(random) : random.pick(tables);
  const kind = random.oneIn(8) ? oddValue(random) : random.pick(['update', 'delete', 'store']);
  const given = { map, kind, keys, values, bytes: values, offset: random.pick([0, 8, -1, 2 ** 40, 2 ** 64]) };
  if (!random.oneIn(8)) return given;
  /* Takes away what was read, or will be. */
  return Object.defineProperty({ ...given }, 'map', {
    get: () => (structuredClone(keys, { transfer: [keys.buffer as ArrayBuffer] }), map),
  });
}

async function settle(result: unknown): Promise<unknown> {
  if (!(result instanceof Promise)) return result;
  const late = new AbortController();
  try {
    const never = setTimeout(patience, undefined, { signal: late.signal }).then(() => {
      throw new Error('the promise does not settle');
    });
    return await Promise.race([result, never]);
  } finally {
    late.abort();
  }
}

/** Ends what a call has begun. */
function end(result: unknown): void {
  if (typeof result !== 'object' || result === null) return;
  for (const name of ['detach', 'close', 'release'])
    if (name in result) (result as Record<string, Method>)[name]?.();
}

async function call(target: object, name: string, args: readonly unknown[]): Promise<string | undefined> {
  try {
    end(await settle((target as Record<string, Method>)[name]?.(...args)));
    return undefined;
  } catch (error) {
    if (isTyped(error)) return undefined;
    return `${name}(${args.map(describe).join(', ')}): ${String(error)}`;
  }
}

/** Tables, and everything that they hold, can still be written and read. */
async function works(datapath: Datapath): Promise<void> {
  const { keySize, valueSize } = datapath.mapInfo('services4');
  const [keys, values] = [new Uint8Array(keySize).fill(7), new Uint8Array(valueSize).fill(9)];
  await datapath.commit([{ map: 'services4', kind: 'update', keys, values }]);
  if (Buffer.compare(datapath.lookup('services4', keys) ?? new Uint8Array(), values) !== 0)
    throw new Error('a value is not what was written');
}

async function rounds(native: Native, datapath: Datapath, random: Random): Promise<InputRound> {
  const targets = [native, native, datapath, datapath, datapath] as const;
  for (let i = 0; i < inputs; i++) {
    const target = random.pick(targets);
    const name = random.pick(methodsOf(target));
    /* Nothing plausible is loaded: with tables of any size that would take memory. */
    const odd = name === 'load' || name === 'mountBpffs';
    const args = Array.from({ length: random.below(5) }, () =>
      odd || random.oneIn(3) ? oddValue(random) : plausible(random),
    );
    const failure = await call(target, name, args);
    if (failure !== undefined) return { inputs: i, failure };
  }
  await works(datapath);
  datapath.close();
  for (const name of methodsOf(datapath)) {
    const failure = await call(
      datapath,
      name,
      Array.from({ length: 3 }, () => plausible(random)),
    );
    if (failure !== undefined) return { inputs, failure: `after close(): ${failure}` };
  }
  return { inputs, failure: undefined };
}

/** Arguments of every kind for every method of the addon: each call returns or throws an error that says what it is. */
export async function fuzzNative(seed: number): Promise<InputRound> {
  const native = loadNative();
  const datapath = await native.load(options);
  try {
    return await rounds(native, datapath, new Random(seed));
  } finally {
    datapath.close();
  }
}
