import assert from 'node:assert/strict';
import { isIP } from 'node:net';

import fc from 'fast-check';

import {
  formatAddress,
  formatEndpoint,
  ipv4Bits,
  ipv6Bytes,
  isLoopback,
  parseAddress,
} from '../../lib/address';
import { LoadBalancerError } from '../../lib/errors';
import { Place } from '../../lib/place';

const parse = (text: unknown) => parseAddress(text, new Place('Service web').at('backends', 3));

describe('addresses', () => {
  it('are made canonical', () => {
    assert.deepEqual(parse('10.0.0.1'), { family: 4, text: '10.0.0.1' });
    assert.deepEqual(parse('223.255.255.255'), { family: 4, text: '223.255.255.255' });
    assert.deepEqual(parse('2001:DB8:0:0:0:0:0:1'), { family: 6, text: '2001:db8::1' });
    assert.deepEqual(parse('2001:db8:0:1:0:0:0:1'), { family: 6, text: '2001:db8:0:1::1' });
    assert.deepEqual(parse('fe80::1'), { family: 6, text: 'fe80::1' });
    assert.deepEqual(parse('::1'), { family: 6, text: '::1' });
  });

  it('that are mapped into IPv6 are IPv4', () => {
    assert.deepEqual(parse('::ffff:10.0.0.1'), { family: 4, text: '10.0.0.1' });
    assert.deepEqual(parse('::FFFF:0a00:0001'), { family: 4, text: '10.0.0.1' });
  });

  for (const [why, texts] of Object.entries({
    'is not an IP address': [
      '',
      ' 10.0.0.1',
      '10.0.0',
      '10.0.0.256',
      '010.0.0.1',
      '10.0.0.1/24',
      '10.0.0.1:80',
      'localhost',
      '[::1]',
      'fe80::1%eth0',
      '1::2::3',
      ':::',
      '0x0a000001',
      undefined,
      null,
      167772161,
      {},
      ['10.0.0.1'],
    ],
    'stands for every address, not for one': ['0.0.0.0', '::', '0:0::0', '::ffff:0.0.0.0'],
    'is not a unicast address': ['224.0.0.1', '255.255.255.255', '240.0.0.1', 'ff02::1', '::ffff:224.0.0.1'],
  })) {
    it(`${why}: rejected in words that name the place`, () => {
      for (const text of texts) {
        assert.throws(
          () => parse(text),
          (error: LoadBalancerError) => {
            assert.equal(error.code, 'ERR_BPF_INVALID_ADDRESS');
            assert.ok(error.message.startsWith('Service web: backends[3].address: '), error.message);
            assert.ok(error.message.endsWith(`${why}.`), error.message);
            return true;
          },
        );
      }
    });
  }

  it('survive the way to bytes and back', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        const bits = ipv4Bits(text);
        const bytes = Uint8Array.of(bits >>> 24, bits >>> 16, bits >>> 8, bits);
        assert.deepEqual(formatAddress(bytes), { family: 4, text });
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const { family, text } = formatAddress(bytes);
        assert.equal(family, 6);
        assert.equal(isIP(text), 6);
        assert.deepEqual(ipv6Bytes(text), [...bytes]);
      }),
    );
  });

  it('have one canonical text, whatever the input looked like', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        let parsed;
        try {
          parsed = parse(text);
        } catch (error) {
          assert.ok(error instanceof LoadBalancerError);
          return;
        }
        assert.deepEqual(parse(parsed.text), parsed);
        const upper = text.toUpperCase();
        assert.deepEqual(parse(upper), parsed);
        if (parsed.family === 6) assert.deepEqual(ipv6Bytes(parsed.text), ipv6Bytes(text));
      }),
    );
  });

  it('never make the parser fail in another way', () => {
    const anything = fc.oneof(fc.anything(), fc.string(), fc.stringMatching(/^[0-9a-f:.%/]*$/));
    fc.assert(
      fc.property(anything, (text) => {
        try {
          assert.equal(isIP(parse(text).text) !== 0, true);
        } catch (error) {
          assert.ok(error instanceof LoadBalancerError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('of loopback are told from others', () => {
    for (const address of ['127.0.0.1', '127.255.0.9', '::1']) assert.equal(isLoopback(address), true);
    for (const address of ['128.0.0.1', '12.7.0.1', '::2', '127::1', ''])
      assert.equal(isLoopback(address), false);
  });

  it('are shown with their port', () => {
    assert.equal(formatEndpoint('10.0.0.1', 80), '10.0.0.1:80');
    assert.equal(formatEndpoint('2001:db8::1', 80), '[2001:db8::1]:80');
  });
});
