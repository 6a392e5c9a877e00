import { setTimeout } from 'node:timers/promises';

/** Asks again and again until `check` no longer throws; after `patience` milliseconds it throws what `check` threw. */
export async function eventually(check: () => unknown, patience = 10_000): Promise<void> {
  const end = performance.now() + patience;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await setTimeout(20);
  }
}
