import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';

import type { OpenOptions } from '../../lib/options';
import type { Calls } from './agent';

/** What tc does next, as the programs say it. */
export const verdicts = { next: 0xffffffff, drop: 2, redirect: 7 } as const;

let lastNumber = 0;

/** Of every device: frames for other stations are not looked at. */
const deviceAddress = '02:00:00:00:00:01';

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/**
 * A node with two devices in a namespace of its own: `eth0` towards clients (203.0.113.1/24, 2001:db8:1::1/64) and
 * `eth1` towards another node (10.0.9.1/24, fd00:9::1/64), which leads to pods in 10.244.2.0/24 and fd00:2::/64. `lxc0`
 * leads to pods of the node, 10.244.1.0/24 and fd00:1::/64. Neighbours need not exist: nothing leaves.
 */
export class Harness {
  readonly #namespace: string;
  readonly #child: ChildProcess;
  readonly #pending = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  #lastId = 0;

  private constructor(namespace: string) {
    this.#namespace = namespace;
    const agent = join(__dirname, 'agent.ts');
    this.#child = spawn(
      'nsenter',
      [`--net=/run/netns/${namespace}`, process.execPath, '--import', 'tsx', agent],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      },
    );
    this.#child.on('message', ({ id, value, error }: { id: number; value?: unknown; error?: string }) => {
      const waiting = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(error));
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#pending.values())
        reject(new Error(`the agent ended: ${code ?? signal}`));
      this.#pending.clear();
    });
  }

  static async open(options: OpenOptions = {}): Promise<Harness> {
    const namespace = `bl-${process.pid}-prog${++lastNumber}`;
    ip('netns', 'add', namespace);
    try {
      const inside = (...args: string[]) => ip('-n', namespace, ...args);
      inside('link', 'set', 'lo', 'up');
      for (const [name, v4, v6] of [
        ['eth0', '203.0.113.1/24', '2001:db8:1::1/64'],
        ['eth1', '10.0.9.1/24', 'fd00:9::1/64'],
        ['lxc0', '10.244.1.1/24', 'fd00:1::1/64'],
      ] as const) {
        inside('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`);
        inside('link', 'set', name, 'address', deviceAddress, 'up');
        inside('link', 'set', `${name}p`, 'up');
        inside('addr', 'add', v4, 'dev', name);
        inside('addr', 'add', v6, 'dev', name, 'nodad');
      }
      inside('route', 'add', '10.244.2.0/24', 'via', '10.0.9.2');
      inside('-6', 'route', 'add', 'fd00:2::/64', 'via', 'fd00:9::2');
      for (const setting of ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']) {
        execFileSync('nsenter', [`--net=/run/netns/${namespace}`, 'sysctl', '-qw', setting]);
      }
      const harness = new Harness(namespace);
      await harness.call('open', { devices: ['eth0', 'eth1'], ...options });
      return harness;
    } catch (error) {
      ip('netns', 'del', namespace);
      throw error;
    }
  }

  /** Runs ip(8) in the namespace. */
  ip(...args: string[]): void {
    ip('-n', this.#namespace, ...args);
  }

  call<K extends keyof Calls>(call: K, ...args: Parameters<Calls[K]>): ReturnType<Calls[K]> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, call, args });
    }) as ReturnType<Calls[K]>;
  }

  /** `flags` are BPF_F_TEST_*. */
  async run(program: 'bpf_lb_ingress' | 'bpf_lb_egress', device: string, frame: Uint8Array, flags = 0) {
    const result = await this.call('run', program, device, Buffer.from(frame).toString('hex'), flags);
    return { retval: result.retval, frame: Buffer.from(result.frame, 'hex') };
  }

  /** A frame that comes in. */
  enter(device: string, frame: Uint8Array) {
    return this.run('bpf_lb_ingress', device, frame);
  }

  /** A frame that goes out. */
  leave(device: string, frame: Uint8Array) {
    return this.run('bpf_lb_egress', device, frame);
  }

  /** Puts frames on the wire to a device, one after the other: they come in as real traffic does. */
  transmit(device: string, ...frames: Uint8Array[]): void {
    const script = [
      'import socket, sys',
      'wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)',
      'wire.bind((sys.argv[1], 0))',
      'for frame in sys.argv[2:]: wire.send(bytes.fromhex(frame))',
    ].join('\n');
    const hex = frames.map((frame) => Buffer.from(frame).toString('hex'));
    execFileSync('nsenter', [
      `--net=/run/netns/${this.#namespace}`,
      'python3',
      '-c',
      script,
      `${device}p`,
      ...hex,
    ]);
  }

  /** What `act` changes in the counters, without those that stay. */
  async countedBy(act: () => Promise<unknown>): Promise<Record<string, number>> {
    const before = await this.call('counters');
    await act();
    const after = await this.call('counters');
    const changes = Object.entries(after).map(([name, n]) => [name, n - (before[name] ?? 0)] as const);
    return Object.fromEntries(changes.filter(([, change]) => change !== 0));
  }

  /** Ends the agent and removes the namespace, whatever state they are in. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.connected) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.disconnect();
      await exited;
    }
    ip('netns', 'del', this.#namespace);
  }
}
