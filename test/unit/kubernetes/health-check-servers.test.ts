import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';

import {
  ClusterState,
  ClusterSync,
  type HealthCheckFailure,
  HealthCheckServers,
  type ServiceObject,
} from '../../../lib/kubernetes';
import { endpoint, local, service, slice, terminating, thisNode, unready } from './fixtures';
import { ask, askSlowly, freePort, freePorts, occupy } from './http';
import { MemoryLoadBalancer } from './memory-load-balancer';

const loopback = () => ['127.0.0.1'];
const healthy = { healthy: true };

describe('health check servers', () => {
  for (const { count, isHealthy, status } of [
    { count: 18, isHealthy: true, status: 200 },
    { count: 18, isHealthy: false, status: 503 },
    { count: 0, isHealthy: true, status: 503 },
    { count: 0, isHealthy: false, status: 503 },
  ]) {
    it(`say ${status} of ${count} endpoints and a ${isHealthy ? 'healthy' : 'late'} datapath`, async () => {
      await using servers = new HealthCheckServers({ health: { healthy: isHealthy }, addresses: loopback });
      const check = { namespace: 'mynamespace', name: 'myservice', port: 0, localEndpoints: count };
      await servers.syncServices([check]);
      servers.syncEndpoints([check]);
      const [address] = servers.addresses;
      const response = await ask(address, '/');
      assert.equal(response.status, status);
      assert.equal(response.headers['content-type'], 'application/json');
      assert.equal(response.headers['x-content-type-options'], 'nosniff');
      assert.equal(response.headers['x-load-balancing-endpoint-weight'], `${count}`);
      assert.equal(
        response.body,
        [
          '{',
          '\t"service": {',
          '\t\t"namespace": "mynamespace",',
          '\t\t"name": "myservice"',
          '\t},',
          `\t"localEndpoints": ${count},`,
          `\t"serviceProxyHealthy": ${isHealthy}`,
          '}',
        ].join('\n'),
      );
    });
  }

  it('answer any path and any method', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const check = { namespace: 'ns', name: 'web', port: 0, localEndpoints: 1 };
    await servers.syncServices([check]);
    servers.syncEndpoints([check]);
    const [address] = servers.addresses;
    for (const path of ['/', '/healthz', '/a/b?c=d', '//'])
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'])
        assert.equal((await ask(address, path, method)).status, 200, `${method} ${path}`);
    const head = await ask(address, '/', 'HEAD');
    assert.deepEqual([head.status, head.body], [200, '']);
  });

  it('begin with no endpoints, and count those that are told last', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const [a, b] = [
      { namespace: 'ns', name: 'a', port: 0 },
      { namespace: 'ns', name: 'b', port: 0 },
    ] as const;
    await servers.syncServices([a, b]);
    const [ofA, ofB] = servers.addresses;
    const weights = async () => {
      const answers = [await ask(ofA, '/'), await ask(ofB, '/')];
      return answers.map(({ headers }) => headers['x-load-balancing-endpoint-weight']);
    };
    assert.deepEqual(await weights(), ['0', '0']);
    servers.syncEndpoints([
      { ...a, localEndpoints: 2 },
      { ...b, localEndpoints: 3 },
      { namespace: 'ns', name: 'unknown', localEndpoints: 4 },
    ]);
    assert.deepEqual(await weights(), ['2', '3']);
    servers.syncEndpoints([
      { ...b, localEndpoints: 1 },
      { namespace: 'ns', name: 'unknown', localEndpoints: 4 },
    ]);
    assert.deepEqual(await weights(), ['0', '1']);
    /* What was said of it while it was unknown does not count. */
    await servers.syncServices([a, b, { namespace: 'ns', name: 'unknown', port: 0 }]);
    assert.equal((await ask(servers.addresses[2], '/')).status, 503);
  });

  it('close with their Service, and cut who is connected', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    await servers.syncServices([{ namespace: 'ns', name: 'web', port: 0 }]);
    const [address] = servers.addresses;
    const agent = new Agent({ keepAlive: true });
    await ask(address, '/', 'GET', agent);
    const slow = await askSlowly(address);
    await servers.syncServices([]);
    await slow.closed;
    assert.deepEqual(servers.addresses, []);
    await assert.rejects(ask(address, '/'), { code: 'ECONNREFUSED' });
    agent.destroy();
  });

  it('close and open again when the port is another, with no endpoints until they are told', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const [before, after] = await freePorts('127.0.0.1');
    const check = { namespace: 'ns', name: 'web', localEndpoints: 2 };
    await servers.syncServices([{ ...check, port: before }]);
    servers.syncEndpoints([check]);
    assert.equal((await ask(`127.0.0.1:${before}`, '/')).status, 200);
    await servers.syncServices([{ ...check, port: after }]);
    await assert.rejects(ask(`127.0.0.1:${before}`, '/'), { code: 'ECONNREFUSED' });
    assert.equal((await ask(`127.0.0.1:${after}`, '/')).status, 503);
    servers.syncEndpoints([check]);
    assert.equal((await ask(`127.0.0.1:${after}`, '/')).status, 200);
  });

  it('stay open over syncs that change nothing', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const check = { namespace: 'ns', name: 'web', port: 0, localEndpoints: 1 };
    await servers.syncServices([check]);
    servers.syncEndpoints([check]);
    const { addresses } = servers;
    await servers.syncServices([check]);
    assert.deepEqual(servers.addresses, addresses);
    assert.equal((await ask(addresses[0], '/')).status, 200);
  });

  it('a port may pass from one Service to another in one sync', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const failures: HealthCheckFailure[] = [];
    servers.on('failed', (failure) => failures.push(failure));
    const port = await freePort('127.0.0.1');
    await servers.syncServices([{ namespace: 'ns', name: 'b', port }]);
    await servers.syncServices([{ namespace: 'ns', name: 'a', port }]);
    const { body } = await ask(`127.0.0.1:${port}`, '/');
    assert.equal((JSON.parse(body) as { service: { name: string } }).service.name, 'a');
    assert.deepEqual(failures, []);
  });

  it('one that cannot listen is told once, others go on, and it is tried at each sync', async () => {
    await using servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const failures: HealthCheckFailure[] = [];
    servers.on('failed', (failure) => failures.push(failure));
    const { port, release } = await occupy('127.0.0.1');
    const checks = [
      { namespace: 'ns', name: 'taken', port },
      { namespace: 'ns', name: 'free', port: 0 },
    ];
    const told = once(servers, 'failed');
    await servers.syncServices(checks);
    await told;
    assert.equal(servers.addresses.length, 1);
    const [{ object, reason, message, error }] = failures as [HealthCheckFailure];
    assert.deepEqual(object, { kind: 'Service', namespace: 'ns', name: 'taken' });
    assert.equal(reason, 'FailedToStartServiceHealthcheck');
    assert.match(message, /ns\/taken.*EADDRINUSE/);
    assert.equal((error as NodeJS.ErrnoException).code, 'EADDRINUSE');
    await servers.syncServices(checks);
    await release();
    await servers.syncServices(checks);
    assert.equal(servers.addresses.length, 2);
    assert.equal(failures.length, 1);
  });

  it('listen on the addresses of the node that are given, as they are at each sync', async () => {
    let addresses = ['127.0.0.1', '::1'];
    await using servers = new HealthCheckServers({ health: healthy, addresses: () => addresses });
    const port = await freePort();
    const check = { namespace: 'ns', name: 'web', port };
    await servers.syncServices([check]);
    assert.deepEqual(servers.addresses, [`127.0.0.1:${port}`, `[::1]:${port}`]);
    assert.equal((await ask(`[::1]:${port}`, '/')).status, 503);
    await assert.rejects(ask(`127.0.0.2:${port}`, '/'), { code: 'ECONNREFUSED' });
    addresses = ['::1', '127.0.0.2'];
    await servers.syncServices([check]);
    assert.deepEqual(servers.addresses, [`[::1]:${port}`, `127.0.0.2:${port}`]);
    await assert.rejects(ask(`127.0.0.1:${port}`, '/'), { code: 'ECONNREFUSED' });
  });

  it('listen on all addresses of both families by default', async () => {
    await using servers = new HealthCheckServers({ health: healthy });
    const port = await freePort();
    await servers.syncServices([{ namespace: 'ns', name: 'web', port }]);
    for (const host of ['127.0.0.1', '127.0.0.9', '[::1]'])
      assert.equal((await ask(`${host}:${port}`, '/')).status, 503, host);
  });

  it('answer nothing any more when they are closed, whatever they are told', async () => {
    const servers = new HealthCheckServers({ health: healthy, addresses: loopback });
    const checks = [{ namespace: 'ns', name: 'web', port: await freePort('127.0.0.1') }];
    const opening = servers.syncServices(checks);
    await servers.close();
    await opening;
    await servers.syncServices(checks);
    assert.deepEqual(servers.addresses, []);
    await servers.close();
  });

  describe('that follow a sync', () => {
    const loadBalancer = (port: number, others: ServiceObject['spec'] = {}) =>
      service({
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: port,
        ports: [{ name: 'http', port: 80, nodePort: 30080 }],
        ...others,
      });

    async function follow(object: ServiceObject) {
      const cluster = new ClusterState({ nodeName: thisNode });
      const sync = new ClusterSync(cluster, new MemoryLoadBalancer(), { minSyncPeriod: 0 });
      const servers = HealthCheckServers.follow(sync, cluster, { addresses: loopback });
      const change = async (make: () => void) => {
        const synced = once(sync, 'synced');
        make();
        await synced;
        /* Waits for what the sync has set off. */
        await servers.syncServices(cluster.healthChecks);
      };
      sync.start();
      await change(() => {
        cluster.replace('Service', [object]);
        cluster.replace('EndpointSlice', []);
      });
      return {
        cluster,
        sync,
        servers,
        change,
        async [Symbol.asyncDispose]() {
          await servers.close();
          await sync.stop();
        },
      };
    }

    it('count ready endpoints of this node, and no terminating ones', async () => {
      const port = await freePort('127.0.0.1');
      await using test = await follow(loadBalancer(port));
      const { cluster, change } = test;
      const ask1 = async () => {
        const { status, headers } = await ask(`127.0.0.1:${port}`, '/');
        return [status, headers['x-load-balancing-endpoint-weight']];
      };
      assert.deepEqual(await ask1(), [503, '0']);
      await change(() =>
        cluster.apply(
          'ADDED',
          slice([
            local('10.244.0.1'),
            local('10.244.0.2'),
            endpoint('10.244.1.1'),
            local('10.244.0.3', unready),
          ]),
        ),
      );
      assert.deepEqual(await ask1(), [200, '2']);
      await change(() =>
        cluster.apply('MODIFIED', slice([local('10.244.0.1', terminating), endpoint('10.244.1.1')])),
      );
      assert.deepEqual(await ask1(), [503, '0']);
    });

    it('come and go with the policy, and follow the port', async () => {
      const [port, other] = await freePorts('127.0.0.1');
      await using test = await follow(loadBalancer(port));
      const { cluster, change, servers } = test;
      assert.deepEqual(servers.addresses, [`127.0.0.1:${port}`]);
      await change(() => cluster.apply('MODIFIED', loadBalancer(other)));
      assert.deepEqual(servers.addresses, [`127.0.0.1:${other}`]);
      await change(() =>
        cluster.apply('MODIFIED', loadBalancer(other, { externalTrafficPolicy: 'Cluster' })),
      );
      assert.deepEqual(servers.addresses, []);
      await change(() => cluster.apply('MODIFIED', loadBalancer(port)));
      assert.deepEqual(servers.addresses, [`127.0.0.1:${port}`]);
      await change(() => cluster.apply('DELETED', loadBalancer(port)));
      assert.deepEqual(servers.addresses, []);
    });

    it('follow no longer once they are closed', async () => {
      const port = await freePort('127.0.0.1');
      await using test = await follow(loadBalancer(port));
      await test.servers.close();
      assert.equal(test.sync.listenerCount('synced'), 0);
      await assert.rejects(ask(`127.0.0.1:${port}`, '/'), { code: 'ECONNREFUSED' });
    });
  });
});
