import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';

import type { Cluster, Place } from './cluster';
import type { NodeCalls, Request, Response } from './node';

/** The process of a node, seen from the demo: runs node.ts and hands it calls. */
export class NodeProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #waiting: ((response: Response) => void)[] = [];
  #last = 0;

  constructor(cluster: Cluster, place: Place) {
    this.#name = place.name;
    const script = join(__dirname, 'node.ts');
    this.#child = cluster.start(
      place,
      [process.execPath, '--import', 'tsx', script],
      ['ignore', 'inherit', 'inherit', 'ipc'],
    );
    this.#child.on('message', (response: Response) => this.#waiting[response.id]?.(response));
    this.#child.once('exit', () => {
      for (const [id, settle] of this.#waiting.entries()) settle({ id, error: 'the process has ended' });
    });
  }

  /** Resolves with what the function of node.ts returned; rejects with what it threw. */
  call<K extends keyof NodeCalls>(
    name: K,
    ...args: Parameters<NodeCalls[K]>
  ): Promise<Awaited<ReturnType<NodeCalls[K]>>> {
    return new Promise((resolve, reject) => {
      const id = this.#last++;
      const settle = ({ value, error }: Response) =>
        error === undefined ? resolve(value as never) : reject(new Error(`${this.#name}: ${error}`));
      this.#waiting[id] = settle;
      this.#child.send({ id, call: name, args } satisfies Request, (failed) => {
        if (failed) settle({ id, error: 'the process has ended' });
      });
    });
  }
}
