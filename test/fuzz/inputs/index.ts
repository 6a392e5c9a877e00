import type { Harness } from '../../program/harness';
import { fuzzApi } from './api';
import { fuzzFrames, openForFrames } from './frames';
import { fuzzNative } from './native';
import type { InputRound } from './random';
import { fuzzRecords } from './records';
import { fuzzRtnetlink } from './rtnetlink';
import { fuzzSaved } from './saved';
import { fuzzTables } from './tables';

/**
 * Bytes and values that are not what they should be:
 *
 * - `api`: options, specs and queries, to a LoadBalancer;
 * - `native`: arguments, to every method of the addon;
 * - `records`: of the ring buffer, to the decoder of events;
 * - `rtnetlink`: messages, to the addon's parser;
 * - `saved`: snapshot files and definitions of services, damaged, to who reads them;
 * - `tables`: of services, of an earlier process, damaged, to who adopts them;
 * - `frames`: packets, to the programs of devices.
 */
export const inputKinds = ['api', 'native', 'records', 'rtnetlink', 'saved', 'tables', 'frames'] as const;
export type InputKind = (typeof inputKinds)[number];

/** What has to be there is made on first use. */
export class InputFuzzer {
  #harness: Harness | undefined;

  async run(kind: InputKind, seed: number): Promise<InputRound> {
    switch (kind) {
      case 'api':
        return fuzzApi(seed);
      case 'native':
        return fuzzNative(seed);
      case 'records':
        return fuzzRecords(seed);
      case 'rtnetlink':
        return fuzzRtnetlink(seed);
      case 'saved':
        return fuzzSaved(seed);
      case 'tables':
        return fuzzTables(seed);
      case 'frames':
        return fuzzFrames(seed, (this.#harness ??= await openForFrames()));
    }
  }

  async close(): Promise<void> {
    await this.#harness?.close();
  }
}
