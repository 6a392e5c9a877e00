import { cpus, loadavg, release, totalmem } from 'node:os';

import { run } from './command';

/** What figures depend on. */
export interface Machine {
  readonly cpus: number;
  readonly cpuModel: string;
  readonly memoryGB: number;
  readonly kernel: string;
  readonly node: string;
  readonly iptables: string;
  readonly nftables: string;
  /** Processes that wanted to run in the minute before, ours not among them. */
  readonly loadBefore: number;
}

/** This machine, without its name. */
export async function describeMachine(): Promise<Machine> {
  const version = async (command: string) => (await run(command, ['--version'])).split('\n')[0]?.trim() ?? '';
  return {
    cpus: cpus().length,
    cpuModel: cpus()[0]?.model ?? 'unknown',
    memoryGB: Math.round(totalmem() / 2 ** 30),
    kernel: /^\d+\.\d+(\.\d+)?/.exec(release())?.[0] ?? release(),
    node: process.version,
    iptables: await version('iptables'),
    nftables: await version('nft'),
    loadBefore: loadavg()[0] ?? 0,
  };
}
