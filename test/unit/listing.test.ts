import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import { defineService } from '../../lib/service-definition';
import { ServiceList } from '../../lib/service-list';
import { hiddenPrefix } from '../../lib/internal-service';
import { ServiceTable } from '../../lib/service-table';
import { formatTable } from '../../lib/table-format';
import { Transaction } from '../../lib/transaction';

function listOf(
  specs: readonly ServiceSpec[],
  answering: Partial<Record<'NodePort' | 'HostPort', Partial<Record<4 | 6, string[]>>>> = {},
): ServiceList {
  const table = new ServiceTable({ frontends: 100, backends: 100 }, new Set());
  for (const spec of specs) {
    const tx = new Transaction(table);
    tx.put(defineService(spec));
    tx.accept();
  }
  const notHere = () => Promise.reject(new Error('not here'));
  const owner = {
    record: (name: string) => table.records.get(name),
    updateService: notHere,
    deleteService: notHere,
    drains: { drain: notHere, undrain: notHere, connections: notHere },
    rebalancing: { rebalance: notHere },
  };
  return new ServiceList(table, owner, (type, family) => answering[type]?.[family] ?? []);
}

const nginx: ServiceSpec = {
  name: 'default/nginx:http',
  frontends: [
    { type: 'ClusterIP', address: '10.233.90.187', port: 80 },
    { type: 'NodePort', port: 32515 },
  ],
  backends: [
    { address: '192.168.201.4', port: 80 },
    { address: '192.168.201.5', port: 80 },
  ],
};

const text = (...lines: string[]) => lines.join('\n');

