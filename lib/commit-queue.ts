import type { DefinitionChange } from './datagram-flows';
import { attempt, LoadBalancerError, MapFullError } from './errors';
import type { ServiceTable } from './service-table';
import { RangesPending, Transaction } from './transaction';
import type { Datapath, MapOperation, Native } from '../types/native';

/** Puts a change together. */
export type Stage<T> = (tx: Transaction) => T | Promise<T>;

/** Stages and commits one transaction. Rejects when nothing of it is to be, or the kernel has refused it. */
export type Transact = <T>(stage: Stage<T>) => Promise<T>;

interface Promised {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Shares a commit with others. */
interface Call extends Promised {
  readonly stage: (tx: Transaction) => unknown;
}

/** Has the tables to itself. */
interface Hold extends Promised {
  readonly work: (transact: Transact) => Promise<unknown>;
}

/** The share of the backend array that may wait for a grace period before one is asked for. */
const retiredShare = 1 / 8;

/**
 * Bytes that are written on the calling thread: some ten microseconds of work, less than a change of threads costs.
 */
const smallCommit = 16 * 1024;

/**
 * Turns calls into commits. What is called in one tick, or while a commit is on its way, becomes the next commit; a
 * call that fails to stage fails alone, and a commit that the kernel refuses is taken back and fails all its calls.
 */
export class CommitQueue {
  readonly #table: ServiceTable;
  readonly #datapath: Datapath;
  readonly #native: Native;
  readonly #waiting: (Call | Hold)[] = [];
  readonly #onCommitted: (changes: readonly DefinitionChange[]) => void;
  readonly #makeRoom: (full: MapFullError) => Promise<boolean>;
  #running: Promise<void> | undefined;

  /**
   * `onCommitted` is told what the kernel has; it must not throw. `makeRoom` may enlarge a table that something does not
   * fit into, and then says so.
   */
  constructor(
    native: Native,
    table: ServiceTable,
    datapath: Datapath,
    onCommitted: (changes: readonly DefinitionChange[]) => void = () => undefined,
    makeRoom: (full: MapFullError) => Promise<boolean> = () => Promise.resolve(false),
  ) {
    this.#native = native;
    this.#table = table;
    this.#datapath = datapath;
    this.#onCommitted = onCommitted;
    this.#makeRoom = makeRoom;
  }

  /**
   * Resolves with what `stage` returned, once the kernel has the change. `alone` gives the call a transaction of its
   * own, of which nothing remains when `stage` throws; it may be asynchronous then.
   */
  add<T>(stage: Stage<T>, alone = false): Promise<T> {
    if (alone) return this.hold((transact) => transact(stage));
    return new Promise<T>((resolve, reject) =>
      this.#enqueue({ stage, resolve: resolve as Call['resolve'], reject }),
    );
  }

  /** Resolves with what `work` does, which may commit several times. What is called meanwhile waits. */
  hold<T>(work: (transact: Transact) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) =>
      this.#enqueue({ work, resolve: resolve as Hold['resolve'], reject }),
    );
  }

  /** Resolves when everything that was called so far has settled. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #enqueue(call: Call | Hold): void {
    this.#waiting.push(call);
    this.#running ??= Promise.resolve().then(() => this.#run());
  }

  async #run(): Promise<void> {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if ('work' in next) {
        this.#waiting.shift();
        await next.work((stage) => this.#transact(stage)).then(next.resolve, next.reject);
      } else {
        await this.#runBatch(this.#takeBatch());
      }
    }
    this.#running = undefined;
  }

  async #runBatch(calls: readonly Call[]): Promise<void> {
    const tx = new Transaction(this.#table);
    const done: { call: Call; value: unknown }[] = [];
    for (const call of calls) {
      try {
        done.push({ call, value: await this.#stage(call.stage, tx) });
      } catch (error) {
        call.reject(error);
      }
    }
    try {
      if (!tx.isEmpty) await this.#commit(tx);
      for (const { call, value } of done) call.resolve(value);
    } catch (error) {
      for (const { call } of done) call.reject(error);
    }
  }

  #takeBatch(): Call[] {
    const end = this.#waiting.findIndex((call) => 'work' in call);
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end) as Call[];
  }

  async #transact<T>(stage: Stage<T>): Promise<T> {
    const tx = new Transaction(this.#table);
    let value: T;
    try {
      value = await this.#stage(stage, tx, () => tx.abandon());
    } catch (error) {
      tx.abandon();
      throw error;
    }
    if (!tx.isEmpty) await this.#commit(tx);
    return value;
  }

  /** `startAgain` takes back what was staged before; a single call has staged nothing when it throws. */
  async #stage<T>(stage: Stage<T>, tx: Transaction, startAgain?: () => void): Promise<T> {
    for (;;) {
      try {
        return await stage(tx);
      } catch (error) {
        const pending = error instanceof RangesPending;
        if (!pending && (!(error instanceof MapFullError) || !(await this.#makeRoom(error)))) throw error;
        /* First: what was staged has ranges, too. */
        startAgain?.();
        if (pending) await this.#reclaim();
      }
    }
  }

  async #commit(tx: Transaction): Promise<void> {
    try {
      await attempt('write the service tables', () => this.#write(tx.operations()));
    } catch (error) {
      await this.#undo(tx, error);
      tx.abandon();
      throw error;
    }
    tx.accept();
    this.#onCommitted(tx.changes);
    if (this.#table.retiredEntries <= this.#table.capacity.backends * retiredShare) return;
    /* The kernel has the change, so its calls have succeeded; who needs the ranges asks again. */
    await this.#reclaim().catch(() => undefined);
  }

  #write(operations: readonly MapOperation[]): Promise<void> | void {
    const size = operations.reduce(
      (sum, op) => sum + (op.kind === 'store' ? op.bytes : op.keys).byteLength,
      0,
    );
    if (size > smallCommit) return this.#datapath.commit(operations);
    this.#datapath.commitNow(operations);
  }

  /** When even the way back fails, the ranges of both states stay taken: the kernel may point at either. */
  async #undo(tx: Transaction, error: unknown): Promise<void> {
    try {
      await this.#write(tx.undo());
    } catch (cause) {
      throw new LoadBalancerError(
        'ERR_BPF_SYSCALL',
        'A change was refused half-way and could not be taken back: open a new LoadBalancer and apply all services.',
        { cause: new AggregateError([error, cause]) },
      );
    }
  }

  async #reclaim(): Promise<void> {
    const retired = this.#table.takeRetired();
    try {
      await attempt('wait for an RCU grace period', () => this.#native.gracePeriod());
    } catch (error) {
      for (const range of retired) this.#table.retire(range);
      throw error;
    }
    this.#table.reuse(retired);
  }
}
