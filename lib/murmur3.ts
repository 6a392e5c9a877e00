/**
 * MurmurHash3 (x86, 32 bits) of a text's UTF-8 bytes. Another seed makes an independent hash.
 *
 * @returns 0 to 2^32 - 1.
 */
export function murmur3(text: string, seed: number): number {
  const bytes = Buffer.from(text);
  const blocksEnd = bytes.length & ~3;
  let hash = seed;
  for (let i = 0; i < blocksEnd; i += 4) {
    hash ^= scramble(bytes.readInt32LE(i));
    hash = (Math.imul(rotateLeft(hash, 13), 5) + 0xe6546b64) | 0;
  }
  const rest = bytes.length - blocksEnd;
  if (rest > 0) hash ^= scramble(bytes.readUIntLE(blocksEnd, rest));
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scramble(block: number): number {
  return Math.imul(rotateLeft(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
