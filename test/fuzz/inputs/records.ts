import { isIP } from 'node:net';
import { inspect } from 'node:util';

import { layouts } from '../../../lib/abi';
import { decodeEvent } from '../../../lib/events';
import { decodeObserved } from '../../../lib/shadow';
import { type InputRound, Random } from './random';

const inputs = 20_000;

/** Records of the ring buffer: what is no event is none, and never an error. */
export function fuzzRecords(seed: number): Promise<InputRound> {
  const random = new Random(seed);
  const sizes = [layouts.lb_event.size, layouts.lb_decision_event.size];
  const owners = new Map([['10.96.0.1:80/TCP', 'web']]);
  for (let i = 0; i < inputs; i++) {
    const size = random.pick(sizes);
    const record = random.bytes(random.oneIn(2) ? size : random.below(2 * size));
    /* Half of them say that they are of a kind that may be known. */
    if (random.oneIn(2) && record.length >= 4) record.writeUInt32LE(random.below(4), 0);
    const offset = random.below(8);
    const placed = new Uint8Array(Buffer.concat([random.bytes(offset), record]).buffer.slice(0), 0);
    try {
      const given = random.oneIn(2) ? record : placed.subarray(Math.min(offset, placed.length));
      const event = decodeEvent(given);
      if (event && !(isIP(event.client) && isIP(event.backend))) throw new Error(JSON.stringify(event));
      const decision = decodeObserved(given, owners);
      if (decision && !isIP(decision.client)) throw new Error(inspect(decision));
    } catch (error) {
      return Promise.resolve({ inputs: i, failure: `record ${record.toString('hex')}: ${String(error)}` });
    }
  }
  return Promise.resolve({ inputs, failure: undefined });
}
