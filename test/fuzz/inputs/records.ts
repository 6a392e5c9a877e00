import { isIP } from 'node:net';

import { layouts } from '../../../lib/abi';
import { decodeEvent } from '../../../lib/events';
import { type InputRound, Random } from './random';

const inputs = 20_000;

/** Records of the ring buffer: what is no event is none, and never an error. */
export function fuzzRecords(seed: number): Promise<InputRound> {
  const random = new Random(seed);
  const size = layouts.lb_event.size;
  for (let i = 0; i < inputs; i++) {
    const record = random.bytes(random.oneIn(2) ? size : random.below(2 * size));
    /* Half of them say that they are of a kind that may be known. */
    if (random.oneIn(2) && record.length >= 4) record.writeUInt32LE(random.below(4), 0);
    const offset = random.below(8);
    const placed = new Uint8Array(Buffer.concat([random.bytes(offset), record]).buffer.slice(0), 0);
    try {
      const event = decodeEvent(random.oneIn(2) ? record : placed.subarray(Math.min(offset, placed.length)));
      if (event && !(isIP(event.client) && isIP(event.backend))) throw new Error(JSON.stringify(event));
    } catch (error) {
      return Promise.resolve({ inputs: i, failure: `record ${record.toString('hex')}: ${String(error)}` });
    }
  }
  return Promise.resolve({ inputs, failure: undefined });
}
