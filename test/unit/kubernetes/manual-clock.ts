import { setImmediate } from 'node:timers/promises';

import type { Clock } from '../../../lib/kubernetes';

/** Time that passes when it is told to. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; callback: () => void; background: boolean }>();

  now(): number {
    return this.#now;
  }

  after(delay: number, callback: () => void, background = false): () => void {
    const timer = { at: this.#now + delay, callback, background };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that keep the process alive, and those that do not. */
  get timers(): { background: boolean; in: number }[] {
    return Array.from(this.#timers, ({ at, background }) => ({ background, in: at - this.#now }));
  }

  /** Lets milliseconds pass, and after each moment at which something is due, what comes of it. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#now = next.at;
      this.#timers.delete(next);
      next.callback();
      await turns();
    }
    this.#now = end;
    await turns();
  }
}

/** Lets everything happen that does not wait for time. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await setImmediate();
}
