import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { parseSelector } from '../support/api-server/selector';
import { ApiServer } from '../support/api-server/server';

interface Event {
  type: string;
  object: { kind: string; code?: number; metadata: { name?: string; resourceVersion?: string } };
}

/** What the API server that the informer's tests use has in common with the real one. */
describe('API server of the tests', () => {
  let server: ApiServer;
  let url: string;
  let abort: AbortController;

  const put = (name: string, labels: Record<string, string> = {}) =>
    server.put('services', { metadata: { name, namespace: 'default', labels }, spec: {} });
  const get = async (path: string) => {
    const response = await fetch(url + path);
    const body = (await response.json()) as {
      kind: string;
      code?: number;
      items: { kind?: string; metadata: { name: string; uid: string } }[];
      metadata: { resourceVersion: string };
    };
    return { code: response.status, ...body };
  };
  /** Opens a watch and returns its events one by one; undefined at the end. */
  const watch = async (query: string) => {
    const response = await fetch(`${url}/api/v1/services?watch=true&${query}`, { signal: abort.signal });
    assert.equal(response.status, 200);
    assert(response.body);
    const lines = createInterface(Readable.fromWeb(response.body as never).on('error', () => undefined));
    const iterator = lines[Symbol.asyncIterator]();
    return async () => {
      const line = await iterator.next();
      return line.done ? undefined : (JSON.parse(line.value) as Event);
    };
  };
  const brief = (event: Event | undefined) => event && `${event.type} ${event.object.metadata.name}`;

  beforeEach(async () => {
    server = new ApiServer();
    url = await server.start('127.0.0.1');
    abort = new AbortController();
  });

  afterEach(async () => {
    abort.abort();
    await server.stop();
  });

  it('lists objects by name, without their kind, and keeps the uid over changes', async () => {
    put('b');
    put('a');
    const first = await get('/api/v1/services');
    assert.equal(first.kind, 'ServiceList');
    assert.deepEqual(
      first.items.map(({ kind, metadata }) => [kind, metadata.name]),
      [
        [undefined, 'a'],
        [undefined, 'b'],
      ],
    );
    put('a');
    const second = await get('/api/v1/namespaces/default/services');
    assert.equal(second.items[0]?.metadata.uid, first.items[0]?.metadata.uid);
    assert.ok(Number(second.metadata.resourceVersion) > Number(first.metadata.resourceVersion));
    assert.deepEqual((await get('/api/v1/namespaces/other/services')).items, []);
    assert.equal((await get('/api/v1/namespaces/default/services/b')).kind, 'Service');
    assert.equal((await get('/api/v1/namespaces/default/services/c')).code, 404);
    assert.equal((await get('/api/v1/secrets')).code, 404);
  });

  it('replays what came after a revision, then tells what happens', async () => {
    put('a');
    const { metadata } = await get('/api/v1/services');
    put('b');
    const next = await watch(`resourceVersion=${metadata.resourceVersion}`);
    assert.equal(brief(await next()), 'ADDED b');
    put('b');
    assert.equal(brief(await next()), 'MODIFIED b');
    server.remove('services', 'b');
    assert.equal(brief(await next()), 'DELETED b');
    server.closeWatches();
    assert.equal(await next(), undefined);
  });

  it('begins with all objects without a revision', async () => {
    put('a');
    assert.equal(brief(await (await watch('resourceVersion=0'))()), 'ADDED a');
    assert.equal(brief(await (await watch(''))()), 'ADDED a');
  });

  it('shows objects that leave and enter a selection as deleted and added', async () => {
    const selector = encodeURIComponent('!headless,app in (web, api)');
    put('a', { app: 'web', headless: '' });
    const next = await watch(`resourceVersion=1&labelSelector=${selector}`);
    put('a', { app: 'web' });
    assert.equal(brief(await next()), 'ADDED a');
    put('a', { app: 'other' });
    assert.equal(brief(await next()), 'DELETED a');
    put('b', { app: 'api' });
    assert.equal(brief(await next()), 'ADDED b');
    const list = await get(`/api/v1/services?labelSelector=${selector}`);
    assert.deepEqual(
      list.items.map(({ metadata }) => metadata.name),
      ['b'],
    );
    assert.equal((await get('/api/v1/services?labelSelector=a%20b%20c')).code, 400);
    assert.equal((await get('/api/v1/services?fieldSelector=metadata.name%3Da')).items.length, 1);
  });

  it('reads selectors as the real one does', () => {
    const labels = { app: 'web', tier: 'front' };
    for (const [text, expected] of [
      ['', true],
      ['app', true],
      ['!app', false],
      ['!other', true],
      ['app=web,tier==front', true],
      ['app!=web', false],
      ['other!=web', true],
      ['app in (web,api),tier', true],
      ['app notin (web, api)', false],
      ['other notin (web)', true],
      ['example.com/name=', false],
    ] as const) {
      assert.equal(parseSelector(text)(labels), expected, text);
    }
  });

  it('answers a watch from before the compaction by an event that says 410', async () => {
    put('a');
    put('b');
    server.compact();
    const next = await watch('resourceVersion=2');
    const event = await next();
    assert.deepEqual([event?.type, event?.object.kind, event?.object.code], ['ERROR', 'Status', 410]);
    assert.equal(await next(), undefined);
  });

  it('sends bookmarks to those who asked for them', async () => {
    const [asked, other] = await Promise.all([
      watch('resourceVersion=1&allowWatchBookmarks=true'),
      watch('resourceVersion=1'),
    ]);
    server.put('endpointslices', { metadata: { name: 'a', namespace: 'default' } });
    server.sendBookmarks();
    put('a');
    const bookmark = await asked();
    assert.deepEqual([bookmark?.type, bookmark?.object.metadata], ['BOOKMARK', { resourceVersion: '2' }]);
    assert.equal(brief(await other()), 'ADDED a');
  });

  it('fails, holds, breaks off and comes back when it is asked to', async () => {
    server.failNext(403);
    assert.equal((await get('/api/v1/services')).code, 403);
    server.holdLists('services');
    const held = get('/api/v1/services');
    assert.equal(await Promise.race([held, sleep(100, 'silence')]), 'silence');
    server.releaseLists('services');
    assert.equal((await held).code, 200);
    const next = await watch('resourceVersion=1');
    server.resetConnections();
    await assert.rejects(async () => assert.equal(await next(), undefined));
    await server.stop();
    await assert.rejects(get('/api/v1/services'));
    assert.equal(await server.start(), url);
    assert.equal((await get('/api/v1/services')).code, 200);
  });
});
