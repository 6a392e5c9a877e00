import type { Clock } from './clock';

/** Kubernetes' words for the address families. */
export type IPFamily = 'IPv4' | 'IPv6';

export const ipFamilies: readonly IPFamily[] = ['IPv4', 'IPv6'];

/** How far the datapath has come with one address family. */
export interface FamilyHealth {
  /** When it last had everything: now, while it is healthy. Undefined: never yet. */
  lastUpdated: Date | undefined;
  healthy: boolean;
}

/** Times by the clock, in milliseconds; undefined: nothing waits. */
interface Waiting {
  /** Since when what has come since the last sync began has been waiting. */
  queued: number | undefined;
  /** The same, of what is being synced. */
  inSync: number | undefined;
  lastUpdated: Date | undefined;
}

/**
 * Whether changes reach the datapath: for each family, healthy unless one has been waiting for too long. Never having
 * had any is healthy.
 */
export class SyncHealth {
  readonly #families: Readonly<Record<IPFamily, Waiting>>;
  readonly #patience: number;
  readonly #clock: Clock;
  #lastQueued: Date | undefined;

  /** `patience`: milliseconds that a change may wait. */
  constructor(patience: number, clock: Clock) {
    const waiting = () => ({ queued: undefined, inSync: undefined, lastUpdated: undefined });
    this.#families = { IPv4: waiting(), IPv6: waiting() };
    this.#patience = patience;
    this.#clock = clock;
  }

  /** Of both families. */
  get healthy(): boolean {
    return ipFamilies.every((family) => this.#isHealthy(family));
  }

  /** When either family last had everything: now, while all is healthy. Undefined: never yet. */
  get lastUpdated(): Date | undefined {
    if (this.healthy) return new Date();
    const times = ipFamilies.flatMap((family) => this.#families[family].lastUpdated?.getTime() ?? []);
    return times.length > 0 ? new Date(Math.max(...times)) : undefined;
  }

  get families(): Readonly<Record<IPFamily, FamilyHealth>> {
    return { IPv4: this.#healthOf('IPv4'), IPv6: this.#healthOf('IPv6') };
  }

  /** When a change last came. */
  get lastQueued(): Date | undefined {
    return this.#lastQueued;
  }

  /** @internal A change waits. It is not known which families it is about. */
  queued(): void {
    this.#lastQueued = new Date();
    for (const family of ipFamilies) this.#families[family].queued ??= this.#clock.now();
  }

  /** @internal What waits is being synced. */
  began(): void {
    for (const waiting of Object.values(this.#families)) {
      waiting.inSync ??= waiting.queued;
      waiting.queued = undefined;
    }
  }

  /** @internal The sync is over, and has brought all but some `late` families up to date. */
  ended(late: ReadonlySet<IPFamily>): void {
    for (const family of ipFamilies) {
      const waiting = this.#families[family];
      if (late.has(family)) waiting.inSync ??= this.#clock.now();
      else {
        waiting.inSync = undefined;
        waiting.lastUpdated = new Date();
      }
    }
  }

  #isHealthy(family: IPFamily): boolean {
    const { queued, inSync } = this.#families[family];
    const since = inSync ?? queued;
    return since === undefined || this.#clock.now() - since < this.#patience;
  }

  #healthOf(family: IPFamily): FamilyHealth {
    const healthy = this.#isHealthy(family);
    return { lastUpdated: healthy ? new Date() : this.#families[family].lastUpdated, healthy };
  }
}
