import * as k8s from '@kubernetes/client-node';
import type { ClusterState, Kind } from 'bpf-lb/kubernetes';

/** Objects that a ClusterState is to know: those in the list at `path` that are selected. */
export interface Source {
  kind: Kind;
  path: string;
  labelSelector?: string;
  fieldSelector?: string;
}

/** How the API server is asked, until `signal`. A watch on which nothing comes for `idleLimit` ms is opened again. */
export interface Client {
  config: k8s.KubeConfig;
  idleLimit: number;
  signal: AbortSignal;
  onError: (kind: Kind, error: unknown) => void;
}

/** Milliseconds. */
const listLimit = 60_000;
const longestPause = 10_000;

/** Keeps `cluster` informed. Resolves after the first attempt, successful or not. */
export async function inform(cluster: ClusterState, source: Source, client: Client): Promise<void> {
  const { kind, path, ...selectors } = source;
  /* The server ends each watch after a time of its own, so that nodes that were started together part. */
  const query = `allowWatchBookmarks=true&timeoutSeconds=${Math.round(300 * (1 + Math.random()))}`;
  const watch = Object.assign(new k8s.Watch(client.config), { requestTimeoutMs: client.idleLimit });
  const list = () => listAll(client.config, path, selectors);
  const { labelSelector, fieldSelector } = selectors;
  const informer = new k8s.ListWatch(`${path}?${query}`, watch, list, false, labelSelector, fieldSelector);
  let listed = false;
  for (const [event, type] of [
    ['add', 'ADDED'],
    ['update', 'MODIFIED'],
    ['delete', 'DELETED'],
  ] as const)
    informer.on(event, (object) => listed && cluster.apply(type, object, kind));
  let attempt = 0;
  let began = 0;
  const start = async () => {
    began = performance.now();
    await informer.start().catch(retry);
    if (listed || !informer.latestResourceVersion()) return;
    listed = true;
    cluster.replace(kind, informer.list());
  };
  /* By itself it goes on after three things only: a watch that ended, one that was silent, and "410 Gone". */
  const retry = (error: unknown) => {
    if (client.signal.aborted) return;
    client.onError(kind, error);
    attempt = performance.now() - began > longestPause ? 0 : attempt + 1;
    /* With jitter, so that a server that comes back does not meet all its clients at once. */
    setTimeout(() => void start(), Math.min(longestPause, 100 * 2 ** attempt) * (0.5 + Math.random() / 2));
  };
  informer.on('error', retry);
  client.signal.addEventListener('abort', () => void informer.stop());
  await start();
}

/** Page by page. A page that has expired fails it, and the next attempt begins with the first one again. */
async function listAll(config: k8s.KubeConfig, path: string, selectors: Record<string, string>) {
  const items: k8s.KubernetesObject[] = [];
  const query = new URLSearchParams({ ...selectors, limit: '500' });
  for (;;) {
    const url = `${config.getCurrentCluster()?.server}${path}?${query.toString()}`;
    const request = new k8s.RequestContext(url, k8s.HttpMethod.GET);
    request.setSignal(AbortSignal.timeout(listLimit));
    await config.applySecurityAuthentication(request);
    const { httpStatusCode, body } = await new k8s.IsomorphicFetchHttpLibrary().send(request).toPromise();
    const text = await body.text();
    if (httpStatusCode !== 200) throw new Error(`${path}: status ${httpStatusCode}: ${text}`);
    const page = JSON.parse(text) as k8s.KubernetesListObject<k8s.KubernetesObject>;
    for (const item of page.items) items.push(item);
    const { continue: next } = page.metadata as { continue?: string };
    if (!next) return { ...page, items };
    query.set('continue', next);
  }
}
