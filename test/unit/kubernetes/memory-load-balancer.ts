import { isIPv4 } from 'node:net';
import { constants } from 'node:os';

import type { ServiceSpec } from '../../../lib';
import { ApplyRun, carryOut } from '../../../lib/apply';
import { CommitQueue } from '../../../lib/commit-queue';
import { DesiredServices } from '../../../lib/desired-services';
import { LoadBalancerError } from '../../../lib/errors';
import type { SyncTarget } from '../../../lib/kubernetes';
import { defineService, type ServiceDefinition } from '../../../lib/service-definition';
import { ServiceTable } from '../../../lib/service-table';
import type { Datapath, MapOperation, Native } from '../../../types/native';
import { KernelTables } from '../../support/kernel-tables';

/** The library's own tables and transactions on plain memory, without sockets and devices. Records what is called. */
export class MemoryLoadBalancer implements SyncTarget {
  readonly calls: string[] = [];
  commits = 0;
  closed = false;
  /** IPv4 addresses of frontends that the kernel refuses, with the number of the error. */
  readonly refused = new Map<string, number>();
  /** Commits wait for it, if it is there. */
  gate: Promise<void> | undefined;
  readonly #table: ServiceTable;
  readonly #queue: CommitQueue;

  constructor(capacity = { frontends: 100, backends: 100 }) {
    const kernel = new KernelTables(capacity.backends);
    const commitNow = (operations: readonly MapOperation[]) => {
      this.commits++;
      this.#refuse(operations);
      kernel.run(operations);
    };
    const datapath = {
      commitNow,
      commit: (operations: readonly MapOperation[]) => Promise.resolve().then(() => commitNow(operations)),
    } as Datapath;
    const native = { gracePeriod: () => Promise.resolve() } as Native;
    this.#table = new ServiceTable(capacity, new Set());
    this.#queue = new CommitQueue(native, this.#table, datapath);
  }

  get names(): string[] {
    return [...this.#table.records.keys()].sort();
  }

  get definitions(): ReadonlyMap<string, ServiceDefinition> {
    return new Map([...this.#table.records].map(([name, { definition }]) => [name, definition]));
  }

  backendsOf(name: string): string[] | undefined {
    return this.#table.records.get(name)?.definition.backends.map(({ address }) => address);
  }

  async apply(desired: Iterable<ServiceSpec>): Promise<void> {
    const specs = [...desired];
    this.calls.push(`apply ${specs.length}`);
    this.#checkOpen();
    await this.gate;
    await this.#queue.hold(async (transact) => {
      const desired = new DesiredServices([0, 0]);
      for (const spec of specs) desired.add(spec);
      desired.settle(this.#table);
      await carryOut(new ApplyRun(desired, this.#table), transact, undefined, () => undefined);
    });
  }

  async upsertService(spec: ServiceSpec): Promise<void> {
    this.calls.push(`upsert ${spec.name}`);
    this.#checkOpen();
    const definition = defineService(spec);
    await this.#queue.add((tx) => tx.put(definition));
  }

  async deleteService(name: string): Promise<boolean> {
    this.calls.push(`delete ${name}`);
    this.#checkOpen();
    return this.#queue.add((tx) => tx.remove(name));
  }

  #checkOpen(): void {
    if (this.closed) throw new LoadBalancerError('ERR_BPF_CLOSED', 'The LoadBalancer is closed.');
  }

  #refuse(operations: readonly MapOperation[]): void {
    for (const operation of operations) {
      if (operation.kind !== 'update' || operation.map !== 'services4') continue;
      const keys = Buffer.from(operation.keys).toString('hex');
      for (const [address, errno] of this.refused)
        if (isIPv4(address) && keys.includes(hexOf(address))) throw failure(errno);
    }
  }
}

function hexOf(address: string): string {
  return Buffer.from(address.split('.').map(Number)).toString('hex');
}

/** As the addon's errors are. */
function failure(errno: number): Error {
  const code = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];
  return Object.assign(new Error(`${code}: bpf`), {
    code,
    errno: -errno,
    syscall: 'bpf',
    target: 'services4',
  });
}