describe('service list', () => {
  it('shows a row for each frontend, a NodePort for each node address, and backends on lines of their own', () => {
    assert.equal(
      listOf([nginx], { NodePort: { 4: ['192.0.2.1', '198.51.100.1'] } }).format(),
      text(
        'ID   Frontend                 Service Type   Backend',
        '1    10.233.90.187:80/TCP     ClusterIP      1 => 192.168.201.4:80/TCP (active)',
        '                                             2 => 192.168.201.5:80/TCP (active)',
        '2    0.0.0.0:32515/TCP        NodePort       1 => 192.168.201.4:80/TCP (active)',
        '                                             2 => 192.168.201.5:80/TCP (active)',
        '2    192.0.2.1:32515/TCP      NodePort       1 => 192.168.201.4:80/TCP (active)',
        '                                             2 => 192.168.201.5:80/TCP (active)',
        '2    198.51.100.1:32515/TCP   NodePort       1 => 192.168.201.4:80/TCP (active)',
        '                                             2 => 192.168.201.5:80/TCP (active)',
      ),
    );
  });

  it('shows both families, each with its backends', () => {
    const spec: ServiceSpec = {
      name: 'dns',
      frontends: [
        { type: 'NodePort', port: 30053, protocol: 'UDP' },
        { type: 'ExternalIPs', address: '203.0.113.5', port: 53, protocol: 'UDP' },
        { type: 'LoadBalancer', address: '2001:db8:51::1', port: 53, protocol: 'UDP' },
        { type: 'HostPort', address: '127.0.0.1', port: 53, protocol: 'UDP' },
      ],
      backends: [
        { address: '10.0.0.1', port: 53 },
        { address: 'fd00::1', port: 53 },
      ],
    };
    assert.equal(
      listOf([spec], { NodePort: { 6: ['2001:db8::1'] } }).format(),
      text(
        'ID   Frontend                  Service Type   Backend',
        '1    0.0.0.0:30053/UDP         NodePort       1 => 10.0.0.1:53/UDP (active)',
        '2    [::]:30053/UDP            NodePort       1 => [fd00::1]:53/UDP (active)',
        '2    [2001:db8::1]:30053/UDP   NodePort       1 => [fd00::1]:53/UDP (active)',
        '3    203.0.113.5:53/UDP        ExternalIPs    1 => 10.0.0.1:53/UDP (active)',
        '4    [2001:db8:51::1]:53/UDP   LoadBalancer   1 => [fd00::1]:53/UDP (active)',
        '5    127.0.0.1:53/UDP          HostPort       1 => 10.0.0.1:53/UDP (active)',
      ),
    );
  });

  it('shows a HostPort for each address that answers it, which may not be those of NodePorts', () => {
    const spec: ServiceSpec = {
      name: 'dns',
      frontends: [{ type: 'HostPort', port: 53, protocol: 'UDP' }],
      backends: [{ address: '10.0.0.1', port: 53 }],
    };
    assert.equal(
      listOf([spec], {
        NodePort: { 4: ['192.0.2.1'] },
        HostPort: { 4: ['192.0.2.1', '192.0.2.2'] },
      }).format(),
      text(
        'ID   Frontend           Service Type   Backend',
        '1    0.0.0.0:53/UDP     HostPort       1 => 10.0.0.1:53/UDP (active)',
        '1    192.0.2.1:53/UDP   HostPort       1 => 10.0.0.1:53/UDP (active)',
        '1    192.0.2.2:53/UDP   HostPort       1 => 10.0.0.1:53/UDP (active)',
      ),
    );
  });

  it('shows every state, those that serve first', () => {
    const spec: ServiceSpec = {
      name: 'web',
      frontends: [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }],
      backends: [
        { address: '10.0.0.1', port: 80, state: 'maintenance' },
        { address: '10.0.0.2', port: 80, state: 'terminating' },
        { address: '10.0.0.3', port: 80 },
        { address: '10.0.0.4', port: 80, state: 'quarantined' },
      ],
    };
    assert.equal(
      listOf([spec]).format(),
      text(
        'ID   Frontend           Service Type   Backend',
        '1    10.96.0.1:80/TCP   ClusterIP      1 => 10.0.0.3:80/TCP (active)',
        '                                       2 => 10.0.0.1:80/TCP (maintenance)',
        '                                       3 => 10.0.0.2:80/TCP (terminating)',
        '                                       4 => 10.0.0.4:80/TCP (quarantined)',
      ),
    );
  });

  it('shows services without backends, and nothing but the heading when there is none', () => {
    const spec: ServiceSpec = { ...nginx, frontends: nginx.frontends.slice(0, 1), backends: [] };
    assert.equal(
      listOf([spec]).format(),
      text('ID   Frontend               Service Type   Backend', '1    10.233.90.187:80/TCP   ClusterIP'),
    );
    assert.equal(listOf([]).format(), 'ID   Frontend   Service Type   Backend');
  });

  it('leaves internal services out, everywhere', () => {
    const list = listOf([{ ...nginx, name: `${hiddenPrefix}canary` }]);
    assert.equal(list.format(), 'ID   Frontend   Service Type   Backend');
    assert.equal(list.size, 0);
    assert.deepEqual([...list], []);
    assert.equal(list.has(`${hiddenPrefix}canary`), false);
    assert.equal(list.get(`${hiddenPrefix}canary`), undefined);
  });

  it('is a list of live services', () => {
    const list = listOf([nginx]);
    assert.equal(list.size, 1);
    const [service] = list;
    assert.equal(service?.name, 'default/nginx:http');
    assert.equal(list.get('default/nginx:http')?.exists, true);
    assert.equal(list.get('other'), undefined);
    assert.deepEqual(service?.frontends, [
      { id: 1, type: 'ClusterIP', address: '10.233.90.187', port: 80, protocol: 'TCP' },
      { id: 2, type: 'NodePort', address: '0.0.0.0', port: 32515, protocol: 'TCP' },
    ]);
    assert.deepEqual(service?.backends.map(String), ['192.168.201.4:80', '192.168.201.5:80']);
    assert.deepEqual(defineService(service?.toSpec() as ServiceSpec), defineService(nginx));
  });

  it('tells of backends that topology leaves to other nodes', () => {
    const backends = [
      { address: '192.168.201.4', port: 80, clusterWide: false },
      { address: '192.168.201.5', port: 80 },
    ];
    const [service] = listOf([{ ...nginx, backends }]);
    assert.deepEqual(
      service?.backends.map(({ clusterWide }) => clusterWide),
      [false, true],
    );
    assert.deepEqual(
      service.toSpec()?.backends.map(({ clusterWide }) => clusterWide),
      [false, undefined],
    );
  });
});

describe('tables of text', () => {
  it('have columns as wide as their widest cell, and no blanks at the end of a line', () => {
    assert.equal(
      formatTable([
        ['A', 'Long heading', 'C'],
        ['long cell', '', ''],
        ['', 'x', 'last'],
      ]),
      text('A           Long heading   C', 'long cell', '            x              last'),
    );
    assert.equal(formatTable([]), '');
  });
});
