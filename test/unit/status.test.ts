import assert from 'node:assert/strict';

import { Device } from '../../lib/device';
import type { Hook } from '../../lib/hooks';
import type { SocketLayer, Verification } from '../../lib/socket-layer';
import { readStatus, Status, type StatusData, type StatusOptions } from '../../lib/status';

const data: StatusData = {
  enabled: true,
  shadow: false,
  persistent: false,
  socketLB: {
    enabled: true,
    tracing: false,
    coverage: 'Full',
    cgroup: '/sys/fs/cgroup',
    lost: [],
    failure: undefined,
    others: [],
    exceptionsLost: [],
    verified: { ipv4: 'verified', ipv6: 'verified' },
  },
  devices: [
    { name: 'eth0', addresses: ['192.0.2.1', '2001:db8::1'], directRouting: true, attached: true, lost: [] },
    { name: 'lxc1', addresses: [], directRouting: false, attached: true, lost: [] },
  ],
  mode: 'SNAT',
  backendSelection: 'random',
  maglevTableSize: undefined,
  sessionAffinity: true,
  gracefulTermination: true,
  nat46x64: false,
  xdpAcceleration: 'Disabled',
  services: {
    clusterIP: true,
    nodePort: true,
    nodePortRange: [30000, 32767],
    loadBalancer: true,
    externalIPs: true,
    hostPort: true,
  },
};

const text = (...lines: string[]) => lines.join('\n');

