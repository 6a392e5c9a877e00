import assert from 'node:assert/strict';
import { release } from 'node:os';

import { skip } from '../support/skip';
import { Harness, verdicts } from './harness';
import { build, parse } from './packets';

const [major = 0, minor = 0] = release().split('.').map(Number);

/** Where a backend is, by which route, and which of the node's addresses that route would use. */
const routes = [
  { to: '10.244.2.0/24', backend: '10.244.2.2', route: [], source: '10.0.9.1' },
  { to: '10.244.3.0/24', backend: '10.244.3.2', route: ['via', '10.0.8.2'], source: '10.0.8.1' },
  {
    to: '10.244.4.0/24',
    backend: '10.244.4.2',
    route: ['via', '10.0.9.2', 'src', '10.0.7.1'],
    source: '10.0.7.1',
  },
  { to: '10.244.5.0/24', backend: '10.244.5.2', route: ['via', '203.0.113.9'], source: '203.0.113.1' },
  { to: 'fd00:2::/64', backend: 'fd00:2::2', route: [], source: 'fd00:9::1' },
  {
    to: 'fd00:4::/64',
    backend: 'fd00:4::2',
    route: ['via', 'fd00:9::2', 'src', 'fd00:f007::1'],
    source: 'fd00:f007::1',
  },
  { to: 'fd00:5::/64', backend: 'fd00:5::2', route: ['via', '2001:db8:1::9'], source: '2001:db8:1::1' },
];

describe('program: source NAT from the address that the route to the backend would use', function () {
  let harness: Harness;

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'needs root');
    if (major * 100 + minor < 607) skip(this, 'the kernel tells that address from Linux 6.7 on');
    harness = await Harness.open();
    for (const address of ['10.0.8.1/24', '10.0.7.1/24']) harness.ip('addr', 'add', address, 'dev', 'eth1');
    harness.ip('addr', 'add', 'fd00:f007::1/64', 'dev', 'eth1', 'nodad');
    for (const { to, route } of routes) if (route.length > 0) harness.ip('route', 'add', to, ...route);
  });

  after(() => harness?.close());

  routes.forEach(({ backend, source, route }, i) => {
    it(`to ${backend}, ${route.join(' ') || 'by the route that was there'}: from ${source}`, async () => {
      const port = 30000 + i;
      await harness.call('put', {
        name: `service ${i}`,
        frontends: [{ type: 'NodePort', port }],
        backends: [{ address: backend, port: 8080 }],
      });
      const [client, node] = backend.includes(':')
        ? ['2001:db8:1::2', '2001:db8:1::1']
        : ['203.0.113.2', '203.0.113.1'];
      const request = {
        source: client,
        sourcePort: 40000,
        destination: node,
        destinationPort: port,
      } as const;
      const { retval, frame } = await harness.run(
        'bpf_lb_ingress',
        'eth0',
        build({ ...request, protocol: 'TCP' }),
      );
      assert.equal(retval, verdicts.redirect);
      const sent = parse(frame);
      assert.deepEqual([sent.source, sent.destination, sent.valid], [source, backend, true]);
    });
  });
});
