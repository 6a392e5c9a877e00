import type http from 'node:http';

import type { Selection } from './query';
import type { Change, KubeObject, Resource } from './store';

/** A watch that is open. */
export class Watcher {
  readonly #resource: Resource;
  readonly #selects: Selection;
  readonly #bookmarks: boolean;
  readonly #response: http.ServerResponse;

  constructor(resource: Resource, selects: Selection, bookmarks: boolean, response: http.ServerResponse) {
    this.#resource = resource;
    this.#selects = selects;
    this.#bookmarks = bookmarks;
    this.#response = response;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
  }

  add(object: KubeObject): void {
    if (this.#selects(object)) this.send('ADDED', typed(this.#resource, object));
  }

  /** An object that leaves or enters a selection looks deleted or added to whoever watches the selection. */
  tell({ resource, before, after, revision }: Change): void {
    if (resource !== this.#resource) return;
    const [was, is] = [this.#selects(before), this.#selects(after)];
    if (is) this.send(was ? 'MODIFIED' : 'ADDED', typed(resource, after as KubeObject));
    else if (was) {
      const last = before as KubeObject;
      const metadata = { ...last.metadata, resourceVersion: String(revision) };
      this.send('DELETED', typed(resource, { ...last, metadata }));
    }
  }

  bookmark(revision: number): void {
    if (!this.#bookmarks) return;
    const { kind, apiVersion } = this.#resource;
    this.send('BOOKMARK', { kind, apiVersion, metadata: { resourceVersion: String(revision) } });
  }

  /** In two pieces, as a network may deliver it: the cut goes through lines, and through characters. */
  send(type: string, object: object): void {
    const line = Buffer.from(`${JSON.stringify({ type, object })}\n`);
    const middle = line.length >> 1;
    this.#response.write(line.subarray(0, middle));
    this.#response.write(line.subarray(middle));
  }

  /** The beginning of an event that never comes. */
  sendHalf(): void {
    this.#response.write('{"type":"MODIFI');
  }

  end(): void {
    this.#response.end();
  }
}

/** Objects have their type when they come alone, not in a list. */
export function typed({ kind, apiVersion }: Resource, object: KubeObject): object {
  return { kind, apiVersion, ...object };
}
