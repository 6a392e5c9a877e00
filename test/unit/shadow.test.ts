import assert from 'node:assert/strict';

import { ChoiceResult, EventKind, Fate, layouts, Side } from '../../lib/abi';
import { decodeCounted, decodeObserved } from '../../lib/shadow';

const mapped = (hex: string) => `00000000000000000000ffff${hex}`;
const none = '00'.repeat(16);

/* As struct lb_decision has it: two addresses, their ports, protocol, side, fate, result. */
function decision(frontend: string, backend: string, ports: string, ...rest: number[]): Buffer {
  return Buffer.concat([Buffer.from(frontend + backend + ports, 'hex'), Buffer.from(rest)]);
}

function dumpOf(...entries: [key: Buffer, count: bigint][]) {
  const values = BigUint64Array.from(entries.map(([, count]) => count));
  return {
    keys: Buffer.concat(entries.map(([key]) => key)),
    values: new Uint8Array(values.buffer),
    count: entries.length,
  };
}

const owners = new Map([
  ['10.96.0.1:80/TCP', 'web'],
  ['[::]:30001/UDP', 'dns'],
]);
const forwarded = decision(
  mapped('0a600001'),
  mapped('0af40202'),
  '00501f90',
  6,
  Side.SOCKET,
  Fate.FORWARD,
  ChoiceResult.CHOSEN,
);

describe('shadow decisions', () => {
  it('name service, frontend and backend; the most frequent first', () => {
    const node = '20010db8000000000000000000000001';
    const refused = decision(node, none, '75310000', 17, Side.OUTSIDE, Fate.REJECT, ChoiceResult.NO_BACKEND);
    assert.deepEqual(decodeCounted(dumpOf([refused, 2n], [forwarded, 2n ** 40n]), owners), [
      {
        via: 'socket',
        protocol: 'TCP',
        frontend: '10.96.0.1:80',
        service: 'web',
        verdict: 'forward',
        reason: 'chosen',
        backend: '10.244.2.2:8080',
        count: 2n ** 40n,
      },
      {
        via: 'outside',
        protocol: 'UDP',
        frontend: '[2001:db8::1]:30001',
        service: 'dns',
        verdict: 'reject',
        reason: 'no-backend',
        backend: undefined,
        count: 2n,
      },
    ]);
  });

  it('say address alone for all its ports, and nothing for all addresses', () => {
    const port = decision(
      mapped('0a600001'),
      none,
      '00000000',
      6,
      Side.POD,
      Fate.REJECT,
      ChoiceResult.UNKNOWN_PORT,
    );
    const address = decision(none, none, '00000000', 132, Side.POD, Fate.DROP, ChoiceResult.UNALLOCATED);
    assert.deepEqual(
      decodeCounted(dumpOf([port, 1n], [address, 1n]), owners).map(({ frontend, service }) => [
        frontend,
        service,
      ]),
      [
        ['10.96.0.1', undefined],
        [undefined, undefined],
      ],
    );
  });

  it('tell who asked', () => {
    const record = Buffer.alloc(layouts.lb_decision_event.size);
    const { fields } = layouts.lb_decision_event;
    record.writeUInt32LE(EventKind.DECISION, fields.kind.offset);
    forwarded.copy(record, fields.decision.offset);
    Buffer.from(mapped('cb007102'), 'hex').copy(record, fields.client.offset);
    record.writeUInt16BE(40_000, fields.client_port.offset);
    const observed = decodeObserved(record, owners);
    assert.deepEqual(
      [observed?.client, observed?.clientPort, observed?.backend],
      ['203.0.113.2', 40_000, '10.244.2.2:8080'],
    );
    assert.equal(decodeObserved(record.subarray(1), owners), undefined);
    record.writeUInt32LE(EventKind.NO_PORT, fields.kind.offset);
    assert.equal(decodeObserved(record, owners), undefined);
  });
});
