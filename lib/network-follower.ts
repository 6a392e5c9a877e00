import type { Native, Watch } from '../types/native';

/** Milliseconds. */
export interface FollowerTiming {
  /** Changes that come closer together than this are answered as one. */
  readonly quiet: number;
  /** But no change is left unanswered for longer. */
  readonly latest: number;
  /** Before the first repetition of an answer that failed; doubled for each further one. */
  readonly retry: number;
  /** Repetitions of an answer that failed. Then the next change is waited for. */
  readonly retries: number;
}

const defaultTiming: FollowerTiming = { quiet: 50, latest: 500, retry: 100, retries: 8 };

/**
 * Answers changes of links, addresses and routes: calls `refresh` after they have come to rest, one call at a time.
 * Does not keep the process alive.
 */
export class NetworkFollower {
  readonly #refresh: () => Promise<void>;
  readonly #onFailure: (error: unknown) => void;
  readonly #timing: FollowerTiming;
  readonly #watch: Watch;
  #quiet: NodeJS.Timeout | undefined;
  #latest: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #running = false;
  #changed = false;
  #closed = false;

  /** `onFailure` is told of every call that failed; neither function may throw. */
  constructor(
    native: Pick<Native, 'watchNetwork'>,
    refresh: () => Promise<void>,
    onFailure: (error: unknown) => void,
    timing = defaultTiming,
  ) {
    this.#refresh = refresh;
    this.#onFailure = onFailure;
    this.#timing = timing;
    this.#watch = native.watchNetwork(() => this.#notice());
  }

  /** A call that is on its way goes on. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#clearTimers();
    this.#watch.close();
  }

  #notice(): void {
    if (this.#closed) return;
    this.#failures = 0;
    clearTimeout(this.#quiet);
    this.#quiet = after(this.#timing.quiet, () => this.#answer());
    this.#latest ??= after(this.#timing.latest, () => this.#answer());
  }

  #answer(): void {
    this.#clearTimers();
    if (this.#running) {
      this.#changed = true;
      return;
    }
    this.#running = true;
    this.#changed = false;
    void this.#refresh()
      .then(
        () => (this.#failures = 0),
        (error: unknown) => this.#fail(error),
      )
      .finally(() => {
        this.#running = false;
        if (this.#changed && !this.#closed) this.#answer();
      });
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#onFailure(error);
    if (this.#failures >= this.#timing.retries) return;
    this.#retry = after(this.#timing.retry * 2 ** this.#failures++, () => this.#answer());
  }

  #clearTimers(): void {
    for (const timer of [this.#quiet, this.#latest, this.#retry]) clearTimeout(timer);
    this.#quiet = this.#latest = this.#retry = undefined;
  }
}

function after(milliseconds: number, call: () => void): NodeJS.Timeout {
  return setTimeout(call, milliseconds).unref();
}
