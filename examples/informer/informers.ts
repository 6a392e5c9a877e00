import { setTimeout as sleep } from 'node:timers/promises';

import type { KubernetesObject, ListWatch } from '@kubernetes/client-node';

/** Who is told of an informer's objects and troubles. */
export interface Listener<T> {
  /** An object was added, changed or deleted; the informer knows by now. */
  onChange: (object: T) => void;
  /** The informer knows all objects. Called again after an interruption. */
  onSynced: () => void;
  onError: (error: unknown) => void;
}

/** Milliseconds. */
const longestPause = 10_000;

/**
 * Keeps an informer going until `signal`. By itself it ends for good on all but three conditions: a watch that the
 * server closes, its own time-out, and "410 Gone". Started again, it goes on where it was.
 */
export async function keepWatching<T extends KubernetesObject>(
  informer: ListWatch<T>,
  { onChange, onSynced, onError }: Listener<T>,
  signal: AbortSignal,
): Promise<void> {
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  let wake = () => {};
  informer.on('change', onChange);
  informer.on('error', (error) => {
    if (!signal.aborted) onError(error); // being stopped is an error to it, too
    wake();
  });
  for (let attempt = 0; !signal.aborted; attempt++) {
    const ended = new Promise<void>((resolve) => (wake = resolve));
    const began = performance.now();
    await Promise.race([informer.start(), aborted]);
    if (informer.latestResourceVersion()) onSynced();
    await Promise.race([ended, aborted]);
    if (performance.now() - began > longestPause) attempt = 0;
    /* With jitter, so that a server that comes back does not meet all its clients at once. */
    const pause = Math.min(longestPause, 100 * 2 ** attempt) * (0.5 + Math.random() / 2);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
  }
  await informer.stop();
}
