import { HookCases, type LostHook } from './hook-cases';
import type { HookState } from './hook-loss';

/** Programs of one kind of hook, as the watch sees them. */
export interface WatchedLayer {
  /** All that should be attached, as they are now. */
  look(): HookState[] | Promise<HookState[]>;
  /** Puts back what can be put back. */
  repair(): Promise<void>;
}

export interface HookWatchOptions {
  readonly layers: readonly WatchedLayer[];
  /** Look at what else others may have taken away, and repair it. */
  readonly others?: readonly (() => Promise<unknown>)[];
  /** Milliseconds between two looks; 0: only when asked. */
  readonly period: number;
  /** Tries sockets out: from time to time, and after repairs. */
  readonly canary: () => Promise<void>;
  readonly onLost: (hooks: readonly LostHook[]) => void;
  readonly onRepaired: (hooks: readonly HookState[]) => void;
  readonly onFailure: (error: unknown) => void;
}

/** So many looks are taken from one canary to the next. */
const looksPerCanary = 12;

/**
 * Looks at hooks, puts back what others took off, and tells of both. A look is some system calls. Somebody who removes a
 * program whenever it is put back is answered less and less often, and at last not at all. Does not keep the process
 * alive.
 */
export class HookWatch {
  readonly #options: HookWatchOptions;
  readonly #watched: readonly { readonly layer: WatchedLayer; readonly cases: HookCases }[];
  #timer: NodeJS.Timeout | undefined;
  #looks = 0;
  #last: Promise<unknown[]> = Promise.resolve([]);
  #closed = false;

  constructor(options: HookWatchOptions) {
    this.#options = options;
    this.#watched = options.layers.map((layer) => ({ layer, cases: new HookCases(options.period) }));
    this.#schedule();
  }

  /**
   * Looks now, puts back also what was given up, and sends a canary. Rejects with the first failure when all is done.
   */
  async check(): Promise<void> {
    for (const { cases } of this.#watched) cases.forgive();
    const failures = await this.#enqueue(true);
    if (failures.length > 0) throw failures[0];
  }

  /** Resolves when the look that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#last;
  }

  #schedule(): void {
    const { period } = this.#options;
    if (period === 0 || this.#closed) return;
    this.#timer = setTimeout(() => void this.#lookAgain(), period).unref();
  }

  async #lookAgain(): Promise<void> {
    const failures = await this.#enqueue(++this.#looks % looksPerCanary === 0);
    for (const failure of failures) this.#options.onFailure(failure);
    this.#schedule();
  }

  #enqueue(canary: boolean): Promise<unknown[]> {
    return (this.#last = this.#last.then(() => this.#lookAtAll(canary)));
  }

  /** Resolves with what has failed. */
  async #lookAtAll(canary: boolean): Promise<unknown[]> {
    const failures: unknown[] = [];
    /* What fails because everything was closed meanwhile is no failure. */
    const attempt = async (work: () => Promise<unknown>) => {
      if (this.#closed) return;
      await work().catch((error: unknown) => this.#closed || failures.push(error));
    };
    let repaired = false;
    for (const { layer, cases } of this.#watched) {
      await attempt(async () => {
        await this.#look(layer, cases);
        if (this.#closed || !cases.isDue(performance.now())) return;
        cases.noteRepair(performance.now());
        await attempt(() => layer.repair());
        await this.#look(layer, cases);
        repaired = true;
      });
    }
    for (const look of this.#options.others ?? []) await attempt(look);
    if (canary || repaired) await attempt(() => this.#options.canary());
    return failures;
  }

  async #look(layer: WatchedLayer, cases: HookCases): Promise<void> {
    const states = await layer.look();
    if (this.#closed) return;
    const { lost, repaired } = cases.note(states, performance.now());
    if (lost.length > 0) this.#options.onLost(lost);
    if (repaired.length > 0) this.#options.onRepaired(repaired);
  }
}
