import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** A socket to connect: the version of its addresses, protocol, address and port. */
export type Wanted = [version: 4 | 6, protocol: 'TCP' | 'UDP', address: string, port: number];

/** The name of an errno, or the peer as the socket is told and as it really is. */
export type Connected = { error: string } | { told: [string, number]; real: [string, number] };

/** Connects sockets in a namespace and cgroup, many at a time. */
export class SocketClient {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** `enter`: the command that runs another one in the namespace. */
  constructor(enter: readonly string[], cgroup: string) {
    const python = [...enter, 'python3', path.join(__dirname, 'sockets.py')];
    const inCgroup = ['-c', 'echo $$ > "$0" && exec "$@"', path.join(cgroup, 'cgroup.procs'), ...python];
    const child = spawn('sh', inCgroup, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  async connect(wanted: readonly Wanted[]): Promise<Connected[]> {
    this.#child.stdin?.write(`${JSON.stringify(wanted)}\n`);
    const line = await this.#lines.next();
    if (line.done) throw new Error('the client of sockets has ended');
    return JSON.parse(line.value) as Connected[];
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}
