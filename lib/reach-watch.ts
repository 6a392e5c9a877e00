import type { ReachReport } from './reach';

/** What a {@link ReachWatch} needs, and whom it tells. */
export interface ReachWatchContext {
  /** Milliseconds from the end of one search to the next. */
  readonly period: number;
  search(): Promise<ReachReport>;
  onChange(report: ReachReport): void;
  onFailure(error: unknown): void;
}

/**
 * Searches again and again, from now on, for workloads that are not reached, and tells when there are others than before. Does not
 * keep the process alive.
 */
export class ReachWatch {
  readonly #context: ReachWatchContext;
  #known = '';
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void>;
  #closed = false;

  constructor(context: ReachWatchContext) {
    this.#context = context;
    this.#running = this.#search();
  }

  /** Resolves when the search that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #search(): Promise<void> {
    try {
      const report = await this.#context.search();
      if (this.#closed) return;
      const found = identityOf(report);
      if (found !== this.#known) this.#context.onChange(report);
      this.#known = found;
    } catch (error) {
      if (!this.#closed) this.#context.onFailure(error);
    }
    if (!this.#closed) this.#timer = setTimeout(() => this.#searchAgain(), this.#context.period).unref();
  }

  #searchAgain(): void {
    this.#running = this.#search();
  }
}

/** The workloads, whatever processes they have. */
function identityOf({ unreached }: ReachReport): string {
  const workloads = unreached.map(({ reason, cgroup, netns, failure, devices }) =>
    JSON.stringify([reason, cgroup, netns, failure, devices]),
  );
  return workloads.sort().join('\n');
}
