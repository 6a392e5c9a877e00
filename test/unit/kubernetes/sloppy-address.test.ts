import assert from 'node:assert/strict';

import {
  parseSharedAddress,
  parseSloppyAddress,
  parseSloppyRange,
} from '../../../lib/kubernetes/sloppy-address';

describe('kubernetes: sloppy addresses', () => {
  for (const [text, canonical] of [
    ['172.30.0.041', '172.30.0.41'],
    ['10.180.00.001', '10.180.0.1'],
    ['1.2.3.004', '1.2.3.4'],
    ['010.000.000.008', '10.0.0.8'],
    ['10.96.0.10', '10.96.0.10'],
    ['2001:0DB8:0:0::0001', '2001:db8::1'],
    ['0002001:db8::1', '2001:db8::1'],
    ['::ffff:010.0.0.09', '10.0.0.9'],
    ['fd00::0', 'fd00::'],
  ] as const) {
    it(`reads ${text} as ${canonical}`, () => {
      assert.equal(parseSloppyAddress(text)?.text, canonical);
    });
  }

  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '0x7f.1.1.1',
    ' 10.0.0.1',
    '10.0.0.1:80',
    'fe80::1%eth0',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    'ff02::1',
    '0',
    '00',
    '::00001::',
  ])
    it(`finds no address in ${JSON.stringify(text)}`, () => {
      assert.equal(parseSloppyAddress(text), undefined);
    });

  it('takes no loopback address where the network has to know it', () => {
    assert.equal(parseSloppyAddress('127.0.0.1')?.text, '127.0.0.1');
    for (const text of ['127.0.0.1', '127.000.000.001', '::1', '::ffff:127.0.0.1'])
      assert.equal(parseSharedAddress(text), undefined);
  });

  for (const [text, canonical] of [
    ['203.0.113.000/025', '203.0.113.0/25'],
    [' 10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3/08 ', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['0.0.0.0/00', '0.0.0.0/0'],
    ['::/0', '::/0'],
    ['2001:0db8::/032', '2001:db8::/32'],
  ] as const) {
    it(`reads the range ${JSON.stringify(text)} as ${canonical}`, () => {
      assert.equal(parseSloppyRange(text)?.text, canonical);
    });
  }

  for (const text of [
    '',
    '/',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8/8',
  ])
    it(`finds no range in ${JSON.stringify(text)}`, () => {
      assert.equal(parseSloppyRange(text), undefined);
    });
});
