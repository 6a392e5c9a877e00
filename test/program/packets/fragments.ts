import { bytesOf, frameAround, ipPacket, protocolNumbers } from './ip';
import { type Packet, segment } from './transport';

const moreFragments = 0x2000;

/** The packet in fragments with so many bytes each, multiples of eight, and the rest in the last. Frames. */
export function buildFragments(packet: Packet, sizes: readonly number[], id = 0x4711): Buffer[] {
  const whole = segment(packet);
  const cuts = [0, ...sizes.map((_, i) => sizes.slice(0, i + 1).reduce((a, b) => a + b))];
  return cuts.map((from, i) => {
    const last = i === cuts.length - 1;
    const content = whole.subarray(from, last ? undefined : cuts[i + 1]);
    const header =
      bytesOf(packet.source).length === 4
        ? { ...packet, id, fragment: (last ? 0 : moreFragments) | (from / 8) }
        : {
            ...packet,
            extensions: [
              ...(packet.extensions ?? []),
              { type: 'fragment' as const, id, fragment: from | (last ? 0 : 1) },
            ],
          };
    return frameAround(header, ipPacket(header, protocolNumbers[packet.protocol], content));
  });
}
