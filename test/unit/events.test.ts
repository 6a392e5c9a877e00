import assert from 'node:assert/strict';

import { decodeEvent } from '../../lib/events';

/* As struct lb_event has it: kind, protocol, padding, three addresses, two ports. */
function record(
  kind: number,
  protocol: number,
  client: string,
  source: string,
  backend: string,
  ports: string,
): Uint8Array {
  const number = Buffer.alloc(4);
  number.writeUInt32LE(kind);
  const rest = Buffer.from(
    [protocol.toString(16).padStart(2, '0'), '000000', client, source, backend, ports].join(''),
    'hex',
  );
  return Buffer.concat([number, rest]);
}

const mapped = (hex: string) => `00000000000000000000ffff${hex}`;

describe('events', () => {
  it('tell who could not be given a port, IPv4', () => {
    const bytes = record(1, 6, mapped('cb007102'), mapped('0a000901'), mapped('0af40202'), '9c401f90');
    assert.deepEqual(decodeEvent(bytes), {
      protocol: 'TCP',
      client: '203.0.113.2',
      clientPort: 40000,
      source: '10.0.9.1',
      backend: '10.244.2.2',
      backendPort: 8080,
    });
  });

  it('tell who could not be given a port, IPv6', () => {
    const at = (last: string) => `20010db8000000000000000000000${last}`;
    assert.deepEqual(decodeEvent(record(1, 17, at('002'), at('001'), at('abc'), '00350050')), {
      protocol: 'UDP',
      client: '2001:db8::2',
      clientPort: 53,
      source: '2001:db8::1',
      backend: '2001:db8::abc',
      backendPort: 80,
    });
  });

  it('know SCTP', () => {
    const bytes = record(1, 132, mapped('cb007102'), mapped('0a000901'), mapped('0af40202'), '9c401f90');
    assert.equal(decodeEvent(bytes)?.protocol, 'SCTP');
  });

  it('of another kind, and what is too short, are none', () => {
    const bytes = record(1, 6, mapped('cb007102'), mapped('0a000901'), mapped('0af40202'), '9c401f90');
    assert.equal(decodeEvent(bytes.subarray(0, -1)), undefined);
    assert.equal(decodeEvent(new Uint8Array()), undefined);
    const other = Uint8Array.from(bytes);
    other[0] = 2;
    assert.equal(decodeEvent(other), undefined);
    const protocol = Uint8Array.from(bytes);
    protocol[4] = 1;
    assert.equal(decodeEvent(protocol), undefined);
  });
});
