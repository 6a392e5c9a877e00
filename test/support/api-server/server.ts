import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { parseSelector } from './selector';
import { type Change, type KubeObject, type Resource, resources, Store } from './store';

/** A watch that is open. */
interface Watcher {
  readonly resource: Resource;
  readonly bookmarks: boolean;
  readonly selects: (object: KubeObject | undefined) => boolean;
  readonly response: http.ServerResponse;
}

/**
 * The part of the Kubernetes API that watches Services, EndpointSlices and Nodes, and its faults on demand. Over HTTP,
 * JSON only. Writes come from the test, not over HTTP.
 */
export class ApiServer {
  readonly #store = new Store();
  readonly #watchers = new Set<Watcher>();
  readonly #failures: number[] = [];
  readonly #held = new Map<string, (() => void)[]>();
  #server: http.Server | undefined;
  #port = 0;
  #host = '';
  /** What was asked for: `LIST services`, `WATCH services 12`. */
  readonly requests: string[] = [];

  /** Listens; again on the same port after a {@link stop}. */
  async start(host = this.#host): Promise<string> {
    this.#host = host;
    this.#server = http.createServer((request, response) => this.#answer(request, response));
    this.#server.listen(this.#port, host);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    return this.url;
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}`;
  }

  /** Ends at once, as a process does that is killed. Objects stay. */
  async stop(): Promise<void> {
    if (!this.#server) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.resetConnections();
    await closed;
    this.#server = undefined;
  }

  /** Creates or replaces. */
  put(resource: string, object: KubeObject): void {
    this.#tell(this.#store.put(find(resource), object));
  }

  remove(resource: string, name: string, namespace = 'default'): void {
    this.#tell(this.#store.remove(find(resource), { name, namespace }));
  }

  /** The next requests fail with this status. */
  failNext(status: number, times = 1): void {
    for (let i = 0; i < times; i++) this.#failures.push(status);
  }

  /** Lists of the resource are not answered until they are released. */
  holdLists(resource: string): void {
    this.#held.set(resource, []);
  }

  releaseLists(resource: string): void {
    const held = this.#held.get(resource) ?? [];
    this.#held.delete(resource);
    for (const answer of held) answer();
  }

  /** Ends all watches in good order, as the server does every half hour or so. */
  closeWatches(): void {
    for (const watcher of this.#watchers) this.#end(watcher);
  }

  /** Breaks all connections, watches among them, in the middle of a line. */
  resetConnections(): void {
    for (const watcher of this.#watchers) {
      this.#watchers.delete(watcher);
      watcher.response.write('{"type":"MODIFI');
    }
    this.#server?.closeAllConnections();
  }

  /** Forgets the past, and ends the watches by saying so. */
  expireWatches(): void {
    this.#store.compact();
    for (const watcher of this.#watchers) {
      send(watcher.response, 'ERROR', status(410, 'Expired', 'too old resource version'));
      this.#end(watcher);
    }
  }

  /** Forgets the past, so that a watch that is opened from before is told that it is gone. */
  compact(): void {
    this.#store.compact();
  }

  sendBookmarks(): void {
    for (const { bookmarks, response, resource } of this.#watchers) {
      if (!bookmarks) continue;
      const { kind, apiVersion } = resource;
      send(response, 'BOOKMARK', {
        kind,
        apiVersion,
        metadata: { resourceVersion: String(this.#store.revision) },
      });
    }
  }

  #end(watcher: Watcher): void {
    /* First out of the set: nothing may be written after the end. */
    this.#watchers.delete(watcher);
    watcher.response.end();
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://server');
    const failure = this.#failures.shift();
    if (failure) return reply(response, failure, 'InternalError', 'asked to fail');
    const target = route(url.pathname);
    if (!target || request.method !== 'GET')
      return reply(response, 404, 'NotFound', 'the server could not find it');
    const { resource, namespace, name } = target;
    if (name !== undefined) return this.#get(response, resource, namespace, name);
    let selects: (object: KubeObject | undefined) => boolean;
    try {
      selects = selection(url.searchParams, namespace);
    } catch (error) {
      return reply(response, 400, 'BadRequest', (error as Error).message);
    }
    if (['true', '1'].includes(url.searchParams.get('watch') ?? '')) {
      const bookmarks = url.searchParams.get('allowWatchBookmarks') === 'true';
      return this.#watch(
        { resource, bookmarks, selects, response },
        url.searchParams.get('resourceVersion') ?? '',
      );
    }
    this.requests.push(`LIST ${resource.name}`);
    const list = () => this.#list(response, resource, selects);
    const held = this.#held.get(resource.name);
    if (held) held.push(list);
    else list();
  }

  #list(
    response: http.ServerResponse,
    resource: Resource,
    selects: (object: KubeObject | undefined) => boolean,
  ): void {
    const { kind, apiVersion } = resource;
    json(response, 200, {
      kind: `${kind}List`,
      apiVersion,
      metadata: { resourceVersion: String(this.#store.revision) },
      items: this.#store.list(resource).filter(selects),
    });
  }

  #get(response: http.ServerResponse, resource: Resource, namespace: string | undefined, name: string): void {
    const object = this.#store
      .list(resource)
      .find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
    if (!object) return reply(response, 404, 'NotFound', `${resource.name} "${name}" not found`);
    json(response, 200, typed(resource, object));
  }

  #watch(watcher: Watcher, from: string): void {
    const { resource, response, selects } = watcher;
    this.requests.push(`WATCH ${resource.name} ${from}`);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const revision = Number(from);
    if (revision === 0) {
      for (const object of this.#store.list(resource).filter(selects)) {
        send(response, 'ADDED', typed(resource, object));
      }
    } else if (revision < this.#store.compacted) {
      send(response, 'ERROR', status(410, 'Expired', `too old resource version: ${from}`));
      response.end();
      return;
    } else {
      for (const change of this.#store.changesAfter(revision)) deliver(watcher, change);
    }
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #tell(change: Change): void {
    for (const watcher of this.#watchers) deliver(watcher, change);
  }
}

/** An object that leaves or enters a selection looks deleted or added to whoever watches the selection. */
function deliver({ resource, selects, response }: Watcher, change: Change): void {
  if (change.resource !== resource) return;
  const [was, is] = [selects(change.before), selects(change.after)];
  if (is) send(response, was ? 'MODIFIED' : 'ADDED', typed(resource, change.after as KubeObject));
  else if (was) {
    const last = change.before as KubeObject;
    const resourceVersion = String(change.revision);
    send(response, 'DELETED', typed(resource, { ...last, metadata: { ...last.metadata, resourceVersion } }));
  }
}

/** In two pieces, as a network may deliver it. */
function send(response: http.ServerResponse, type: string, object: object): void {
  const line = `${JSON.stringify({ type, object })}\n`;
  response.write(line.slice(0, line.length / 2));
  response.write(line.slice(line.length / 2));
}

function find(name: string): Resource {
  const resource = resources.find((r) => r.name === name);
  if (!resource) throw new Error(`There is no resource ${name}`);
  return resource;
}

function route(path: string): { resource: Resource; namespace?: string; name?: string } | undefined {
  for (const resource of resources) {
    const group = resource.apiVersion === 'v1' ? '/api/v1' : `/apis/${resource.apiVersion}`;
    if (!path.startsWith(`${group}/`)) continue;
    const match = new RegExp(`^(?:namespaces/([^/]+)/)?${resource.name}(?:/([^/]+))?$`).exec(
      path.slice(group.length + 1),
    );
    if (!match) continue;
    const [, namespace, name] = match;
    return { resource, ...(namespace ? { namespace } : {}), ...(name ? { name } : {}) };
  }
  return undefined;
}

function selection(
  query: URLSearchParams,
  namespace: string | undefined,
): (object: KubeObject | undefined) => boolean {
  const labels = parseSelector(query.get('labelSelector') ?? '');
  const fields = /^(?:metadata\.name==?([^,]+))?$/.exec(query.get('fieldSelector') ?? '');
  if (!fields) throw new Error('field label not supported');
  const [, name] = fields;
  return (object) =>
    object !== undefined &&
    labels(object.metadata.labels ?? {}) &&
    (name === undefined || object.metadata.name === name) &&
    (namespace === undefined || object.metadata.namespace === namespace);
}

/** Objects have their type when they come alone, not in a list. */
function typed({ kind, apiVersion }: Resource, object: KubeObject): object {
  return { kind, apiVersion, ...object };
}

function status(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function reply(response: http.ServerResponse, code: number, reason: string, message: string): void {
  json(response, code, status(code, reason, message));
}

function json(response: http.ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
