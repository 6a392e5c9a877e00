import assert from 'node:assert/strict';

import fc from 'fast-check';

import {
  formatPortRanges,
  parsePortRanges,
  type PortRange,
  unprotectedPorts,
  withoutPorts,
} from '../../lib/port-range';

const nodePorts: PortRange = [30000, 32767];

describe('port ranges', () => {
  it('are read and written as the kernel does', () => {
    const text = '1-3,7,30000-32767';
    assert.deepEqual(parsePortRanges(`${text}\n`), [
      [1, 3],
      [7, 7],
      [30000, 32767],
    ]);
    assert.equal(formatPortRanges(parsePortRanges(text)), text);
    assert.deepEqual(parsePortRanges('\n'), []);
    assert.equal(formatPortRanges([]), '');
  });

  it('are subtracted, port by port', () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 10 }))
      .map(([min, more]): PortRange => [min, min + more]);
    const ports = (ranges: readonly PortRange[]) =>
      new Set(ranges.flatMap(([min, max]) => Array.from({ length: max - min + 1 }, (_, i) => min + i)));
    fc.assert(
      fc.property(fc.array(range), fc.array(range), (ranges, others) => {
        const left = withoutPorts(ranges, others);
        const expected = [...ports(ranges)].filter((port) => !ports(others).has(port));
        assert.deepEqual(
          [...ports(left)].sort((a, b) => a - b),
          expected.sort((a, b) => a - b),
        );
        assert.ok(left.every(([min, max]) => min <= max));
      }),
    );
  });

  describe('of NodePorts need protection', () => {
    for (const [title, ephemeral, reserved, expected] of [
      ['not below the ephemeral ports', [32768, 60999], [], []],
      ['when they overlap with them', [32000, 60999], [], [nodePorts]],
      ['when they are among them', [1024, 65535], [], [nodePorts]],
      ['when they share one port', [32767, 60999], [], [nodePorts]],
      ['when they share the other end', [1024, 30000], [], [nodePorts]],
      ['not when they are reserved', [1024, 65535], [[30000, 32767]], []],
      [
        'not when more is reserved',
        [1024, 65535],
        [
          [80, 80],
          [20000, 40000],
        ],
        [],
      ],
      ['when a part is reserved', [1024, 65535], [[30000, 31000]], [[31001, 32767]]],
      [
        'when one port is not reserved',
        [1024, 65535],
        [
          [30000, 30079],
          [30081, 40000],
        ],
        [[30080, 30080]],
      ],
      ['when others are reserved', [1024, 65535], [[8080, 8080]], [nodePorts]],
    ] satisfies [string, PortRange, PortRange[], PortRange[]][]) {
      it(title, () => assert.deepEqual(unprotectedPorts(nodePorts, ephemeral, reserved), expected));
    }

    it('and may not lie above the ephemeral ports', () => {
      assert.throws(() => unprotectedPorts(nodePorts, [1024, 29999], [[30000, 32767]]), {
        code: 'ERR_BPF_INVALID_OPTION',
        message: /30000-32767 lies above the ephemeral ports, 1024-29999/,
      });
    });
  });
});
