import type { Clock } from './clock';

/**
 * Runs something as often as it is asked for, but with a pause after each run; what is asked for meanwhile is one run
 * more.
 */
export class SyncRunner {
  readonly #run: () => Promise<number>;
  readonly #pause: number;
  readonly #clock: Clock;
  #poked = false;
  /** When the pause is over, and when to run even if nobody asks. */
  #notBefore = -Infinity;
  #dueAt = Infinity;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  /**
   * `run` never rejects, and says after how many milliseconds it has to run again, whether anybody asks or not. `pause`
   * is the least time from the end of a run to the start of the next one.
   */
  constructor(run: () => Promise<number>, pause: number, clock: Clock) {
    this.#run = run;
    this.#pause = pause;
    this.#clock = clock;
  }

  /** Asks for a run. */
  poke(): void {
    if (this.#poked) return;
    this.#poked = true;
    this.#schedule();
  }

  /** Waits for the run that is on its way; there will be no other. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
  }

  #schedule(): void {
    if (this.#running || this.#stopped) return;
    this.#cancel?.();
    const at = this.#poked ? this.#notBefore : Math.max(this.#dueAt, this.#notBefore);
    if (at === Infinity) return;
    const delay = Math.max(0, at - this.#clock.now());
    this.#cancel = this.#clock.after(delay, () => void (this.#running = this.#start()), !this.#poked);
  }

  async #start(): Promise<void> {
    this.#poked = false;
    this.#cancel = undefined;
    const next = await this.#run();
    const end = this.#clock.now();
    this.#notBefore = end + this.#pause;
    this.#dueAt = end + next;
    this.#running = undefined;
    this.#schedule();
  }
}
