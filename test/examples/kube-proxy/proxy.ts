import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { OpenOptions } from '../../../lib';
import type { Certificates } from '../../support/api-server/certificates';
import type { Cleanup } from '../../support/cleanup';
import { smallCapacity } from '../../support/cluster/load-balancer';
import type { Node } from '../../support/cluster/two-nodes';

const root = path.join(__dirname, '../../..');

/** How the example reaches the API server. */
export interface Access {
  url: string;
  certificates: Certificates;
  token: string;
  /** By a kubeconfig with a client's certificate, or as in a pod with a service account's token. */
  how: 'kubeconfig' | 'in-cluster';
}

/** A line that the example has printed. */
export interface LogLine {
  level: string;
  event: string;
  [detail: string]: unknown;
}

/** Seconds of silence after which the example opens a watch again. */
const idleLimit = 3;

/** Runs examples/kube-proxy on a node, as a user would. May be stopped and started again: its datapath stays. */
export class KubeProxy {
  readonly #node: Node;
  readonly #command: string[];
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;
  /** What it has printed since it was started. */
  output = '';

  constructor(cleanup: Cleanup, node: Node, access: Access) {
    const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-kube-proxy-'));
    cleanup.add(() => rmSync(directory, { recursive: true }));
    const open: OpenOptions = {
      devices: ['eth0', 'lxc+'],
      cgroup: node.cgroup,
      stateDir: mountBpf(cleanup, directory),
      capacity: smallCapacity,
      externalIPRanges: ['203.0.113.0/24', '2001:db8::cb00:7100/120'],
    };
    const files = writeFiles(directory, access);
    this.#node = node;
    this.#command = node.namespace.enter(
      ...(access.how === 'in-cluster' ? asInPod(files.serviceAccount) : []),
      ...[process.execPath, '--import', 'tsx', path.join(root, 'examples/kube-proxy/main.ts')],
      ...['--config', files.config, '--open', JSON.stringify(open)],
      ...['--host-ports', '--watch-idle-limit', String(idleLimit)],
    );
    const { hostname, port } = new URL(access.url);
    const reach =
      access.how === 'in-cluster'
        ? { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
        : { KUBECONFIG: files.kubeconfig };
    this.#env = { ...process.env, NODE_NAME: node.name, HOME: directory, ...reach };
    cleanup.add(() => this.kill());
  }

  /** Unless it runs; returns whether it was started. `options` are added to the command line. */
  start(...options: string[]): boolean {
    if (this.#isRunning) return false;
    this.output = '';
    const [file = '', ...args] = this.#command;
    const child = spawn(file, [...args, ...options], {
      cwd: root,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.#child = child;
    return true;
  }

  get #isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** By itself; resolves with its exit code. */
  async ended(): Promise<number | null> {
    if (this.#child && this.#isRunning) await once(this.#child, 'exit');
    return this.#child?.exitCode ?? null;
  }

  /** Asks it to end; resolves with its exit code. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  kill(): Promise<number | null> {
    return this.#end('SIGKILL');
  }

  logged(event: string): LogLine[] {
    return this.output
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as LogLine)
      .filter((line) => line.event === event);
  }

  /** Of one of its servers, asked on the node itself. */
  get(address: string): { status: number; body: string } {
    const output = this.#node.namespace.run(
      'curl',
      '-s',
      '--max-time',
      '5',
      '-w',
      '\n%{http_code}',
      `http://${address}`,
    );
    const [, body = '', status] = /^([^]*)\n(\d+)$/.exec(output) ?? [];
    return { status: Number(status), body };
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#isRunning) this.#child?.kill(signal);
    return this.ended();
  }
}

/** What pins are in has to outlive the mount namespace of a process as in a pod. */
function mountBpf(cleanup: Cleanup, directory: string): string {
  const stateDir = path.join(directory, 'state');
  mkdirSync(stateDir);
  execFileSync('mount', ['-t', 'bpf', 'bpf', stateDir]);
  cleanup.add(() => execFileSync('umount', [stateDir]));
  return stateDir;
}

/** Runs what follows with a service account where pods have it, which nobody else sees. */
function asInPod(serviceAccount: string): string[] {
  const target = '/run/secrets/kubernetes.io/serviceaccount';
  const script = `mount -t tmpfs tmpfs /run && mkdir -p ${target} && cp "$0"/* ${target} && exec "$@"`;
  return ['unshare', '--mount', 'sh', '-ec', script, serviceAccount];
}

function writeFiles(directory: string, { url, certificates, token }: Access) {
  const write = (name: string, content: unknown) => {
    const file = path.join(directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  };
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const user = {
    'client-certificate-data': base64(certificates.client.cert),
    'client-key-data': base64(certificates.client.key),
  };
  const cluster = { server: url, 'certificate-authority-data': base64(certificates.ca) };
  write('serviceaccount/ca.crt', certificates.ca);
  write('serviceaccount/namespace', 'kube-system');
  return {
    serviceAccount: path.dirname(write('serviceaccount/token', token)),
    kubeconfig: write('kubeconfig', {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [{ name: 'test', user }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      'current-context': 'test',
    }),
    config: write('config.yaml', configuration),
  };
}

const configuration = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
nodePortAddresses: [primary, localhost]
featureGates: { KubeProxyNFTablesLocalhostNodePorts: true }
nftables:
  minSyncPeriod: 10ms
  syncPeriod: 1s
`;
