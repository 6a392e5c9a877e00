import assert from 'node:assert/strict';

import fc from 'fast-check';

import { FrontendFlag } from '../../lib/abi';
import { FrontendAddresses } from '../../lib/frontend-addresses';
import { defineService } from '../../lib/service-definition';
import type { FrontendSpec } from '../../lib/spec';
import type { ServiceRecord } from '../../lib/table-image';
import type { MapOperation } from '../../types/native';

const { CLUSTER_IP, VIP, OUTSIDE } = FrontendFlag;

function recordOf(name: string, ...frontends: FrontendSpec[]): ServiceRecord {
  const definition = defineService({ name, frontends, backends: [] });
  return { definition, ids: [], numbers: { group: 1, affinityTimeout: 0, ranges: 1 }, placements: {} };
}

const clusterIP = (address: string, port = 80): FrontendSpec => ({ type: 'ClusterIP', address, port });
const loadBalancer = (address: string, port = 80): FrontendSpec => ({ type: 'LoadBalancer', address, port });

/** What the operations say, as `map address flags`. */
function shown(operations: readonly MapOperation[]): string[] {
  return operations.flatMap((operation) => {
    assert.ok(operation.kind !== 'store');
    const size = operation.map === 'frontends4' ? 4 : 16;
    return Array.from({ length: operation.keys.length / size }, (_, i) => {
      const key = Buffer.from(operation.keys.subarray(i * size, (i + 1) * size)).toString('hex');
      const flags =
        operation.kind === 'update' ? Buffer.from(operation.values).readUInt32LE(4 * i) : 'deleted';
      return `${operation.map} ${key} ${flags}`;
    });
  });
}

describe('addresses of frontends', () => {
  it('are entered after the frontends and taken out before them', () => {
    const addresses = new FrontendAddresses(false);
    const record = recordOf('web', clusterIP('10.96.0.1'), loadBalancer('2001:db8::7'));
    const added = addresses.change([], [record]);
    assert.deepEqual(added.before, []);
    assert.deepEqual(shown(added.after), [
      `frontends4 0a600001 ${CLUSTER_IP}`,
      `frontends6 20010db8000000000000000000000007 ${VIP}`,
    ]);
    const removed = addresses.change([record], []);
    assert.deepEqual(removed.after, []);
    assert.deepEqual(shown(removed.before), [
      'frontends4 0a600001 deleted',
      'frontends6 20010db8000000000000000000000007 deleted',
    ]);
  });

  it('stay while a frontend has them', () => {
    const addresses = new FrontendAddresses(false);
    const [one, other] = [recordOf('a', clusterIP('10.96.0.1')), recordOf('b', clusterIP('10.96.0.1', 81))];
    addresses.change([], [one, other]);
    const none = addresses.change([one], []);
    assert.deepEqual([none.before, none.after], [[], []]);
    assert.deepEqual(shown(addresses.change([other], []).before), ['frontends4 0a600001 deleted']);
  });

  it('tell both uses of one address', () => {
    const addresses = new FrontendAddresses(true);
    const [one, other] = [
      recordOf('a', clusterIP('10.96.0.1')),
      recordOf('b', loadBalancer('10.96.0.1', 81)),
    ];
    assert.deepEqual(shown(addresses.change([], [one]).after), [
      `frontends4 0a600001 ${CLUSTER_IP | OUTSIDE}`,
    ]);
    assert.deepEqual(shown(addresses.change([], [other]).after), [
      `frontends4 0a600001 ${CLUSTER_IP | OUTSIDE | VIP}`,
    ]);
    assert.deepEqual(shown(addresses.change([one], []).after), [`frontends4 0a600001 ${VIP}`]);
  });

  it('are not those of wildcards and HostPorts', () => {
    const record = recordOf(
      'web',
      { type: 'NodePort', port: 30080 },
      { type: 'HostPort', port: 80, address: '192.0.2.1' },
    );
    const { before, after } = new FrontendAddresses(false).change([], [record]);
    assert.deepEqual([before, after], [[], []]);
  });

  it('are what the frontends say after any history', () => {
    const frontend = fc.record({
      type: fc.constantFrom('ClusterIP' as const, 'LoadBalancer' as const, 'ExternalIPs' as const),
      address: fc.constantFrom('10.96.0.1', '10.96.0.2'),
      port: fc.integer({ min: 1, max: 3 }),
    });
    const selector = ({ address, port }: { address: string; port: number }) => `${address} ${port}`;
    const content = fc.uniqueArray(frontend, { selector, minLength: 1, maxLength: 4 });
    const step = fc.record({ slot: fc.nat(2), frontends: fc.option(content, { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const addresses = new FrontendAddresses(false);
        const records = new Map<number, ServiceRecord>();
        const kernel = new Map<string, string>();
        for (const { slot, frontends } of steps) {
          const old = records.get(slot);
          const record = frontends && recordOf(String(slot), ...frontends);
          const { before, after } = addresses.change(old ? [old] : [], record ? [record] : []);
          if (record) records.set(slot, record);
          else records.delete(slot);
          for (const line of [...shown(before), ...shown(after)]) {
            const [, key = '', flags = ''] = line.split(' ');
            if (flags === 'deleted') kernel.delete(key);
            else kernel.set(key, flags);
          }
          const all = [...records.values()].flatMap(({ definition }) => definition.frontends);
          for (const [address, key] of [
            ['10.96.0.1', '0a600001'],
            ['10.96.0.2', '0a600002'],
          ] as const) {
            const types = all.filter((f) => f.address === address).map(({ type }) => type);
            const flags =
              (types.includes('ClusterIP') ? CLUSTER_IP : 0) |
              (types.some((type) => type !== 'ClusterIP') ? VIP : 0);
            assert.equal(kernel.get(key), flags === 0 ? undefined : String(flags));
          }
        }
      }),
    );
  });
});
