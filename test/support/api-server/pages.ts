import { randomUUID } from 'node:crypto';

import { ApiError } from './responses';
import type { KubeObject } from './store';

/** What is left of a list, as it was when its first page was asked for. */
interface Rest {
  readonly revision: number;
  readonly items: readonly KubeObject[];
}

/** One page of a list. */
export interface Page {
  readonly metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  readonly items: readonly KubeObject[];
}

/** Gives lists page by page: all pages are of the same revision. */
export class Pages {
  readonly #rests = new Map<string, Rest>();

  /** Without a limit it is all on one page. */
  first(items: readonly KubeObject[], revision: number, limit: number): Page {
    return this.#page({ items, revision }, limit);
  }

  next(token: string, limit: number): Page {
    const rest = this.#rests.get(token);
    if (!rest) {
      const why = 'The provided continue parameter is too old to display a consistent list result.';
      throw new ApiError(410, 'Expired', why);
    }
    return this.#page(rest, limit);
  }

  /** What was not fetched in time is gone. */
  expire(): void {
    this.#rests.clear();
  }

  #page({ items, revision }: Rest, limit: number): Page {
    const size = limit || items.length;
    const metadata = { resourceVersion: String(revision) };
    const rest = items.slice(size);
    if (rest.length === 0) return { metadata, items };
    const token = randomUUID();
    this.#rests.set(token, { items: rest, revision });
    return {
      metadata: { ...metadata, continue: token, remainingItemCount: rest.length },
      items: items.slice(0, size),
    };
  }
}
