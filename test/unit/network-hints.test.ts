import assert from 'node:assert/strict';

import { networkOf } from '../../lib/network-hints';

describe('network hints', () => {
  it('take the first 16 bits of an IPv4 address', () => {
    assert.equal(networkOf(4, '10.96.0.1'), 0x0a60);
    assert.equal(networkOf(4, '223.255.1.2'), 0xdfff);
  });

  it('fold the first 64 bits of an IPv6 address', () => {
    assert.equal(networkOf(6, '2001:db8:1:2:3:4:5:6'), 0x2001 ^ 0x0db8 ^ 1 ^ 2);
    assert.equal(networkOf(6, '::1'), 0);
  });
});
