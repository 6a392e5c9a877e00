import { type HookLoss, type HookState, isLost } from './hook-loss';

/** A program that was lost, and when it is going to be put back. */
export interface LostHook extends HookLoss {
  /**
   * Milliseconds until it is tried; 0: at once. Undefined: not any more, because it was taken off again and again, or
   * not yet, because there is nothing to attach it to.
   */
  readonly retryIn: number | undefined;
}

/** How often a program is put back that somebody takes off again and again. */
export const repairPolicy = {
  /** Repairs in a row. */
  attempts: 8,
  /** Before the second repair, in periods of the watch; doubled for each further one. */
  firstDelay: 2,
  /** Milliseconds: no delay is longer, and a program that has stayed for so long is trusted again. */
  longestDelay: 600_000,
} as const;

interface Case {
  loss: HookLoss;
  lost: boolean;
  /** Repairs in a row. */
  attempts: number;
  /** Of the last repair, in milliseconds. */
  repaired: number;
  /** It was told that no further repair will be tried. */
  givenUp: boolean;
}

/** What is news in what a look at hooks has found, and which of it is to be repaired. Pure: the time is given. */
export class HookCases {
  readonly #period: number;
  readonly #cases = new Map<string, Case>();

  /** `period`: milliseconds from one look to the next. */
  constructor(period: number) {
    this.#period = period;
  }

  /** Takes in what was found; says which programs are lost, or lost for another reason, and which are there again. */
  note(states: readonly HookState[], now: number): { lost: LostHook[]; repaired: HookState[] } {
    const found = new Set(states.map(keyOf));
    for (const key of this.#cases.keys()) if (!found.has(key)) this.#cases.delete(key);
    const repaired = states.filter((state) => {
      const known = this.#cases.get(keyOf(state));
      if (!known?.lost || isLost(state)) return false;
      known.lost = false;
      return true;
    });
    const lost = states.filter(isLost).filter((loss) => {
      const known = this.#cases.get(keyOf(loss));
      if (!known?.lost || known.loss.cause !== loss.cause) return true;
      return known.attempts >= repairPolicy.attempts && !known.givenUp;
    });
    for (const loss of lost) this.#open(loss, now);
    return { lost: lost.map((loss) => ({ ...loss, retryIn: this.#retryIn(loss, now) })), repaired };
  }

  /** Whether one of the lost ones is to be repaired now. */
  isDue(now: number): boolean {
    return [...this.#cases.values()].some(({ lost, loss }) => lost && this.#retryIn(loss, now) === 0);
  }

  /** All that were lost were tried to be put back. */
  noteRepair(now: number): void {
    for (const each of this.#cases.values()) {
      if (!each.lost) continue;
      each.attempts++;
      each.repaired = now;
    }
  }

  /** Trusts all again. */
  forgive(): void {
    for (const each of this.#cases.values()) Object.assign(each, { attempts: 0, givenUp: false });
  }

  #open(loss: HookLoss, now: number): void {
    const { attempts = 0, repaired = now } = this.#cases.get(keyOf(loss)) ?? {};
    const trusted = now - repaired > repairPolicy.longestDelay;
    const inRow = trusted ? 0 : attempts;
    const givenUp = inRow >= repairPolicy.attempts;
    this.#cases.set(keyOf(loss), { loss, lost: true, attempts: inRow, repaired, givenUp });
  }

  #retryIn(loss: HookLoss, now: number): number | undefined {
    const { attempts, repaired } = this.#cases.get(keyOf(loss)) as Case;
    if (loss.cause === 'cgroup-removed' || attempts >= repairPolicy.attempts) return undefined;
    if (attempts === 0) return 0;
    const delay = this.#period * repairPolicy.firstDelay * 2 ** (attempts - 1);
    return Math.max(0, Math.ceil(repaired + Math.min(delay, repairPolicy.longestDelay) - now));
  }
}

function keyOf({ program, where }: HookState): string {
  return `${program} ${where}`;
}
