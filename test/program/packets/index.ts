/*
 * Packets for tests, built and checked from the RFCs alone: nothing here is shared with the code under test.
 */
export { crc32c, internetChecksum } from './checksums';
export { buildFragments } from './fragments';
export { buildMessage, type Message, messages, messageWithoutLink } from './icmp';
export { type Extension } from './ip';
export { assertSameFrame, parse, type Parsed } from './parse';
export { build, type Packet, withoutLink } from './transport';
