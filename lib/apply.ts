import type { Transact } from './commit-queue';
import type { DesiredServices } from './desired-services';
import {
  type Applied,
  ApplyAbortedError,
  ApplyError,
  KernelError,
  LoadBalancerError,
  MapFullError,
} from './errors';
import type { ServiceDefinition } from './service-definition';
import { type ServiceTable } from './service-table';
import type { Transaction } from './transaction';

/** A service that is to become another one; without a definition, that is to go. */
interface Change {
  readonly name: string;
  readonly definition: ServiceDefinition | undefined;
}

/** Changes that can only be together, because frontends pass between them. */
type Group = readonly Change[];

/** A commit of an {@link ApplyRun}. */
export interface Step {
  /** Puts together what can be. */
  readonly stage: (tx: Transaction) => void;
}

/** Frontends and backends of one commit: some milliseconds of work. */
const stepSize = 4096;

/**
 * Brings the services of a table to what they are to be, in commits of some hundred services each. A service that does
 * not fit, or that the kernel refuses, fails alone and stays what it was. Services that go do so first: that leaves room.
 */
export class ApplyRun {
  /** Why services could not be brought to what they are to be. */
  readonly failures: Map<string, Error>;
  readonly #desired: DesiredServices;
  readonly #table: ServiceTable;
  readonly #changes: ReadonlyMap<string, ServiceDefinition | undefined>;
  readonly #added: string[] = [];
  readonly #changed: string[] = [];
  readonly #removed: string[] = [];

  /** `desired` is settled. */
  constructor(desired: DesiredServices, table: ServiceTable) {
    this.#desired = desired;
    this.#table = table;
    this.failures = new Map(desired.failures);
    this.#changes = desired.changes(table);
  }

