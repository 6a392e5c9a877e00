import assert from 'node:assert/strict';

import { murmur3 } from '../../lib/murmur3';

describe('MurmurHash3', () => {
  /* Of the algorithm's reference implementation. */
  for (const [text, seed, hash] of [
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['hello', 0, 0x248bfa47],
    ['hello, world', 0, 0x149bbb7f],
    ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
    ['a', 0x9747b28c, 0x7fa09ea6],
    ['aa', 0x9747b28c, 0x5d211726],
    ['aaa', 0x9747b28c, 0x283e0130],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['ππππππππ', 0x9747b28c, 0xd58063c1],
  ] as const) {
    it(`of ${JSON.stringify(text)}, seed ${seed}`, () => assert.equal(murmur3(text, seed), hash));
  }
});
