import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { serve } from './talk';

// The surroundings of the node that the machine is: veth pairs to an outside client, to a pod and to another node,
// each a process in a network namespace.

export const families = [4, 6] as const;
type Family = (typeof families)[number];

/** The node's processes: this one is moved there, the neighbours are not. */
export const cgroup = '/sys/fs/cgroup/node';

class Neighbour {
  readonly name: string;
  /** The node's end of the veth pair. */
  readonly device: string;
  readonly address: Record<Family, string>;
  /** The node's own, on this device. */
  readonly node: Record<Family, string>;
  #process: ChildProcess | undefined;

  constructor(name: string, device: string, subnet: number) {
    this.name = name;
    this.device = device;
    this.node = { 4: `10.${subnet}.0.1`, 6: `fd00:${subnet}::1` };
    this.address = { 4: `10.${subnet}.0.2`, 6: `fd00:${subnet}::2` };
  }

  async start(): Promise<void> {
    const { name, device, node, address } = this;
    ip(`netns add ${name}`);
    ip(`link add ${device} type veth peer name eth0 netns ${name}`);
    ip(`link set ${device} up`);
    ip(`-n ${name} link set eth0 up`);
    for (const family of families) {
      const rest = family === 4 ? '/24' : '/64 nodad';
      ip(`address add ${node[family]}${rest} dev ${device}`);
      ip(`-n ${name} address add ${address[family]}${rest} dev eth0`);
      ip(`-n ${name} route add default via ${node[family]}`);
    }
    const enter = [`--net=/run/netns/${name}`, process.execPath, path.join(__dirname, 'neighbour.js'), name];
    this.#process = spawn('nsenter', enter, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(this.#process, 'message');
  }

  /** Asks a server from the neighbour's side. */
  async ask(host: string, port: number): Promise<string> {
    if (!this.#process) throw new Error(`${this.name} was not started`);
    this.#process.send({ host, port });
    const [{ answer, error }] = (await once(this.#process, 'message')) as [
      { answer?: string; error?: string },
    ];
    if (answer === undefined) throw new Error(error);
    return answer;
  }

  stop(): void {
    this.#process?.disconnect();
  }
}

export const client = new Neighbour('client', 'eth0', 1);
export const pod = new Neighbour('pod', 'lxc0', 2);
export const other = new Neighbour('other', 'eth1', 3);
const neighbours = [client, pod, other];

/** Makes the network, with a server on every machine. */
export async function start(): Promise<void> {
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
  await serve('node');
  await Promise.all(neighbours.map((neighbour) => neighbour.start()));
  mkdirSync(cgroup);
  writeFileSync(`${cgroup}/cgroup.procs`, String(process.pid));
}

/** Ends the neighbours' processes, which this one would wait for. */
export function stop(): void {
  for (const neighbour of neighbours) neighbour.stop();
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: 'inherit' });
}
