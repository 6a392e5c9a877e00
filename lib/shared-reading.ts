/**
 * One reading for all who ask before it begins: what it tells is never older than the question. There is one at a time.
 */
export function sharedReading<T>(read: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    if (next) return next;
    const reading = last.then(() => {
      next = undefined;
      return read();
    });
    next = reading;
    last = reading.catch(() => undefined);
    return reading;
  };
}
