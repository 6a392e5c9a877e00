import assert from 'node:assert/strict';

import { NetworkHint } from '../../lib/abi';
import { parseCidr } from '../../lib/cidr';
import { NetworkHints, networkOf } from '../../lib/network-hints';
import { Place } from '../../lib/place';
import { defineService } from '../../lib/service-definition';
import type { ServiceRecord } from '../../lib/table-image';
import type { MapOperation } from '../../types/native';

/** What the stores leave in the table: hints by network, without those that are zero. */
function written(operations: readonly MapOperation[]): Map<number, number> {
  const hints = new Map<number, number>();
  for (const operation of operations) {
    assert.ok(operation.map === 'networks' && operation.kind === 'store' && operation.bytes.length === 1);
    hints.set(operation.offset, operation.bytes[0] as number);
  }
  return hints;
}

function recordOf(address: string): ServiceRecord {
  const definition = defineService({
    name: 'web',
    frontends: [{ type: 'ClusterIP', address, port: 80 }],
    backends: [],
  });
  return { definition, ids: [1], numbers: { group: 1, affinityTimeout: 0, ranges: 1 }, placements: {} };
}

const ranges = (...texts: string[]) => texts.map((text) => parseCidr(text, new Place('serviceCIDRs')));

describe('network hints', () => {
  it('take the first 16 bits of an IPv4 address', () => {
    assert.equal(networkOf(4, '10.96.0.1'), 0x0a60);
    assert.equal(networkOf(4, '223.255.1.2'), 0xdfff);
  });

  it('fold the first 64 bits of an IPv6 address', () => {
    assert.equal(networkOf(6, '2001:db8:1:2:3:4:5:6'), 0x2001 ^ 0x0db8 ^ 1 ^ 2);
    assert.equal(networkOf(6, '::1'), 0);
  });

  it('reserve every network of a range, and no other', () => {
    const hints = written(new NetworkHints().reserve(ranges('10.96.0.0/12', '172.20.5.0/24')));
    assert.deepEqual(
      [...hints.keys()].sort((a, b) => a - b),
      [...Array.from({ length: 16 }, (_, i) => 0x0a60 + i), 0xac14],
    );
    for (const hint of hints.values())
      assert.ok(hint & NetworkHint.FRONTEND4 && !(hint & NetworkHint.FRONTEND6));
  });

  it('reserve the networks of IPv6 ranges, folded', () => {
    const narrow = written(new NetworkHints().reserve(ranges('fd00:96::/112')));
    assert.deepEqual([...narrow.keys()], [networkOf(6, 'fd00:96::')]);
    const some = written(new NetworkHints().reserve(ranges('fd00:96:0:10::/60')));
    const inside = ['fd00:96:0:10::', 'fd00:96:0:17::', 'fd00:96:0:1f:1:2:3:4'].map((text) =>
      networkOf(6, text),
    );
    assert.equal(some.size, 16);
    for (const network of inside) assert.ok((some.get(network) ?? 0) & NetworkHint.FRONTEND6);
    const wide = written(new NetworkHints().reserve(ranges('fd00::/8')));
    assert.equal(wide.size, 65536);
  });

  it('keep what is reserved when its last frontend goes', () => {
    const hints = new NetworkHints();
    hints.reserve(ranges('10.96.0.0/16'));
    const record = recordOf('10.96.0.1');
    hints.change([], [record]);
    const { before, after } = hints.change([record], []);
    assert.deepEqual([before, after], [[], []]);
  });
});
