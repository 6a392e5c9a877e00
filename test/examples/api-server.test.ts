import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Certificates, makeCertificates } from '../support/api-server/certificates';
import { parseSelector } from '../support/api-server/selector';
import { ApiServer } from '../support/api-server/server';

interface Event {
  type: string;
  object: { kind: string; code?: number; metadata: { name?: string; resourceVersion?: string } };
}

const token = 'secret';

/** What the API server that the tests of examples/kube-proxy use has in common with the real one. */
describe('API server of the tests', () => {
  let certificates: Certificates;
  let server: ApiServer;
  let url: string;
  let abort: AbortController;

  before('make certificates', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-certificates-'));
    certificates = makeCertificates(directory, ['127.0.0.1']);
    rmSync(directory, { recursive: true });
  });

  const put = (name: string, labels: Record<string, string> = {}) =>
    server.put('services', { metadata: { name, namespace: 'default', labels }, spec: {} });
  const request = async (path: string, options: https.RequestOptions = {}) => {
    const headers = { authorization: `Bearer ${token}` };
    const { signal } = abort;
    const sent = https.get(url + path, { ca: certificates.ca, agent: false, signal, headers, ...options });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return response;
  };
  const get = async (path: string, options?: https.RequestOptions) => {
    const response = await request(path, options);
    const body = (await json(response)) as {
      kind: string;
      code?: number;
      items: { kind?: string; metadata: { name: string; uid: string } }[];
      metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
    };
    return { code: response.statusCode, ...body };
  };
  const namesOf = ({ items }: Awaited<ReturnType<typeof get>>) => items.map(({ metadata }) => metadata.name);
  /** Opens a watch and returns its events one by one; undefined at the end. */
  const watch = async (query: string) => {
    const response = await request(`/api/v1/services?watch=true&${query}`);
    assert.equal(response.statusCode, 200);
    const lines = createInterface(response.on('error', () => undefined));
    const iterator = lines[Symbol.asyncIterator]();
    return async () => {
      const line = await iterator.next();
      return line.done ? undefined : (JSON.parse(line.value) as Event);
    };
  };
  const brief = (event: Event | undefined) => event && `${event.type} ${event.object.metadata.name}`;

  beforeEach(async () => {
    server = new ApiServer({ certificates, token });
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
    assert.deepEqual(namesOf(await get(`/api/v1/services?labelSelector=${selector}`)), ['b']);
    assert.equal((await get('/api/v1/services?labelSelector=a%20b%20c')).code, 400);
  });

  it('selects by fields', async () => {
    for (const name of ['node1', 'node2']) {
      server.put('nodes', { metadata: { name } });
      server.put('pods', {
        metadata: { name: `on-${name}`, namespace: 'default' },
        spec: { nodeName: name },
      });
    }
    assert.deepEqual(namesOf(await get('/api/v1/nodes?fieldSelector=metadata.name%3Dnode2')), ['node2']);
    assert.deepEqual(namesOf(await get('/api/v1/pods?fieldSelector=spec.nodeName%3Dnode1')), ['on-node1']);
    assert.equal((await get('/api/v1/pods?fieldSelector=spec.colour%3Dred')).code, 400);
  });

  it('lists page by page, all pages of one revision, until the past is gone', async () => {
    for (const name of ['a', 'b', 'c']) put(name);
    const first = await get('/api/v1/services?limit=2');
    assert.deepEqual(namesOf(first), ['a', 'b']);
    assert.equal(first.metadata.remainingItemCount, 1);
    put('d');
    const rest = `/api/v1/services?limit=2&continue=${first.metadata.continue}`;
    const second = await get(rest);
    assert.deepEqual(namesOf(second), ['c']);
    assert.equal(second.metadata.continue, undefined);
    assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    server.compact();
    assert.equal((await get(rest)).code, 410);
  });

  it('knows its clients by token or certificate', async () => {
    assert.equal((await get('/api/v1/services')).code, 200);
    assert.equal((await get('/api/v1/services', { headers: {} })).code, 401);
    assert.equal((await get('/api/v1/services', { headers: { authorization: 'Bearer guess' } })).code, 401);
    assert.equal((await get('/api/v1/services', { headers: {}, ...certificates.client })).code, 200);
    await assert.rejects(get('/api/v1/services', { ca: '' }), { code: 'SELF_SIGNED_CERT_IN_CHAIN' });
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

  it('answers a watch from before the compaction by an event that says 410, or by the status', async () => {
    put('a');
    put('b');
    server.compact();
    const next = await watch('resourceVersion=2');
    const event = await next();
    assert.deepEqual([event?.type, event?.object.kind, event?.object.code], ['ERROR', 'Status', 410]);
    assert.equal(await next(), undefined);
    server.tellGoneByStatus(true);
    assert.equal((await get('/api/v1/services?watch=true&resourceVersion=2')).code, 410);
  });

  it('ends a watch after the time that was asked for', async () => {
    const next = await watch('resourceVersion=1&timeoutSeconds=1');
    assert.equal(await next(), undefined);
  });

  it('sends what is no ASCII in two pieces, too', async () => {
    const next = await watch('resourceVersion=1');
    for (const text of ['ü', 'üü', '豆', '豆豆']) {
      put('a', { text });
      const event = (await next()) as { object: { metadata: { labels?: { text: string } } } } | undefined;
      assert.equal(event?.object.metadata.labels?.text, text);
    }
  });

  it('falls silent in the middle of a line, and leaves the connection open', async () => {
    const stalled = await watch('resourceVersion=1&timeoutSeconds=1');
    server.stallWatches();
    put('a');
    assert.equal(await Promise.race([stalled(), sleep(1500, 'silence')]), 'silence');
    assert.equal(brief(await (await watch('resourceVersion=1'))()), 'ADDED a');
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
