/** Time, so that who waits need not. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /**
   * Calls back after `delay` milliseconds; with 0, when the events that are there now have been dealt with. A call in
   * the `background` does not keep the process alive. Returns how to prevent it.
   */
  after(delay: number, callback: () => void, background?: boolean): () => void;
}

/** What timers of Node can wait for. */
export const longestDelay = 2 ** 31 - 1;

/** The computer's own. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delay, callback, background = false) {
    if (delay <= 0) {
      const immediate = setImmediate(callback);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(callback, Math.min(delay, longestDelay));
    if (background) timer.unref();
    return () => clearTimeout(timer);
  },
};
