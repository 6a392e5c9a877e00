import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import type { Cleanup } from '../support/cleanup';
import { loadProgram } from './build';

/** What the clients met. */
export interface Counts {
  /** TCP connections, and datagrams of new sockets that wait for their answer. */
  attempted: number;
  /** Of those: refused, reset, without an answer for 5 s, or with a wrong one. */
  failed: number;
  failures: Record<'refused' | 'timeout' | 'reset' | 'wrong' | 'other', number>;
  /** Of those that did not fail: took more than 0.9 s, as with a packet that was sent again. */
  slow: number;
  /** Milliseconds of the longest that did not fail. */
  longest: number;
  /** Long-lived ones, of TCP and of UDP. */
  flows: number;
  /** Of those: broken, silent for 5 s, moved to another backend, or with bytes that were not sent. */
  lost: number;
  /** Of TCP flows, echoed and compared. */
  bytes: number;
  /** Datagrams of UDP flows. */
  questions: number;
  /** Of those, without an answer in 5 s. */
  unanswered: number;
  /** Packets from invented addresses. */
  flood: number;
}

/** Traffic in the background: see load.c. */
export class Load {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  /** What it said of failures. */
  readonly complaints: string[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    createInterface({ input: child.stderr! }).on('line', (line) => this.complaints.push(line));
  }

  /** Resolves when all parts have begun. */
  static async start(cleanup: Cleanup, parts: readonly string[]): Promise<Load> {
    const child = spawn(loadProgram, parts, { stdio: ['pipe', 'pipe', 'pipe'] });
    const ended = once(child, 'close');
    cleanup.add(() => {
      child.kill('SIGKILL');
      return ended;
    });
    const load = new Load(child);
    await load.#answer();
    return load;
  }

  /** A TCP port of the server with this number: connections that it has go on. */
  async setListening(server: number, index: number, isOpen: boolean): Promise<void> {
    await this.#ask(`${isOpen ? 'open' : 'close'} ${server} ${index}`);
  }

  /** What has been met so far. */
  report(): Promise<Counts> {
    return this.#ask('report');
  }

  /** Resolves when all that was under way has come to its end. */
  stop(): Promise<Counts> {
    return this.#ask('stop');
  }

  async #ask(command: string): Promise<Counts> {
    this.#child.stdin!.write(`${command}\n`);
    return JSON.parse(await this.#answer()) as Counts;
  }

  async #answer(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done) throw new Error(`The load generator has ended. ${this.complaints.join('; ')}`);
    return line.value;
  }
}
