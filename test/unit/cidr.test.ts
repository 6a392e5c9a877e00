import assert from 'node:assert/strict';
import { BlockList, isIPv4 } from 'node:net';

import fc from 'fast-check';

import { ipv6Bytes } from '../../lib/address';
import { contains, parseCidr } from '../../lib/cidr';
import { LoadBalancerError } from '../../lib/errors';
import { Place } from '../../lib/place';

const parse = (text: unknown) => parseCidr(text, new Place('Service web').at('sourceRanges', 2));

/** Addresses in the neighbourhood of each other, so that ranges of them overlap. */
const nearIPv4 = fc
  .tuple(fc.constantFrom(10, 11, 138), fc.nat(255), fc.nat(255), fc.nat(255))
  .map((octets) => octets.join('.'));
const nearIPv6 = fc
  .tuple(fc.constantFrom('2001', '2003', 'a001'), fc.nat(0xffff), fc.nat(0xffff))
  .map(([first, middle, last]) => `${first}:db8:0:0:${middle.toString(16)}:0:0:${last.toString(16)}`);

describe('CIDR ranges', () => {
  it('are made canonical', () => {
    const canonical = {
      '10.0.0.0/8': '10.0.0.0/8',
      '10.1.2.3/8': '10.0.0.0/8',
      '10.1.255.3/17': '10.1.128.0/17',
      '192.0.2.1/32': '192.0.2.1/32',
      '192.0.2.1': '192.0.2.1/32',
      '0.0.0.0/0': '0.0.0.0/0',
      '203.0.113.9/0': '0.0.0.0/0',
      '224.0.0.0/4': '224.0.0.0/4',
      ' 10.0.0.0/8 ': '10.0.0.0/8',
      '\t192.0.2.1\n': '192.0.2.1/32',
      '2001:db8::/32': '2001:db8::/32',
      '2001:DB8:0:0:1::/32': '2001:db8::/32',
      '2001:db8:ffff::/33': '2001:db8:8000::/33',
      '2001:db8:0:1:0:0:0:1': '2001:db8:0:1::1/128',
      'fe80::1/10': 'fe80::/10',
      '::/0': '::/0',
    };
    for (const [text, expected] of Object.entries(canonical)) assert.equal(parse(text).text, expected);
  });

  it('are given as 16 bytes and a length of their own family', () => {
    assert.deepEqual(parse('10.1.2.3/12'), {
      family: 4,
      bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0),
      prefixLength: 12,
      text: '10.0.0.0/12',
    });
    assert.deepEqual(parse('2001:db8:7fff::9/35'), {
      family: 6,
      bytes: Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
      prefixLength: 35,
      text: '2001:db8:6000::/35',
    });
  });

  it('that are mapped into IPv6 are IPv4, wider ones are not', () => {
    assert.deepEqual(parse('::ffff:10.1.2.3/104'), parse('10.0.0.0/8'));
    assert.deepEqual(parse('::ffff:a01:203'), parse('10.1.2.3'));
    assert.deepEqual(parse('::ffff:0:0/96'), parse('0.0.0.0/0'));
    const wider = parse('::ffff:0:0/95');
    assert.deepEqual([wider.family, wider.prefixLength], [6, 95]);
    assert.deepEqual([...wider.bytes], ipv6Bytes('::fffe:0:0'));
    assert.deepEqual([parse('::a01:203/104').family, parse('::a01:203/104').prefixLength], [6, 104]);
  });

  it('that are malformed are rejected in words that name the place', () => {
    for (const text of [
      '',
      ' ',
      '/',
      '/8',
      '10.0.0.0/',
      '10.0.0.0/33',
      '10.0.0.0/-1',
      '10.0.0.0/+8',
      '10.0.0.0/08',
      '10.0.0.0/8.0',
      '10.0.0.0/1e1',
      '10.0.0.0/255.0.0.0',
      '10.0.0.0 /8',
      '10.0.0.0/ 8',
      '10.0.0.0/8/8',
      '10.0.0.0/8,11.0.0.0/8',
      '10.0.0/8',
      '10/8',
      '010.0.0.0/8',
      '10.0.0.256/8',
      '2001:db8::/129',
      '2001:db8::/9007199254740993',
      '2001:db8::1::/32',
      'fe80::%eth0/10',
      '[2001:db8::]/32',
      'localhost',
      'all',
      undefined,
      null,
      10,
      {},
      ['10.0.0.0/8'],
    ]) {
      assert.throws(
        () => parse(text),
        (error: LoadBalancerError) => {
          assert.equal(error.code, 'ERR_BPF_INVALID_ADDRESS');
          assert.ok(error.message.startsWith('Service web: sourceRanges[2]: '), error.message);
          assert.ok(error.message.endsWith('is not an IP address or a CIDR range.'), error.message);
          return true;
        },
        JSON.stringify(text),
      );
    }
  });

  it('have edges', () => {
    const ten = parse('10.0.0.0/8');
    assert.equal(contains(ten, '10.0.0.0'), true);
    assert.equal(contains(ten, '10.255.255.255'), true);
    assert.equal(contains(ten, '9.255.255.255'), false);
    assert.equal(contains(ten, '11.0.0.0'), false);
    const odd = parse('2001:db8:8000::/33');
    assert.equal(contains(odd, '2001:db8:8000::'), true);
    assert.equal(contains(odd, '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'), true);
    assert.equal(contains(odd, '2001:db8:7fff:ffff:ffff:ffff:ffff:ffff'), false);
    assert.equal(contains(odd, '2001:db9::'), false);
    const one = parse('192.0.2.1');
    assert.equal(contains(one, '192.0.2.1'), true);
    assert.equal(contains(one, '192.0.2.0'), false);
  });

  it('of one family hold nothing of the other', () => {
    assert.equal(contains(parse('0.0.0.0/0'), '2001:db8::1'), false);
    assert.equal(contains(parse('::/0'), '10.0.0.1'), false);
    assert.equal(contains(parse('0.0.0.0/0'), '255.255.255.255'), true);
    assert.equal(contains(parse('::/0'), '2001:db8::1'), true);
  });

  for (const [family, near, longest] of [
    ['ipv4', nearIPv4, 32],
    ['ipv6', nearIPv6, 128],
  ] as const) {
    it(`hold the addresses that Node's BlockList says, ${family}`, () => {
      fc.assert(
        fc.property(near, near, fc.integer({ min: 0, max: longest }), (network, address, length) => {
          const list = new BlockList();
          list.addSubnet(network, length, family);
          const range = parse(`${network}/${length}`);
          assert.equal(contains(range, address), list.check(address, family));
          assert.equal(contains(range, network), true);
        }),
        { numRuns: 1000 },
      );
    });
  }

  it('have one canonical text, whatever the input looked like', () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6(), nearIPv6);
    fc.assert(
      fc.property(address, fc.nat(128), (text, bits) => {
        const length = isIPv4(text) ? bits % 33 : bits;
        const range = parse(`${text}/${length}`);
        assert.deepEqual(parse(range.text), range);
        assert.deepEqual(parse(` ${text.toUpperCase()}/${length}`), range);
      }),
    );
  });

  it('never make the parser fail in another way', () => {
    const anything = fc.oneof(fc.anything(), fc.string(), fc.stringMatching(/^[0-9a-f:.%/]*$/));
    fc.assert(
      fc.property(anything, (text) => {
        try {
          assert.equal(parse(text).bytes.length, 16);
        } catch (error) {
          assert.ok(error instanceof LoadBalancerError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
