import assert from 'node:assert/strict';
import { BlockList } from 'node:net';

import fc from 'fast-check';

import type { ServiceSpec } from '../../../lib/spec';
import { addresses, open } from './node';

/* Short prefixes and addresses of few bits, so that ranges meet clients and each other. */
const octet = fc.constantFrom(0, 1, 2, 127, 128, 255);
const client4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
const client6 = fc.tuple(octet, octet, octet, octet).map(([a, b, c, d]) => {
  const word = (high: number, low: number) => ((high << 8) | low).toString(16);
  return `fd00:${word(a, b)}::${word(c, d)}`;
});
const range = (client: fc.Arbitrary<string>, min: number, max: number) =>
  fc.record({ address: client, length: fc.integer({ min, max }) });

describe('simulator: source ranges', () => {
  for (const [family, client, ranges] of [
    [4, client4, range(client4, 0, 32)],
    [6, client6, range(client6, 8, 128)],
  ] as const) {
    it(`IPv${family}: who is in one of them comes in, while they come and go`, async () => {
      const simulator = await open();
      const to = addresses[family].vip;
      const spec = (sourceRanges: string[]): ServiceSpec => ({
        name: 'web',
        frontends: [{ type: 'LoadBalancer', address: to, port: 80 }],
        backends: [{ address: addresses[family].there, port: 80 }],
        sourceRanges,
      });
      const states = fc.array(fc.array(ranges, { minLength: 1, maxLength: 6 }), {
        minLength: 1,
        maxLength: 4,
      });
      fc.assert(
        fc.property(states, fc.array(client, { minLength: 1, maxLength: 8 }), (all, clients) => {
          for (const state of all) {
            simulator.upsertService(spec(state.map(({ address, length }) => `${address}/${length}`)));
            const allowed = new BlockList();
            for (const { address, length } of state) allowed.addSubnet(address, length, `ipv${family}`);
            for (const from of clients) {
              const { verdict } = simulator.simulate({ from, to, port: 80, device: 'eth0' });
              const expected = allowed.check(from, `ipv${family}`) ? 'forward' : 'drop';
              assert.equal(verdict, expected, `${from} by ${JSON.stringify(state)}`);
            }
          }
        }),
        { numRuns: 300 },
      );
    });
  }
});
