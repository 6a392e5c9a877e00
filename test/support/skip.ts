/** Skips the running test, or from a hook the tests of its suite; the reporter prints the reason. */
export function skip(context: Mocha.Context, reason: string): never {
  const runnable = context.test as Mocha.Test | Mocha.Hook | undefined;
  Object.assign((runnable?.type === 'hook' ? runnable.parent : runnable) ?? {}, { skipReason: reason });
  return context.skip();
}