  /** So far. */
  get applied(): Applied {
    return { added: [...this.#added], changed: [...this.#changed], removed: [...this.#removed] };
  }

  /** Services dealt with, and all that there are to be dealt with. */
  get progress(): { done: number; total: number } {
    const done = this.#added.length + this.#changed.length + this.#removed.length;
    return { done, total: this.#changes.size };
  }

  /** Throws {@link ApplyError} when some service has failed. */
  finish(): void {
    if (this.failures.size > 0) throw new ApplyError(this.failures, this.applied);
  }

  /** The commits to make, one after the other; takes with `next()` why the last one failed, if it has. */
  *steps(): Generator<Step, void, unknown> {
    const { unclaimed } = this.#table;
    for (const name of unclaimed) if (this.#desired.has(name)) unclaimed.delete(name);
    let left = this.#changes;
    /* Again, each by itself, as long as one succeeds: the room that others left is there only now. */
    for (let first = true, before = Infinity; left.size > 0 && left.size < before; first = false) {
      before = first ? left.size + 1 : left.size;
      const failures = new Map<string, Error>();
      const groups = this.#groupsOf(left);
      const steps = first ? cut(groups) : groups.map((group) => [group]);
      for (const step of steps) yield* this.#commit(step, failures);
      left = new Map([...left].filter(([name]) => failures.has(name)));
      for (const name of this.#changes.keys()) this.failures.delete(name);
      for (const [name, error] of failures) this.failures.set(name, error);
    }
  }

  /** What the kernel refuses as a whole is tried by halves, until what it refuses stands alone. */
  *#commit(groups: readonly Group[], failures: Map<string, Error>): Generator<Step, void, unknown> {
    const changes = groups.flat();
    let refused = new Map<string, Error>();
    const existing = new Set(changes.map(({ name }) => name).filter((name) => this.#table.records.has(name)));
    let error = yield { stage: (tx) => void (refused = stage(tx, changes, true)) };
    if (error instanceof MapFullError)
      error = yield { stage: (tx) => void (refused = stage(tx, changes, false)) };
    if (error === undefined) {
      for (const { name, definition } of changes) {
        const failure = refused.get(name);
        if (failure) failures.set(name, failure);
        else (!definition ? this.#removed : existing.has(name) ? this.#changed : this.#added).push(name);
      }
    } else if (!isRefusal(error)) {
      throw error as Error;
    } else if (groups.length === 1) {
      for (const { name } of changes) failures.set(name, error);
    } else {
      const middle = Math.ceil(groups.length / 2);
      yield* this.#commit(groups.slice(0, middle), failures);
      yield* this.#commit(groups.slice(middle), failures);
    }
  }

  /** In their order, those that go first. */
  #groupsOf(changes: ReadonlyMap<string, ServiceDefinition | undefined>): Group[] {
    const parents = new Map<string, string>();
    const rootOf = (name: string): string => {
      let root = name;
      for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next;
      if (root !== name) parents.set(name, root);
      return root;
    };
    for (const [name, definition] of changes) {
      for (const { key } of definition?.frontends ?? []) {
        const owner = this.#table.owners.get(key);
        if (owner === undefined || owner === name || !changes.has(owner)) continue;
        const [taker, giver] = [rootOf(name), rootOf(owner)];
        if (taker !== giver) parents.set(taker, giver);
      }
    }
    const groups = new Map<string, Change[]>();
    for (const [name, definition] of changes) {
      const root = parents.size > 0 ? rootOf(name) : name;
      const group = groups.get(root);
      if (group) group.push({ name, definition });
      else groups.set(root, [{ name, definition }]);
    }
    return [...groups.values()];
  }
}

/**
 * Makes the commits of a run. Rejects with what is wrong with the datapath, with {@link ApplyError}, and, once the signal is
 * aborted, with {@link ApplyAbortedError}: between two commits. `onStep` is awaited after each.
 */
export async function carryOut(
  run: ApplyRun,
  transact: Transact,
  signal: AbortSignal | undefined,
  onStep: () => Promise<void> | void,
): Promise<void> {
  const checkSignal = () => {
    if (signal?.aborted) throw new ApplyAbortedError(signal.reason, run.failures, run.applied);
  };
  checkSignal();
  const steps = run.steps();
  let next = steps.next();
  while (!next.done) {
    checkSignal();
    const { stage } = next.value;
    const error: unknown = await transact(stage).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    next = steps.next(error);
    await onStep();
  }
  run.finish();
}

/** Groups for one commit after the other. */
function* cut(groups: readonly Group[]): Generator<readonly Group[]> {
  let step: Group[] = [];
  let size = 0;
  for (const group of groups) {
    step.push(group);
    for (const { definition } of group)
      size += 1 + (definition ? definition.frontends.length + definition.backends.length : 0);
    if (size < stepSize) continue;
    yield step;
    step = [];
    size = 0;
  }
  if (step.length > 0) yield step;
}

/** Returns the services that cannot be put, with the reason. `growing`: throws when a table is full, which may grow. */
function stage(tx: Transaction, changes: readonly Change[], growing: boolean): Map<string, Error> {
  const failures = new Map<string, Error>();
  while (!stageAll(tx, changes, failures, growing)) tx.abandon();
  return failures;
}

/** Returns false when others have taken what a service that fails has to keep. Then it is known, and can be left out. */
function stageAll(
  tx: Transaction,
  changes: readonly Change[],
  failures: Map<string, Error>,
  growing: boolean,
): boolean {
  for (const { name, definition } of changes) {
    if (!definition) tx.remove(name);
    else if (!failures.has(name)) tx.disown(name);
  }
  for (const { name, definition } of changes) {
    if (!definition || failures.has(name)) continue;
    try {
      tx.put(definition);
    } catch (error) {
      if (!(error instanceof LoadBalancerError) || (growing && error instanceof MapFullError)) throw error;
      failures.set(name, error);
      if (!tx.reown(name)) return false;
    }
  }
  return true;
}

/** The kernel has refused a commit, which was taken back. */
function isRefusal(error: unknown): error is KernelError {
  return error instanceof KernelError && error.code === 'ERR_BPF_SYSCALL';
}
