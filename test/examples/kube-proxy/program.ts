import assert from 'node:assert/strict';

import { eventually } from '../../support/eventually';
import type { Bed } from './bed';
import type { TestService } from './test-service';

/** What the example does beyond what Kubernetes' own tests ask for. */
export function program(bed: Bed): void {
  describe('the program', () => {
    const lists = async () => (await bed.api.requests()).filter((r) => r.startsWith('LIST')).length;
    const isServed = async (service: TestService, pods = bed.pods.slice(0, 1)) => {
      for (const from of bed.nodes) await bed.isServed(from, service.clusterIP(), pods);
    };

    describe('the API server', () => {
      let service: TestService;

      beforeEach(async () => {
        service = await bed.service();
        await service.serveFrom(bed.pods[0]);
        await isServed(service);
      });

      const changes = async () => {
        await service.serveFrom(bed.pods[2]);
        await isServed(service, [bed.pods[2]]);
      };

      it('resets connections: goes on', async () => {
        await bed.api.resetConnections();
        await changes();
      });

      it('closes watches: goes on from the last bookmark, without listing again', async () => {
        const before = await lists();
        await bed.api.put('nodes', { metadata: { name: 'of-no-interest' } });
        await bed.api.sendBookmarks();
        await bed.api.compact();
        await bed.api.closeWatches();
        await changes();
        assert.equal(await lists(), before);
      });

      it('falls silent in the middle of an event: opens the watch again, without listing again', async () => {
        const before = await lists();
        await bed.api.stallWatches();
        await changes();
        assert.equal(await lists(), before);
      });

      it('says in the middle of a watch that the past is gone: lists again', async () => {
        await bed.api.expireWatches();
        await changes();
      });

      for (const byStatus of [false, true]) {
        it(`says by ${byStatus ? 'its status' : 'an event'} that the past is gone: lists again, and drops what was deleted`, async () => {
          const other = await bed.service();
          await other.serveFrom(bed.pods[0]);
          await isServed(other);
          await bed.api.tellGoneByStatus(byStatus);
          await bed.api.stop();
          await service.serveFrom(bed.pods[2]);
          await bed.remove(other);
          await bed.api.compact();
          await bed.api.start();
          await isServed(service, [bed.pods[2]]);
          for (const from of bed.nodes) await bed.isUnserved(from, other.clusterIP());
        });
      }

      it('refuses for a while: goes on after that', async () => {
        for (const status of [401, 403, 429, 500]) await bed.api.failNext(status, 2);
        await bed.api.resetConnections();
        await changes();
      });
    });

    describe('services', () => {
      it('that cannot be served do not hinder others, and are served when they can be', async () => {
        const [pod1, , pod3] = bed.pods;
        const nodePort = bed.freeNodePort();
        const [first, second] = [
          await bed.service({ type: 'NodePort', ports: [{ port: 80, nodePort }] }),
          /* The API server itself would not give a NodePort twice. */
          await bed.service({ type: 'NodePort', ports: [{ port: 80, nodePort }] }),
        ];
        await first.serveFrom(pod1);
        await second.serveFrom(pod3);
        await isServed(first, [pod1]);
        await isServed(second, [pod3]);
        const clash = () =>
          bed.proxies[0]
            .logged('warning')
            .find(({ object }) => (object as { name: string }).name === second.name);
        await eventually(() => assert.ok(clash()));
        await bed.isServed(bed.cluster.client, first.nodePort(bed.nodes[0]), [pod1]);
        await first.put({ type: 'ClusterIP', ports: [{ port: 80 }] });
        await bed.isServed(bed.cluster.client, second.nodePort(bed.nodes[0]), [pod3]);
      });

      it('take the frontends of one that is deleted at the same time', async () => {
        const [pod1, , pod3] = bed.pods;
        const first = await bed.service();
        await first.serveFrom(pod1);
        await isServed(first);
        await bed.remove(first);
        const second = await bed.service({ clusterIPs: first.spec.clusterIPs });
        await second.serveFrom(pod3);
        await isServed(second, [pod3]);
      });
    });

    describe('a start', () => {
      it('changes nothing until Services and slices are known, page by page', async () => {
        const [proxy] = bed.proxies;
        const [, exec, pod3] = bed.pods;
        const service = await bed.service({ type: 'NodePort' });
        await service.serveFrom(bed.pods[0]);
        const outside = service.nodePort(bed.nodes[0]);
        await bed.isServed(bed.cluster.client, outside, [bed.pods[0]]);
        /* More than there are on a page. They are of no Service. */
        const crowd = Array.from({ length: 600 }, (_, i) => `crowd-${i}`);
        for (const name of crowd)
          await bed.api.put('endpointslices', {
            metadata: { name, namespace: 'default' },
            addressType: 'IPv4',
          });
        assert.equal(await proxy.stop(), 0);
        await service.serveFrom(pod3);

        const requests = async (text: string) => (await bed.api.requests()).filter((r) => r === text).length;
        const asksAgain = async (text: string, before: number) =>
          eventually(async () => assert.ok((await requests(text)) > before), 50_000);
        const [first, next] = ['LIST endpointslices', 'LIST endpointslices continue'] as const;
        const before = { first: await requests(first), next: await requests(next) };
        await bed.api.holdLists('endpointslices');
        proxy.start();
        await asksAgain(first, before.first);
        await bed.isServed(bed.cluster.client, outside, [bed.pods[0]]);
        await bed.api.releaseLists('endpointslices', true);
        await asksAgain(next, before.next);
        await bed.isServed(exec, service.clusterIP(), [bed.pods[0]]);
        assert.deepEqual(proxy.logged('synced'), []);
        /* The second page has expired: it begins with the first one again. */
        await bed.api.compact();
        await bed.api.releaseLists('endpointslices');
        await bed.isServed(bed.cluster.client, outside, [pod3]);
        await bed.isServed(exec, service.clusterIP(), [pod3]);
        assert.ok((await requests(first)) >= before.first + 2);
        assert.ok((await requests(next)) >= before.next + 2);
        for (const name of crowd) await bed.api.remove('endpointslices', name);
      });

      it('with a configuration that cannot be, or an unknown option, is refused with the reason', async () => {
        const mistakes = [
          { options: ['--open', '{"noBackend":"shrug"}'], reason: /noBackend/ },
          { options: ['--shrug'], reason: /--shrug/ },
        ];
        await Promise.all(
          bed.proxies.map(async (proxy, i) => {
            const { options = [], reason = /./ } = mistakes[i] ?? {};
            await proxy.stop();
            proxy.start(...options);
            assert.equal(await proxy.ended(), 1);
            assert.match(JSON.stringify(proxy.logged('failed')), reason);
          }),
        );
        await bed.startProxies();
      });
    });

    describe('servers', () => {
      it('/healthz is about the node, too, and /livez is not', async () => {
        const [{ name }] = bed.nodes;
        const [proxy] = bed.proxies;
        const status = (path: string) => proxy.get(`127.0.0.1:10256/${path}`).status;
        assert.deepEqual([status('healthz'), status('livez')], [200, 200]);
        const taints = [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }];
        await bed.api.put('nodes', { metadata: { name }, spec: { taints } });
        await eventually(() => assert.equal(status('healthz'), 503));
        assert.equal(status('livez'), 200);
        await bed.setZones('zone-a', 'zone-b');
        await eventually(() => assert.equal(status('healthz'), 200));
      });

      it('metrics have the names of kube-proxy, and our own', async () => {
        const service = await bed.service();
        await service.serveFrom(bed.pods[0]);
        await isServed(service);
        const { status, body } = bed.proxies[0].get('127.0.0.1:10249/metrics');
        assert.equal(status, 200);
        for (const name of [
          'kubeproxy_sync_proxy_rules_endpoint_changes_total',
          'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
        ]) {
          const [, value] = new RegExp(`^${name} (.*)$`, 'm').exec(body) ?? [];
          assert.ok(Number(value) > 0, `${name} ${value}`);
        }
        assert.match(body, /^bpf_lb_/m);
      });

      it('what is logged is JSON, line by line', () => {
        for (const { output } of bed.proxies) {
          const lines = output.split('\n').filter((line) => line !== '');
          assert.ok(lines.length > 0);
          for (const line of lines) {
            const { time, level, event } = JSON.parse(line) as Record<string, string>;
            assert.ok(!Number.isNaN(Date.parse(time ?? '')), line);
            assert.match(level ?? '', /^(info|warn|error)$/);
            assert.ok(event, line);
          }
        }
      });
    });
  });
}
