/*
 * A small kube-proxy: serves the cluster's Services on the node that it runs on, as root in the host's network.
 *
 *     NODE_NAME=node1 node --import tsx examples/informer/main.ts --device eth0 --device lxc+
 */
import { parseArgs } from 'node:util';

import * as k8s from '@kubernetes/client-node';
import { LoadBalancer } from 'bpf-lb';

import { keepWatching } from './informers';
import { ServiceSync } from './service-sync';
import { labelSelector, translate } from './translate';

async function main(): Promise<void> {
  const { device, cgroup } = parseArgs({
    options: { device: { type: 'string', multiple: true }, cgroup: { type: 'string' } },
  }).values;
  const nodeName = process.env.NODE_NAME;
  if (!nodeName)
    throw new Error('NODE_NAME is missing: set it to the name of the Node object of this machine.');
  const config = new k8s.KubeConfig();
  config.loadFromDefault();
  const core = config.makeApiClient(k8s.CoreV1Api);
  const discovery = config.makeApiClient(k8s.DiscoveryV1Api);
  const informer = <T extends k8s.KubernetesObject>(
    path: string,
    list: () => Promise<k8s.KubernetesListObject<T>>,
  ) =>
    new k8s.ListWatch<T>(
      `${path}?allowWatchBookmarks=true`,
      new k8s.Watch(config),
      list,
      false,
      labelSelector,
    );
  const services = informer<k8s.V1Service>('/api/v1/services', () =>
    core.listServiceForAllNamespaces({ labelSelector }),
  );
  const slices = informer<k8s.V1EndpointSlice>('/apis/discovery.k8s.io/v1/endpointslices', () =>
    discovery.listEndpointSliceForAllNamespaces({ labelSelector }),
  );

  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  const lb = await LoadBalancer.open({ devices: device ?? ['auto'], ...(cgroup ? { cgroup } : {}) });
  const specsOf = (key: string) => {
    const [namespace = '', name = ''] = key.split('/');
    const service = services.get(name, namespace);
    const own = slices.list(namespace).filter((slice) => serviceOf(slice) === key);
    return service ? translate(service, own, nodeName) : [];
  };
  const sync = new ServiceSync(lb, specsOf, reportError);
  const unsynced = new Set<object>([services, slices]);
  const watch = <T extends k8s.KubernetesObject>(watched: k8s.ListWatch<T>, keyOf: (object: T) => string) => {
    const onSynced = () => {
      if (unsynced.delete(watched) && unsynced.size === 0) sync.start();
    };
    const onChange = (object: T) => sync.mark(keyOf(object));
    return keepWatching(watched, { onChange, onSynced, onError: reportError }, stop.signal);
  };
  await Promise.all([watch(services, keyOf), watch(slices, serviceOf)]);
  await lb.close();
}

function keyOf({ metadata }: k8s.KubernetesObject): string {
  return `${metadata?.namespace}/${metadata?.name}`;
}

/** The Service that a slice belongs to. */
function serviceOf({ metadata }: k8s.V1EndpointSlice): string {
  return `${metadata?.namespace}/${metadata?.labels?.['kubernetes.io/service-name']}`;
}

function reportError(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    reportError(error);
    process.exit(1);
  },
);
