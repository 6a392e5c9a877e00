import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';

const actions = { nothing: 0, count: 1, fail: 2, kill: 3 } as const;

/** Makes system calls of a process fail, or kills it there: see inject.c. */
export class Faults {
  readonly #library: string;
  readonly #plan: string;
  readonly #file: number;

  /** In a directory of the caller's, who removes it. */
  constructor(directory: string) {
    this.#library = path.join(directory, 'inject.so');
    this.#plan = path.join(directory, 'plan');
    execFileSync('cc', [
      ...['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', this.#library],
      ...[path.join(__dirname, 'inject.c'), '-ldl'],
    ]);
    this.#file = openSync(this.#plan, 'w+', 0o600);
    this.disarm();
  }

  /** The command that the process is to be started through. */
  get through(): readonly string[] {
    return ['env', `LD_PRELOAD=${this.#library}`, `BPF_LB_FAULTS=${this.#plan}`];
  }

  /** From now on; `at` counts from 1. */
  arm(action: 'count' | 'fail' | 'kill', at = 0, errno = 0): void {
    writeSync(this.#file, Uint32Array.of(actions[action], at, errno, 0), 0, 16, 0);
  }

  /** Returns how many calls there were since {@link arm}. */
  disarm(): number {
    const plan = new Uint32Array(4);
    readSync(this.#file, plan, 0, 16, 0);
    writeSync(this.#file, new Uint32Array(4), 0, 16, 0);
    return plan[3] as number;
  }

  close(): void {
    closeSync(this.#file);
  }
}
