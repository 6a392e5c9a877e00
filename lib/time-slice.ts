import { setImmediate } from 'node:timers/promises';

/** A call may keep the event loop this long before it lets others run, in milliseconds. */
const timeSlice = 5;

/** A share of the event loop for work that can be cut anywhere. */
export class TimeSlice {
  #end = performance.now() + timeSlice;

  get isOver(): boolean {
    return performance.now() > this.#end;
  }

  async next(): Promise<void> {
    await setImmediate();
    this.#end = performance.now() + timeSlice;
  }
}
