import type { Random } from './random';

/** Thrown by getters and traps: comes through unchanged. */
export const marker = new Error('thrown by the input itself');

function fail(): never {
  throw marker;
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(16);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

/** Makers of values that hardly any function expects. No string is a path or a name of anything that exists. */
const makers: readonly ((random: Random) => unknown)[] = [
  () => undefined,
  () => null,
  () => true,
  () => Symbol('s'),
  (random) =>
    random.pick([NaN, -1, -0, 0, 0.5, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, Infinity, -Infinity]),
  (random) => random.pick([0n, -1n, 2n ** 64n]),
  (random) =>
    random.pick([
      '',
      'x\0y',
      '/nonexistent/of/bpf-lb',
      '\ud800',
      'a'.repeat(100_000),
      '999999999',
      '::',
      '__proto__',
    ]),
  (random) => new Uint8Array(random.below(80)),
  () => detached(),
  () => new Uint8Array(new SharedArrayBuffer(32)),
  (random) =>
    random.pick([
      new Float64Array(4),
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
      new Uint16Array(3),
    ]),
  () => new Uint8Array(64).subarray(3, 20),
  () => [],
  () => Object.assign([], { 1: 1 }),
  () => ({}),
  () => Object.create(null) as unknown,
  () => ({ length: 2 ** 32 }),
  () => new Date(NaN),
  () => new Map([[1, 2]]),
  () => Promise.resolve(1),
  () => () => undefined,
  () => class {},
  () => new Proxy({}, { get: fail, ownKeys: fail }),
  () => new Proxy([], { get: fail }),
  () => ({
    get kind() {
      return fail();
    },
    get name() {
      return fail();
    },
    get data() {
      return fail();
    },
  }),
  () => ({ toString: fail, valueOf: fail, [Symbol.toPrimitive]: fail }),
];

export function oddValue(random: Random, depth = 0): unknown {
  if (depth < 3 && random.oneIn(6)) {
    const list = Array.from({ length: random.below(4) }, () => oddValue(random, depth + 1));
    if (random.oneIn(2)) return list;
    return Object.fromEntries(
      list.map((value, i) => [random.pick(['name', 'port', 'address', `key${i}`]), value]),
    );
  }
  return random.pick(makers)(random);
}

/** A copy in which something, somewhere, is odd. */
export function withOddity(random: Random, value: unknown): unknown {
  if (random.oneIn(4) || typeof value !== 'object' || value === null) return oddValue(random);
  if (Array.isArray(value)) {
    const list: unknown[] = [...(value as unknown[])];
    const at = random.below(list.length + 1);
    list[at] = withOddity(random, list[at]);
    return list;
  }
  const key = random.pick([...Object.keys(value), 'unknown']);
  return { ...value, [key]: withOddity(random, (value as Record<string, unknown>)[key]) };
}

/** Whether it is what a caller is told, and not a fault of ours. */
export function isTyped(error: unknown): boolean {
  if (error === marker || error instanceof TypeError || error instanceof RangeError) return true;
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';
}

/** For a message; of whatever it is. */
export function describe(value: unknown): string {
  try {
    return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part))?.slice(
      0,
      500,
    );
  } catch {
    return `a ${typeof value} that cannot be shown`;
  }
}
