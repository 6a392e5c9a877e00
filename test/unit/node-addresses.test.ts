import assert from 'node:assert/strict';

import type { Address } from '../../lib/address';
import { answersNodePorts, parseNodePortAddresses } from '../../lib/node-addresses';
import { Place } from '../../lib/place';

const parse = (value?: unknown) => parseNodePortAddresses(value, new Place('open'));

/** Addresses of one device; the first of each family is its primary one. */
const addresses: readonly Address[] = [
  { family: 4, text: '192.0.2.1' },
  { family: 4, text: '192.0.2.9' },
  { family: 4, text: '10.0.0.1' },
  { family: 6, text: '2001:db8::1' },
  { family: 6, text: 'fd00::1' },
];

const answering = (value?: unknown) =>
  addresses
    .filter((address) =>
      answersNodePorts(parse(value), address, ['192.0.2.1', '2001:db8::1'].includes(address.text)),
    )
    .map(({ text }) => text);

const all4 = ['192.0.2.1', '192.0.2.9', '10.0.0.1'];
const all6 = ['2001:db8::1', 'fd00::1'];

describe('NodePort addresses', () => {
  it('are the primary ones by default', () => {
    assert.deepEqual(answering(), ['192.0.2.1', '2001:db8::1']);
    assert.deepEqual(parse(), { primary: true, ranges: [], localhost: [] });
  });

  for (const [title, value, expected] of [
    ['primary', ['primary'], ['192.0.2.1', '2001:db8::1']],
    ['all', ['all'], [...all4, ...all6]],
    ['all and primary', ['primary', 'all'], [...all4, ...all6]],
    ['none but localhost', ['localhost'], []],
    ['ranges of both families', ['10.0.0.0/8', 'fd00::/8'], ['10.0.0.1', 'fd00::1']],
    ['one address', ['192.0.2.9', '::2'], ['192.0.2.9']],
    ['ranges of IPv4, which leave IPv6 open', ['192.0.2.0/24'], ['192.0.2.1', '192.0.2.9', ...all6]],
    ['ranges of IPv6, which leave IPv4 open', ['fd00::/8', 'fe00::/8'], [...all4, 'fd00::1']],
    ['all of one family', ['0.0.0.0/0', 'fd00::/8'], [...all4, 'fd00::1']],
    ['a range beside words, which speak of both families', ['10.0.0.0/8', 'localhost'], ['10.0.0.1']],
    ['a range beside primary', ['10.0.0.0/8', 'primary'], ['192.0.2.1', '10.0.0.1', '2001:db8::1']],
  ] as const) {
    it(`can be ${title}`, () => assert.deepEqual(answering(value), expected));
  }

  it('include loopback when it was asked for', () => {
    for (const [value, of] of [
      [['localhost'], [4, 6]],
      [
        ['primary', 'localhost'],
        [4, 6],
      ],
      [['127.0.0.0/8'], [4]],
      [['::1'], [6]],
      [
        ['126.0.0.0/7', '::/127'],
        [4, 6],
      ],
    ] as const) {
      assert.deepEqual(parse(value).localhost, of, value.join());
    }
    for (const value of [['all'], ['0.0.0.0/0'], ['::/0'], ['primary'], ['10.0.0.0/8', 'fd00::/8']]) {
      assert.deepEqual(parse(value).localhost, [], value.join());
    }
  });

  it('throw for what is none', () => {
    for (const value of ['primary', [], {}, null, 7]) {
      assert.throws(() => parse(value), { code: 'ERR_BPF_INVALID_OPTION', message: /^nodePortAddresses: / });
    }
    for (const word of ['secondary', 'PRIMARY', '', '10.0.0.0/33', 7, null]) {
      assert.throws(() => parse(['primary', word]), {
        code: 'ERR_BPF_INVALID_ADDRESS',
        message: /nodePortAddresses\[1\]/,
      });
    }
  });
});
