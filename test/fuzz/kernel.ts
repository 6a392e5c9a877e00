import path from 'node:path';

import type { OpenOptions } from '../../lib/options';
import { Cleanup } from '../support/cleanup';
import { makeCgroup } from '../support/cluster/cgroup';
import { start } from '../support/cluster/process';
import type { Remote } from '../support/cluster/rpc';
import type { FuzzAgent } from './agent';
import type { Planned } from './case';
import type { Outcome, Player } from './compare';
import { makeTopology } from './topology';

/** Flows of earlier questions are soon over, and refusals are not limited. */
const quick: OpenOptions = {
  flowLifetimes: { opening: 1, datagram: 1 },
  rejectsPerSecond: 1_000_000,
  followDevices: false,
  capacity: { frontends: 1023, backends: 8192, flows: 32_768, sockets: 4096 },
};

/** A node with a real LoadBalancer, asked by packets and by sockets. Needs root, and cgroup v2. */
export class Kernel implements Player {
  readonly #cleanup: Cleanup;
  readonly #agent: Remote<FuzzAgent>;
  readonly #cgroup: string;

  private constructor(cleanup: Cleanup, agent: Remote<FuzzAgent>, cgroup: string) {
    this.#cleanup = cleanup;
    this.#agent = agent;
    this.#cgroup = cgroup;
  }

  static async make(): Promise<Kernel> {
    const cleanup = new Cleanup();
    try {
      const cgroup = makeCgroup(cleanup, 'fuzz');
      const { node, pod } = makeTopology(cleanup);
      const script = path.join('..', '..', 'fuzz', 'agent.ts');
      const agent = await start<FuzzAgent>(cleanup, { namespace: node }, script);
      cleanup.add(() => agent.close());
      await agent.startClients(pod.enter(), cgroup);
      return new Kernel(cleanup, agent, cgroup);
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  async open(options: OpenOptions): Promise<void> {
    await this.#agent.open({ ...quick, ...options, cgroup: this.#cgroup });
  }

  play(planned: readonly Planned[]): Promise<Outcome[]> {
    return this.#agent.play(planned.map(({ action }) => action));
  }

  close(): Promise<void> {
    return this.#cleanup.run();
  }
}
