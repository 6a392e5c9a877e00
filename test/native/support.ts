import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadNative } from '../../lib/native';
import type { LoadOptions } from '../../types/native';
import { skip } from '../support/skip';

export const native = loadNative();

/** The whole object, with tables large enough for these tests. */
export const options: LoadOptions = {
  maxEntries: { services4: 20_000, backends: 1_000 },
  skipPrograms: [],
  reuseMaps: {},
};

/** The same without the programs that take the verifier long: for tests that load often. */
export const light: LoadOptions = {
  ...options,
  skipPrograms: ['ingress', 'ingress_l3', 'egress_l3', 'connect4', 'connect6', 'sendmsg4', 'sendmsg6'].map(
    (name) => `bpf_lb_${name}`,
  ),
};

/** How often to do what only chance brings about: seldom where one time shows what is wrong, as sanitizers do. */
export function repetitions(times: number): number {
  return process.env.BPF_LB_TEST_BOUNDED ? Math.ceil(times / 5) : times;
}

/** For a `before` hook. */
export function requireRoot(context: Mocha.Context): void {
  if (process.getuid?.() !== 0) skip(context, 'needs root');
}

/** What a test has to undo: latest first, and all of it even when one step fails. */
export class Cleanup {
  readonly #steps: (() => void)[] = [];

  add(step: () => void): void {
    this.#steps.push(step);
  }

  run(): void {
    const errors: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'clean-up failed');
  }
}

/** A `Cleanup` that runs after each test of the surrounding suite. */
export function cleanupAfterEach(): Cleanup {
  const cleanup = new Cleanup();
  afterEach(() => cleanup.run());
  return cleanup;
}

/** A cgroup v2 directory of our own. */
export function makeCgroup(cleanup: Cleanup): string {
  const mount = fs
    .readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')?.[1];
  if (mount === undefined) throw new Error('cgroup v2 is not mounted');
  const directory = fs.mkdtempSync(path.join(mount, 'bpf-lb-test-'));
  cleanup.add(() => fs.rmdirSync(directory));
  return directory;
}

/** A bpf file system of our own. */
export function makeBpffs(cleanup: Cleanup): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bpf-lb-test-'));
  cleanup.add(() => fs.rmdirSync(directory));
  native.mountBpffs(directory);
  cleanup.add(() => run('umount', directory));
  return directory;
}

/** A network namespace of our own with the loopback device up. Entered by `nsenter`, see `inNamespace`. */
export function makeNamespace(cleanup: Cleanup): string {
  const name = `bpf-lb-test-${process.pid}`;
  run('ip', 'netns', 'add', name);
  cleanup.add(() => run('ip', 'netns', 'del', name));
  run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  return name;
}

/** The prefix of a command that is to run in a namespace. */
export function inNamespace(name: string): string[] {
  return ['nsenter', `--net=/run/netns/${name}`];
}

/** The command line of a script of children/. */
export function child(script: string, ...nodeOptions: string[]): string[] {
  return [process.execPath, ...nodeOptions, '--import', 'tsx', path.join(__dirname, 'children', script)];
}

/** Runs a program to its end and returns what it wrote; throws if it fails. */
export function run(...command: string[]): string {
  const [file = '', ...args] = command;
  // Sanitizers are for Node and the addon: they find faults in other programs, too.
  const env = command.includes(process.execPath) ? process.env : { ...process.env, LD_PRELOAD: '' };
  const { status, signal, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    env,
    timeout: 50_000,
  });
  if (status !== 0) {
    throw new Error(`${command.join(' ')}: ${signal ?? `status ${status}`}\n${stdout}${stderr}`);
  }
  return stdout;
}

/** Open file descriptors of this process. */
export function openDescriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}

/** `count` keys or values of `size` bytes: each begins with its number, plus `start`, as a big-endian u32. */
export function numbered(count: number, size: number, start = 0): Uint8Array {
  const bytes = new Uint8Array(count * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) view.setUint32(i * size, start + i);
  return bytes;
}
