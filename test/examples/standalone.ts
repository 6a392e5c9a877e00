import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

import type { Cleanup } from '../support/cleanup';
import type { Node } from '../support/cluster/two-nodes';
import { eventually } from '../support/eventually';

const root = path.join(__dirname, '../..');

/** A line of the log. */
export interface Entry {
  time: string;
  level: string;
  event: string;
  message?: string;
  line?: number;
  added?: string[];
  changed?: string[];
  removed?: string[];
  unchanged?: number;
  kept?: boolean;
}

/** Milliseconds in which the process has to do a thing. Far more than it takes: time decides nothing here. */
const patience = 30_000;

/** Runs examples/standalone on a node. */
export class Standalone {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #entries: Entry[] = [];
  #seen = 0;
  #ended = false;
  /** What it has printed beside the log. */
  errors = '';

  constructor(cleanup: Cleanup, node: Node, file: string, ...options: string[]) {
    const main = path.join(root, 'examples/standalone/main.ts');
    const [program = '', ...args] = node.namespace.enter(
      ...[process.execPath, '--import', 'tsx', main, file, '--cgroup', node.cgroup],
      ...['--device', 'eth0', '--device', 'lxc+', ...options],
    );
    this.#child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exited = once(this.#child, 'close').then(() => (this.#ended = true));
    if (!this.#child.stdout) throw new Error('has no output');
    createInterface(this.#child.stdout).on('line', (line) => this.#entries.push(JSON.parse(line) as Entry));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    cleanup.add(async () => {
      this.#child.kill('SIGKILL');
      await this.#exited;
    });
  }

  get log(): readonly Entry[] {
    return this.#entries;
  }

  /** The next entry of this event; those before it count as seen. */
  async next(event: string): Promise<Entry> {
    const find = () => this.#entries.findIndex((entry, i) => i >= this.#seen && entry.event === event);
    let found = -1;
    await eventually(() => {
      const ended = this.#ended;
      found = find();
      if (found < 0 && ended) return;
      if (found < 0) throw new Error('not yet');
    }, patience).catch(() => undefined);
    if (found < 0)
      throw new Error(`${event} is not in the log: ${this.errors}${JSON.stringify(this.#entries)}`);
    this.#seen = found + 1;
    return this.#entries[found] as Entry;
  }

  /** Resolves with the exit code, once it has ended by itself or by the signal that is sent. */
  async ends(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal) this.#child.kill(signal);
    await this.#exited;
    return this.#child.exitCode;
  }
}
