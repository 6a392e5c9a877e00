import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Cleanup } from '../support/cleanup';
import type { Node } from '../support/cluster/two-nodes';

const root = path.join(__dirname, '../..');

/** Runs examples/informer on a node, against an API server without authentication. */
export class Informer {
  readonly #child: ChildProcess;
  /** What it has printed: its errors. */
  output = '';

  constructor(cleanup: Cleanup, node: Node, server: string) {
    const main = path.join(root, 'examples/informer/main.ts');
    const [file = '', ...args] = node.namespace.enter(
      ...[process.execPath, '--import', 'tsx', main],
      ...['--device', 'eth0', '--device', 'lxc+', '--cgroup', node.cgroup],
    );
    this.#child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, NODE_NAME: node.name, KUBECONFIG: kubeconfig(cleanup, server) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
    cleanup.add(() => this.#end('SIGKILL'));
  }

  /** Asks it to end; resolves with its exit code. */
  async stop(): Promise<number | null> {
    await this.#end('SIGTERM');
    return this.#child.exitCode;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exit;
  }
}

function kubeconfig(cleanup: Cleanup, server: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-informer-'));
  cleanup.add(() => rmSync(directory, { recursive: true }));
  const file = path.join(directory, 'kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'test', user: {} }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}
