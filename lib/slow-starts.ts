import { monotonicSeconds } from './clock';
import type { ServiceDefinition } from './service-definition';
import { advanceRamps, nextStepOf } from './slow-start';
import type { Transaction } from './transaction';

/** Adds a call to the next commit. */
type Commit = (stage: (tx: Transaction) => unknown) => Promise<unknown>;

/** Least time between two steps of a service, in milliseconds. */
const pause = 100;

/** Takes services through their slow starts: writes one again whenever a backend comes to its next step. */
export class SlowStarts {
  readonly #commit: Commit;
  readonly #definitionOf: (name: string) => ServiceDefinition | undefined;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #closed = false;

  constructor(commit: Commit, definitionOf: (name: string) => ServiceDefinition | undefined) {
    this.#commit = commit;
    this.#definitionOf = definitionOf;
  }

  /** The kernel has the service so, or has it no more. */
  follow(name: string, definition: ServiceDefinition | undefined): void {
    const timer = this.#timers.get(name);
    const next = definition && nextStepOf(definition);
    if (timer === undefined && next === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(name);
    if (next !== undefined) this.#wait(name, (next - monotonicSeconds()) * 1000);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #wait(name: string, delay: number): void {
    if (this.#closed) return;
    const timer = setTimeout(() => void this.#step(name), Math.max(delay, pause));
    this.#timers.set(name, timer.unref());
  }

  async #step(name: string): Promise<void> {
    this.#timers.delete(name);
    try {
      await this.#commit((tx) =>
        tx.alter(name, (definition) => advanceRamps(definition, monotonicSeconds())),
      );
    } catch {
      /* No room for a second range, or the kernel refused: the next time may do better. */
    }
    this.follow(name, this.#definitionOf(name));
  }
}
