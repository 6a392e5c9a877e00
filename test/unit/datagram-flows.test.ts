import assert from 'node:assert/strict';

import { layouts } from '../../lib/abi';
import { DatagramFlows } from '../../lib/datagram-flows';
import { defineService, type ServiceDefinition } from '../../lib/service-definition';
import type { MapOperation } from '../../types/native';

const frontend = { address: '10.96.0.10', port: 53 };
const old = { address: '10.244.2.2', port: 5353 };
const next = { address: '10.244.2.3', port: 5353 };
type End = typeof old;

function dns(...backends: End[]): ServiceDefinition {
  return defineService({
    name: 'dns',
    frontends: [{ type: 'ClusterIP', ...frontend, protocol: 'UDP' }],
    backends,
  });
}

function tuple(source: End, destination: End): Buffer {
  const { size, fields } = layouts.lb_tuple4;
  const bytes = Buffer.alloc(size);
  const put = ({ address, port }: End, addressAt: number, portAt: number) => {
    bytes.set(address.split('.').map(Number), addressAt);
    bytes.writeUInt16BE(port, portAt);
  };
  put(source, fields.saddr.offset, fields.sport.offset);
  put(destination, fields.daddr.offset, fields.dport.offset);
  bytes[fields.protocol.offset] = 17;
  return bytes;
}

/** What a table has of the request of a client. */
function flow(clientPort: number, backend: End): { key: Buffer; value: Buffer } {
  const client = { address: '192.0.2.1', port: clientPort };
  const value = Buffer.alloc(layouts.lb_flow4.size);
  value.set(tuple(client, backend), layouts.lb_flow4.fields.to.offset);
  return { key: tuple(client, frontend), value };
}

/** One table of flows, and what may happen between two looks at it. */
class Flows {
  readonly entries = new Map<string, { key: Buffer; value: Buffer }>();
  readonly table = { owners: new Map([['10.96.0.10:53/UDP', 'dns']]), records: new Map() };
  readonly flows: DatagramFlows;
  afterDump: () => void = () => undefined;

  constructor() {
    const datapath = {
      dump: (map: string) => {
        const all = map === 'flows4' ? [...this.entries.values()] : [];
        const [keys, values] = [all.map(({ key }) => key), all.map(({ value }) => value)];
        const dump = { keys: Buffer.concat(keys), values: Buffer.concat(values), count: all.length };
        return Promise.resolve(dump).finally(() => map === 'flows4' && this.afterDump());
      },
      lookup: (_map: string, key: Uint8Array) => this.entries.get(Buffer.from(key).toString('hex'))?.value,
      commit: ([operation]: readonly MapOperation[]) => {
        assert.ok(operation?.kind === 'delete');
        const { size } = layouts.lb_tuple4;
        const keys = Buffer.from(operation.keys);
        for (let i = 0; i < keys.length; i += size) this.entries.delete(keys.toString('hex', i, i + size));
        return Promise.resolve();
      },
    };
    this.flows = new DatagramFlows({ datapath, table: this.table, settled: (work) => work() });
  }

  add(clientPort: number, backend: End): void {
    const entry = flow(clientPort, backend);
    this.entries.set(entry.key.toString('hex'), entry);
  }

  has(clientPort: number): boolean {
    return this.entries.has(flow(clientPort, old).key.toString('hex'));
  }

  /** The service has these backends now. */
  change(before: ServiceDefinition, after: ServiceDefinition): void {
    this.table.records.set('dns', { definition: after });
    this.flows.note([{ before, after }]);
  }
}

describe('UDP flows to backends that went', () => {
  it('are forgotten, and others are not', async () => {
    const flows = new Flows();
    flows.add(1, old);
    flows.add(2, next);
    flows.change(dns(old), dns(next));
    await flows.flows.stop();
    assert.deepEqual([flows.has(1), flows.has(2)], [false, true]);
  });

  it('stay when the backend is back before they go', async () => {
    const flows = new Flows();
    flows.add(1, old);
    flows.change(dns(old), dns(next));
    flows.afterDump = () => flows.table.records.set('dns', { definition: dns(old) });
    await flows.flows.stop();
    assert.ok(flows.has(1));
  });

  it('stay when they have begun anew with another backend', async () => {
    const flows = new Flows();
    flows.add(1, old);
    flows.change(dns(old), dns(next));
    flows.afterDump = () => flows.add(1, next);
    await flows.flows.stop();
    assert.ok(flows.has(1));
  });

  it('of a frontend that came and went meanwhile are forgotten, too', async () => {
    const flows = new Flows();
    flows.add(1, old);
    const elsewhere = defineService({
      name: 'dns',
      frontends: [{ type: 'ClusterIP', address: '10.96.0.11', port: 53, protocol: 'UDP' }],
      backends: [old],
    });
    flows.change(elsewhere, dns(old));
    flows.change(dns(old), elsewhere);
    flows.table.owners.clear();
    await flows.flows.stop();
    assert.equal(flows.has(1), false);
  });

  it('are forgotten in a look at all, whatever changed: of their service, or of one that is gone', async () => {
    const flows = new Flows();
    flows.add(1, old);
    flows.add(2, next);
    flows.table.records.set('dns', { definition: dns(next) });
    flows.flows.reconcile();
    await flows.flows.stop();
    assert.deepEqual([flows.has(1), flows.has(2)], [false, true]);
    flows.table.owners.clear();
    flows.flows.reconcile();
    await flows.flows.stop();
    assert.equal(flows.has(2), false);
  });
});
