import type { StateDirectory } from './state-directory';

/** What a {@link PinWatch} needs, and whom it tells. */
export interface PinWatchContext {
  readonly state: Pick<StateDirectory, 'missing'>;
  /** What should be pinned now. */
  names(): Iterable<string>;
  /** Pins everything anew. */
  repair(): Promise<void>;
  onLost(names: readonly string[]): void;
  onRepaired(): void;
}

/**
 * Looks after what is pinned: without it everything runs on, but ends with the process, and the next one would begin with
 * nothing.
 */
export class PinWatch {
  readonly #context: PinWatchContext;
  #lost = false;

  constructor(context: PinWatchContext) {
    this.#context = context;
  }

  /** Whether something was missing at the last look, and could not be pinned anew. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Pins again what others have removed. Rejects with why it could not. */
  async look(): Promise<void> {
    const missing = await this.#context.state.missing(this.#context.names());
    if (missing.length > 0) {
      if (!this.#lost) this.#context.onLost(missing);
      this.#lost = true;
      await this.#context.repair();
    }
    if (!this.#lost) return;
    this.#lost = false;
    this.#context.onRepaired();
  }
}
