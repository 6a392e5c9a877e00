import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { type AddressInfo, isIPv6 } from 'node:net';
import type { TLSSocket } from 'node:tls';

import type { Certificates } from './certificates';
import { Pages } from './pages';
import { findResource, parsePath, parseSelection, type Target } from './query';
import { ApiError, json, refuse, status } from './responses';
import { type Change, type KubeObject, Store } from './store';
import { typed, Watcher } from './watcher';

/** Who may ask. */
export interface Access {
  /** HTTPS with these; whoever has a certificate of the authority may ask. */
  certificates?: Certificates;
  /** Bearers may ask. Without certificates and token, everyone may. */
  token?: string;
}

/**
 * The part of the Kubernetes API that lists and watches Services, EndpointSlices, Nodes and Pods, and its faults on
 * demand. JSON only. Writes come from the test, not over HTTP.
 */
export class ApiServer {
  readonly #access: Access;
  readonly #store = new Store();
  readonly #pages = new Pages();
  readonly #watchers = new Set<Watcher>();
  readonly #failures: number[] = [];
  readonly #held = new Map<string, (() => void)[]>();
  #goneByStatus = false;
  #server: http.Server | https.Server | undefined;
  #port = 0;
  #host = '';
  /** What was asked for: `LIST services`, `LIST services continue`, `WATCH services 12`. */
  readonly requests: string[] = [];

  constructor(access: Access = {}) {
    this.#access = access;
  }

  /** Listens; again on the same port after a {@link stop}. */
  async start(host = this.#host): Promise<string> {
    this.#host = host;
    const { certificates } = this.#access;
    const answer = (request: http.IncomingMessage, response: http.ServerResponse) =>
      this.#answer(request, response);
    this.#server = certificates
      ? https.createServer(
          { ...certificates.server, ca: certificates.ca, requestCert: true, rejectUnauthorized: false },
          answer,
        )
      : http.createServer(answer);
    this.#server.listen(this.#port, host);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    return this.url;
  }

