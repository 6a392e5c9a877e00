import { loadNative } from '../../../lib/native';
import type { Network } from '../../../types/native';
import { type InputRound, mutate, Random } from './random';

const inputs = 20_000;

/* linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h */
const [newLink, newAddress, newRoute, done] = [16, 20, 24, 3];
const attributes = { [newLink]: 64, [newAddress]: 12, [newRoute]: 31 } as const;

function attribute(type: number, value: Uint8Array): Buffer {
  const padded = Buffer.alloc(Math.ceil((4 + value.length) / 4) * 4);
  padded.writeUInt16LE(4 + value.length, 0);
  padded.writeUInt16LE(type, 2);
  padded.set(value, 4);
  return padded;
}

/** What an attribute may hold: numbers, addresses, names, attributes, next hops. */
function someValue(random: Random, depth: number): Buffer {
  switch (random.below(5)) {
    case 0:
      return random.bytes(4);
    case 1:
      return random.bytes(16);
    case 2:
      return Buffer.from('eth0\0'.slice(0, random.below(6)));
    case 3:
      return depth > 2
        ? random.bytes(random.below(12))
        : Buffer.concat(
            Array.from({ length: random.below(4) }, () =>
              attribute(random.below(64), someValue(random, depth + 1)),
            ),
          );
    default: {
      const hop = Buffer.concat([random.bytes(8), attribute(5, random.bytes(4))]);
      hop.writeUInt16LE(random.oneIn(3) ? random.below(40) : hop.length, 0);
      return hop;
    }
  }
}

function message(random: Random): Buffer {
  const type = random.pick([newLink, newAddress, newRoute] as const);
  const body = random.bytes({ [newLink]: 16, [newAddress]: 8, [newRoute]: 12 }[type] as number);
  if (type !== newLink) body[0] = random.pick([2, 10, 0, 255]);
  if (type === newRoute) body[7] = 1;
  if (type === newRoute) body.writeUInt32LE(0, 8);
  const content = Array.from({ length: random.below(8) }, () =>
    attribute(random.below((attributes[type] as number) + 2), someValue(random, 0)),
  );
  const header = Buffer.alloc(16);
  const bytes = Buffer.concat([header, body, ...content]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt32LE(1, 8);
  return bytes;
}

/** What the library relies on, whatever the messages were. */
function fault({ links, addresses, routes }: Network): string | undefined {
  if (links.some(({ name, kind }) => name.includes('\0') || kind.includes('\0')))
    return 'a name has NUL bytes';
  if (addresses.some(({ address }) => address.length !== 4 && address.length !== 16))
    return 'an address has a length of no family';
  if (routes.some(({ family, destination }) => destination.length !== (family === 4 ? 4 : 16)))
    return 'a destination has a length of another family';
  return undefined;
}

/** Messages of rtnetlink, whole, cut, changed, or nothing of the kind, through the addon's parser. */
export function fuzzRtnetlink(seed: number): Promise<InputRound> {
  const random = new Random(seed);
  const native = loadNative();
  let understood = 0;
  for (let i = 0; i < inputs; i++) {
    const whole = Buffer.concat(Array.from({ length: 1 + random.below(4) }, () => message(random)));
    if (random.oneIn(50)) whole.writeUInt16LE(done, 4);
    const bytes = random.oneIn(3)
      ? whole
      : random.oneIn(20)
        ? random.bytes(random.below(256))
        : mutate(random, whole);
    try {
      const network = native.parseNetwork(bytes);
      understood += network.links.length + network.addresses.length + network.routes.length;
      const wrong = fault(network);
      if (wrong !== undefined) throw new Error(wrong);
    } catch (error) {
      return Promise.resolve({ inputs: i, failure: `messages ${bytes.toString('hex')}: ${String(error)}` });
    }
  }
  const failure = understood < inputs / 10 ? `only ${understood} messages were understood` : undefined;
  return Promise.resolve({ inputs, failure });
}
