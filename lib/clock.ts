/** Seconds of the clock that the programs take lifetimes from (bpf/clock.h): since the machine was started. */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000n) / 1000;
}