  get url(): string {
    const host = isIPv6(this.#host) ? `[${this.#host}]` : this.#host;
    return `${this.#access.certificates ? 'https' : 'http'}://${host}:${this.#port}`;
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
    this.#tell(this.#store.put(findResource(resource), object));
  }

  remove(resource: string, name: string, namespace = 'default'): void {
    this.#tell(this.#store.remove(findResource(resource), { name, namespace }));
  }

  /** The next requests fail with this status. */
  failNext(code: number, times = 1): void {
    for (let i = 0; i < times; i++) this.#failures.push(code);
  }

  /** Lists of the resource are not answered until they are released. */
  holdLists(resource: string): void {
    this.#held.set(resource, []);
  }

  /** Answers them; those that are asked for from now on are held again if `hold` says so. */
  releaseLists(resource: string, hold = false): void {
    const held = this.#held.get(resource) ?? [];
    if (hold) this.#held.set(resource, []);
    else this.#held.delete(resource);
    for (const answer of held) answer();
  }

  /** Ends all watches in good order, as the server does every half hour or so. */
  closeWatches(): void {
    for (const watcher of this.#watchers) this.#end(watcher);
  }

  /** Breaks all connections, watches among them, in the middle of a line. */
  resetConnections(): void {
    this.stallWatches();
    this.#server?.closeAllConnections();
  }

  /** Watches that are open stay so, but nothing more comes: they end in the middle of a line. */
  stallWatches(): void {
    for (const watcher of this.#watchers) watcher.sendHalf();
    this.#watchers.clear();
  }

  /** Forgets the past, and ends the watches by saying so. */
  expireWatches(): void {
    this.compact();
    for (const watcher of this.#watchers) {
      watcher.send('ERROR', status(410, 'Expired', 'too old resource version'));
      this.#end(watcher);
    }
  }

  /**
   * Forgets the past: a watch that is opened from before is told that it is gone, as is who asks for the next page of a
   * list from before.
   */
  compact(): void {
    this.#store.compact();
    this.#pages.expire();
  }

  /** Whether a watch from before the compaction is told so by the status of the response; else by an event. */
  tellGoneByStatus(byStatus: boolean): void {
    this.#goneByStatus = byStatus;
  }

  sendBookmarks(): void {
    for (const watcher of this.#watchers) watcher.bookmark(this.#store.revision);
  }

  #end(watcher: Watcher): void {
    /* First out of the set: nothing may be written after the end. One that has stalled is not in it. */
    if (this.#watchers.delete(watcher)) watcher.end();
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    try {
      this.#serve(request, response);
    } catch (error) {
      refuse(response, error);
    }
  }

  #serve(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (!this.#admits(request)) throw new ApiError(401, 'Unauthorized', 'Unauthorized');
    const failure = this.#failures.shift();
    if (failure) throw new ApiError(failure, 'InternalError', 'asked to fail');
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://server');
    const target = parsePath(pathname);
    if (!target || request.method !== 'GET')
      throw new ApiError(404, 'NotFound', 'the server could not find it');
    if (target.name !== undefined) return json(response, 200, this.#get(target));
    if (isSet(query, 'watch')) return this.#watch(target, query, response);
    this.#list(target, query, response);
  }

  #admits({ socket, headers }: http.IncomingMessage): boolean {
    const { token, certificates } = this.#access;
    if (token === undefined && certificates === undefined) return true;
    const hasCertificate = certificates !== undefined && (socket as TLSSocket).authorized;
    return hasCertificate || (token !== undefined && headers.authorization === `Bearer ${token}`);
  }

  #get({ resource, namespace, name }: Target): object {
    const object = this.#store
      .list(resource)
      .find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
    if (!object) throw new ApiError(404, 'NotFound', `${resource.name} "${name}" not found`);
    return typed(resource, object);
  }

  #list({ resource, namespace }: Target, query: URLSearchParams, response: http.ServerResponse): void {
    const selects = parseSelection(query, namespace);
    const limit = Number(query.get('limit') ?? 0);
    const token = query.get('continue');
    this.requests.push(`LIST ${resource.name}${token ? ' continue' : ''}`);
    const list = () => {
      try {
        const page = token
          ? this.#pages.next(token, limit)
          : this.#pages.first(this.#store.list(resource).filter(selects), this.#store.revision, limit);
        json(response, 200, { kind: `${resource.kind}List`, apiVersion: resource.apiVersion, ...page });
      } catch (error) {
        refuse(response, error);
      }
    };
    const held = this.#held.get(resource.name);
    if (held) held.push(list);
    else list();
  }

  #watch({ resource, namespace }: Target, query: URLSearchParams, response: http.ServerResponse): void {
    const from = query.get('resourceVersion') ?? '';
    const revision = Number(from);
    const isGone = revision !== 0 && revision < this.#store.compacted;
    const selects = parseSelection(query, namespace);
    this.requests.push(`WATCH ${resource.name} ${from}`);
    const why = `too old resource version: ${from}`;
    if (isGone && this.#goneByStatus) throw new ApiError(410, 'Expired', why);
    const watcher = new Watcher(resource, selects, isSet(query, 'allowWatchBookmarks'), response);
    if (isGone) {
      watcher.send('ERROR', status(410, 'Expired', why));
      watcher.end();
      return;
    }
    if (revision === 0) for (const object of this.#store.list(resource)) watcher.add(object);
    else for (const change of this.#store.changesAfter(revision)) watcher.tell(change);
    this.#watchers.add(watcher);
    const seconds = Number(query.get('timeoutSeconds') ?? 0);
    const timer = seconds > 0 ? setTimeout(() => this.#end(watcher), seconds * 1000) : undefined;
    response.on('close', () => {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    });
  }

  #tell(change: Change): void {
    for (const watcher of this.#watchers) watcher.tell(change);
  }
}

function isSet(query: URLSearchParams, name: string): boolean {
  return ['true', '1'].includes(query.get(name) ?? '');
}
