import assert from 'node:assert/strict';

import { type Query, Simulator, type SimulatorOptions } from '../../../lib/simulator';
import { open, web } from './node';

const query = { from: '10.244.1.9', to: '10.96.0.1', port: 80, socket: true } as const;

describe('simulator: what is malformed', () => {
  const queries: [string, unknown, string, RegExp][] = [
    ['no object', undefined, 'ERR_BPF_INVALID_OPTION', /query/],
    ['no source', { ...query, from: undefined }, 'ERR_BPF_INVALID_ADDRESS', /query\.from/],
    ['no address', { ...query, to: 'web' }, 'ERR_BPF_INVALID_ADDRESS', /query\.to.*'web'/],
    ['a zone', { ...query, to: 'fe80::1%eth0' }, 'ERR_BPF_INVALID_ADDRESS', /query\.to/],
    ['two families', { ...query, from: 'fd00::1' }, 'ERR_BPF_INVALID_ADDRESS', /fd00::1.*10\.96\.0\.1/],
    ['no port', { ...query, port: undefined }, 'ERR_BPF_INVALID_PORT', /query\.port/],
    ['a port too many', { ...query, port: 65_536 }, 'ERR_BPF_INVALID_PORT', /65536/],
    ["half a client's port", { ...query, fromPort: 0.5 }, 'ERR_BPF_INVALID_PORT', /query\.fromPort/],
    ['another protocol', { ...query, protocol: 'ICMP' }, 'ERR_BPF_INVALID_PROTOCOL', /ICMP/],
    ['a fraction as a seed', { ...query, seed: 0.5 }, 'ERR_BPF_INVALID_OPTION', /query\.seed/],
    [
      'a seed that is too large for a number',
      { ...query, seed: 2 ** 53 },
      'ERR_BPF_INVALID_OPTION',
      /query\.seed/,
    ],
    ['neither a socket nor a device', { ...query, socket: undefined }, 'ERR_BPF_INVALID_OPTION', /either/],
    ['both', { ...query, device: 'eth0' }, 'ERR_BPF_INVALID_OPTION', /either/],
    [
      'a device that is no name',
      { ...query, socket: undefined, device: 1 },
      'ERR_BPF_INVALID_OPTION',
      /device/,
    ],
    ['a socket of nobody', { ...query, socket: {} }, 'ERR_BPF_INVALID_OPTION', /hostNetwork/],
    ['a socket that is none', { ...query, socket: false }, 'ERR_BPF_INVALID_OPTION', /query\.socket/],
  ];
  for (const [title, malformed, code, message] of queries) {
    it(`a query with ${title}`, async () => {
      const simulator = await open([web()]);
      assert.throws(() => simulator.simulate(malformed as Query), {
        name: 'LoadBalancerError',
        code,
        message,
      });
    });
  }

  const options: [string, unknown, string, RegExp][] = [
    ['a device without a name', { node: { devices: [{}] } }, 'ERR_BPF_INVALID_OPTION', /devices\[0\]\.name/],
    [
      'another role',
      { node: { devices: [{ name: 'a' }, { name: 'b', role: 'inside' }] } },
      'ERR_BPF_INVALID_OPTION',
      /devices\[1\]\.role.*inside/,
    ],
    [
      'an address of a device that is none',
      { node: { devices: [{ name: 'eth0', addresses: ['10.0.0.1/24'] }] } },
      'ERR_BPF_INVALID_ADDRESS',
      /devices\[0\]: addresses\[0\].*10\.0\.0\.1\/24/,
    ],
    [
      'an address that is none',
      { node: { addresses: ['1.2.3'] } },
      'ERR_BPF_INVALID_ADDRESS',
      /addresses\[0\]/,
    ],
    ['no list of addresses', { node: { addresses: '1.2.3.4' } }, 'ERR_BPF_INVALID_OPTION', /addresses/],
    [
      'an option that a LoadBalancer would refuse, too',
      { algorithm: 'best' },
      'ERR_BPF_INVALID_OPTION',
      /best/,
    ],
  ];
  for (const [title, malformed, code, message] of options) {
    it(`a node with ${title}`, async () => {
      await assert.rejects(Simulator.open(malformed as SimulatorOptions), {
        name: 'LoadBalancerError',
        code,
        message,
      });
    });
  }

  it('addresses that are not unicast may be asked for: nobody serves them', async () => {
    const simulator = await open([web()]);
    for (const to of ['0.0.0.0', '224.0.0.1', '255.255.255.255']) {
      assert.equal(simulator.simulate({ ...query, to }).verdict, 'untouched');
    }
    for (const to of ['::', 'ff02::1']) {
      assert.equal(simulator.simulate({ ...query, from: '::1', to }).verdict, 'untouched');
    }
  });
});