describe('status', () => {
  it('reads as the field is used to', () => {
    assert.equal(
      new Status(data).format(),
      text(
        'KubeProxyReplacement Details:',
        '  Status:                 True',
        '  Socket LB:              Enabled',
        '  Socket LB Tracing:      Disabled',
        '  Socket LB Coverage:     Full',
        '  Devices:                eth0 192.0.2.1 2001:db8::1 (Direct Routing), lxc1',
        '  Mode:                   SNAT',
        '  Backend Selection:      Random',
        '  Session Affinity:       Enabled',
        '  Graceful Termination:   Enabled',
        '  NAT46/64 Support:       Disabled',
        '  XDP Acceleration:       Disabled',
        '  Services:',
        '  - ClusterIP:            Enabled',
        '  - NodePort:             Enabled (Range: 30000-32767)',
        '  - LoadBalancer:         Enabled',
        '  - externalIPs:          Enabled',
        '  - HostPort:             Enabled',
      ),
    );
  });

  it('says Disabled for all that is off', () => {
    const off = {
      clusterIP: false,
      nodePort: false,
      loadBalancer: false,
      externalIPs: false,
      hostPort: false,
    };
    const lines = new Status({
      ...data,
      enabled: false,
      socketLB: { ...data.socketLB, enabled: false },
      devices: [],
      sessionAffinity: false,
      gracefulTermination: false,
      services: { ...data.services, ...off },
    })
      .format()
      .split('\n');
    assert.equal(lines[1], '  Status:                 False');
    assert.equal(lines.filter((line) => line.endsWith('Disabled')).length, 11);
    assert.equal(
      lines.some((line) => /Enabled|Devices/.test(line)),
      false,
    );
  });

  it('says that it is in shadow mode, and only then', () => {
    assert.doesNotMatch(new Status(data).format(), /Shadow/);
    const lines = new Status({ ...data, enabled: false, shadow: true }).format().split('\n');
    assert.deepEqual(lines.slice(1, 3), [
      '  Status:                 False',
      '  Shadow Mode:            Enabled',
    ]);
  });

  it('is plain data for others', () => {
    const failed = { ...data.socketLB, failure: 'IPv4: connect() failed with EPERM' };
    const sized = { ...data, maglevTableSize: 16381, socketLB: failed };
    assert.deepEqual(JSON.parse(JSON.stringify(new Status(sized))), sized);
  });

  describe('says no more than was verified', () => {
    const link = (attached: boolean) =>
      ({ attached: () => attached, state: () => (attached ? 'attached' : 'detached') }) as Hook['link'];
    const device = (name: string, role: 'external' | 'pod', attached: boolean, directRouting = false) => {
      const addresses = [{ family: 4, text: '192.0.2.1' }] as const;
      const definition = { name, ifindex: 2, role, layer: 'ethernet', addresses, directRouting } as const;
      return new Device({ ...definition, paired: false }, [
        { program: 'bpf_lb_ingress', attachment: 'tcx', link: link(attached), pin: '' },
        { program: 'bpf_lb_egress', attachment: 'tcx', link: link(true), pin: '' },
      ]);
    };
    const sockets = (v4: Verification, v6: Verification, attached = true) =>
      ({
        cgroup: '/sys/fs/cgroup',
        verified: { 4: v4, 6: v6 },
        others: [],
        look: () => [
          { program: 'bpf_lb_connect4', where: '/sys/fs/cgroup', cause: attached ? undefined : 'replaced' },
        ],
      }) as unknown as SocketLayer;
    const options: StatusOptions = {
      nodePortRange: [30000, 32767],
      hostNamespaceOnly: false,
      policy: { algorithm: 'random', maglevTableSize: undefined },
    };

    it('of sockets', () => {
      for (const [layer, enabled] of [
        [sockets('verified', 'verified'), true],
        [sockets('verified', 'unavailable'), true],
        [sockets('verified', 'failed'), false],
        [sockets('failed', 'verified'), false],
        [sockets('verified', 'verified', false), false],
        [undefined, false],
      ] as const) {
        const { socketLB, services, enabled: any } = readStatus(layer, [], options).data;
        assert.equal(socketLB.enabled, enabled);
        assert.equal(services.clusterIP, enabled);
        assert.equal(any, enabled);
        assert.equal(services.externalIPs, enabled, 'sockets follow those that are the node’s own');
      }
    });

    it('of devices', () => {
      const on = readStatus(undefined, [device('eth0', 'external', true)], options).data;
      assert.equal(on.enabled, true);
      assert.equal(on.services.nodePort, true);
      assert.equal(on.services.externalIPs, true);
      assert.equal(on.services.clusterIP, false, 'these need sockets');
      const off = readStatus(undefined, [device('eth0', 'external', false)], options).data;
      assert.equal(off.enabled, false);
      assert.equal(off.services.nodePort, false);
      assert.equal(off.devices[0]?.attached, false);
    });

    it('of ClusterIPs: by sockets, or by packets of pods', () => {
      const { data: pods } = readStatus(undefined, [device('lxc1', 'pod', true)], options);
      assert.equal(pods.services.clusterIP, true);
      const { data: off } = readStatus(undefined, [device('lxc1', 'pod', false)], options);
      assert.equal(off.services.clusterIP, false);
    });

    it('of the options', () => {
      const policy = { algorithm: 'maglev', maglevTableSize: 16381 } as const;
      const lines = (given: Partial<StatusOptions>) =>
        readStatus(sockets('verified', 'verified'), [], { ...options, ...given }).format();
      assert.match(lines({ hostNamespaceOnly: true }), /Socket LB Coverage: +Hostns-only\n/);
      assert.match(lines({ policy }), /Backend Selection: +Maglev \(Table Size: 16381\)\n/);
      assert.match(lines({ policy: { ...policy, maglevTableSize: undefined } }), /Selection: +Maglev\n/);
      const least = { algorithm: 'least-connections', maglevTableSize: undefined } as const;
      assert.match(lines({ policy: least }), /Selection: +Least Connections\n/);
    });

    it('of direct routing', () => {
      const devices = [device('eth0', 'external', true), device('eth1', 'external', true, true)];
      assert.deepEqual(
        readStatus(undefined, devices, options).data.devices.map(({ directRouting }) => directRouting),
        [false, true],
      );
    });
  });
});
