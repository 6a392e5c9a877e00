import { isDeepStrictEqual } from 'node:util';

import type { SliceFacts } from './endpoints';
import { compareTexts } from './order';
import type { ServiceFacts } from './service-ports';

/** A Service, if there is one, and the slices that belong to it. */
export interface ServiceEntry {
  service?: ServiceFacts | undefined;
  readonly slices: ReadonlyMap<string, SliceFacts>;
}

interface Entry extends ServiceEntry {
  readonly slices: Map<string, SliceFacts>;
}

/** Services and EndpointSlices by the key of the Service, so that a change of one does not touch the others. */
export class ServiceIndex {
  readonly #entries = new Map<string, Entry>();
  /** Slice -> Service. */
  readonly #owners = new Map<string, string>();

  get(key: string): ServiceEntry | undefined {
    return this.#entries.get(key);
  }

  [Symbol.iterator](): IterableIterator<[string, ServiceEntry]> {
    return this.#entries.entries();
  }

  /** Returns whether the Service is another one than before. Undefined removes it. */
  putService(key: string, facts: ServiceFacts | undefined): boolean {
    if (isDeepStrictEqual(this.#entries.get(key)?.service, facts)) return false;
    this.#entry(key).service = facts;
    this.#tidy(key);
    return true;
  }

  /** Returns the Services whose endpoints are others than before. Undefined removes the slice. */
  putSlice(key: string, namespace: string, facts: SliceFacts | undefined): string[] {
    const [before, after] = [this.#owners.get(key), facts && `${namespace}/${facts.service}`];
    const known = before === undefined ? undefined : this.#entries.get(before)?.slices.get(key);
    if (isDeepStrictEqual(known, facts)) return [];
    if (before !== undefined) {
      this.#owners.delete(key);
      this.#entries.get(before)?.slices.delete(key);
      this.#tidy(before);
    }
    if (facts && after !== undefined) {
      this.#owners.set(key, after);
      this.#entry(after).slices.set(key, facts);
    }
    return [...new Set([before, after])].filter((owner) => owner !== undefined);
  }

  #entry(key: string): Entry {
    const entry = this.#entries.get(key) ?? { slices: new Map<string, SliceFacts>() };
    this.#entries.set(key, entry);
    return entry;
  }

  #tidy(key: string): void {
    const entry = this.#entries.get(key);
    if (entry && !entry.service && entry.slices.size === 0) this.#entries.delete(key);
  }
}

/** In an order that does not depend on when they came. */
export function slicesOf({ slices }: ServiceEntry): SliceFacts[] {
  return [...slices].sort(([a], [b]) => compareTexts(a, b)).map(([, facts]) => facts);
}
