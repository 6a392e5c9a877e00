import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';

import { cgroupMount } from '../support/cluster/cgroup';
import { skip } from '../support/skip';

const root = path.join(__dirname, '../..');

/** A demo that runs in a process group of its own, as a terminal would have it. */
class Demo {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #exited: Promise<[number | null, NodeJS.Signals | null]>;
  output = '';

  constructor(...options: string[]) {
    const script = path.join(root, 'examples/demo/demo.ts');
    this.#child = spawn(process.execPath, ['--import', 'tsx', script, ...options], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exited = once(this.#child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async prints(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      const ended = await Promise.race([
        once(this.#child.stdout, 'data').then(() => false),
        this.#exited.then(() => true),
      ]);
      assert(
        !ended || this.output.includes(text),
        `The demo ended before it printed "${text}":\n${this.output}`,
      );
    }
  }

  /** As Ctrl-C does, if it is still running: every process of the group gets the signal. */
  interrupt(): void {
    if (this.#child.exitCode === null) process.kill(-this.pid, 'SIGINT');
  }

  kill(): void {
    process.kill(this.pid, 'SIGKILL');
  }

  /** Resolves with the exit code. */
  async exited(): Promise<number | null> {
    return (await this.#exited)[0];
  }

  /** What is on the machine by the name of this demo. */
  traces(): string[] {
    const name = `bpf-lb-demo-${this.pid}`;
    const isTrace = (found: string) => found === name || found.startsWith(`${name}-`);
    const places = [cgroupMount() ?? '', '/run/netns', tmpdir()];
    const files = places.flatMap((place) => (existsSync(place) ? readdirSync(place).filter(isTrace) : []));
    return [...files, ...readdirSync('/proc').filter((pid) => commandLine(pid).includes(name))];
  }
}

function commandLine(pid: string): string {
  try {
    return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '';
  } catch {
    return ''; // it has ended meanwhile
  }
}

describe('demo', () => {
  let demo: Demo;

  before(function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (cgroupMount() === undefined) skip(this, 'needs cgroup v2');
  });

  afterEach(async () => {
    demo.interrupt();
    await demo.exited();
  });

  it('tells its story to the end and leaves nothing behind', async () => {
    demo = new Demo();
    assert.equal(await demo.exited(), 0, demo.output);
    assert.match(demo.output, /KubeProxyReplacement Details:\n +Status: +True\n +Socket LB: +Enabled\n/);
    assert.match(
      demo.output,
      /\n1 +10\.233\.90\.187:80\/TCP +ClusterIP +1 => 192\.168\.20\d\.\d:80\/TCP \(active\)\n/,
    );
    assert.match(demo.output, /\n2 +192\.168\.200\.11:32515\/TCP +NodePort /);
    assert.match(demo.output, /\neth0 +external +bpf_lb_egress \(\w+\) +bpf_lb_ingress \(\w+\)\n/);
    assert.match(demo.output, /\nHTTP\/1\.1 200 OK\r?\nServer: nginx/);
    assert.match(demo.output, /\nclient asks 192\.168\.200\.11:32515 400 times, 0 without an answer:\n/);
    assert.match(demo.output, /\ncurl: \(7\) /);
    assert.deepEqual(demo.traces(), []);
  });

  for (const heading of [
    'Two nodes',
    'Status of node1',
    'The page through the NodePort',
    'web-1 is taken out',
  ]) {
    it(`removes everything after Ctrl-C at "${heading}"`, async () => {
      demo = new Demo();
      await demo.prints(`== ${heading}`);
      assert.notDeepEqual(demo.traces(), []);
      demo.interrupt();
      assert.equal(await demo.exited(), 130, demo.output);
      assert.deepEqual(demo.traces(), []);
    });
  }

  it('removes everything after a failure, and says what failed', async () => {
    demo = new Demo();
    await demo.prints('== Status of node1');
    const processes = path.join(cgroupMount() as string, `bpf-lb-demo-${demo.pid}`, 'node2', 'cgroup.procs');
    const node2 = Number.parseInt(readFileSync(processes, 'utf8'));
    process.kill(node2, 'SIGKILL');
    assert.equal(await demo.exited(), 1, demo.output);
    assert.match(demo.output, /demo: node2: the process has ended/);
    assert.deepEqual(demo.traces(), []);
  });

  it('removes what a killed demo left behind', async () => {
    demo = new Demo();
    await demo.prints('== The page through the ClusterIP');
    demo.kill();
    await demo.exited();
    assert.notDeepEqual(demo.traces(), []);
    const killed = demo;
    demo = new Demo();
    await demo.prints('== Two nodes');
    assert.deepEqual(killed.traces(), []);
  });

  it('with --keep, runs on until Ctrl-C and tells how to enter', async () => {
    demo = new Demo('--keep');
    await demo.prints('Try there:');
    const [, entry] = /\non client: +(sh -c .*) bash\n/.exec(demo.output) ?? [];
    assert(entry, demo.output);
    const page = execFileSync('sh', ['-c', `${entry} curl -sS --max-time 5 http://192.168.200.11:32515/`]);
    assert.match(page.toString(), /Welcome to nginx!/);
    demo.interrupt();
    assert.equal(await demo.exited(), 130, demo.output);
    assert.deepEqual(demo.traces(), []);
  });

  it('refuses options that it does not know', async () => {
    demo = new Demo('--kepp');
    assert.equal(await demo.exited(), 1);
    assert.match(demo.output, /demo: .*--kepp/);
  });
});
