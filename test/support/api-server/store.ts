import { randomUUID } from 'node:crypto';

/** A resource that is served. */
export interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly apiVersion: string;
}

export const resources: readonly Resource[] = [
  { name: 'services', kind: 'Service', apiVersion: 'v1' },
  { name: 'nodes', kind: 'Node', apiVersion: 'v1' },
  { name: 'pods', kind: 'Pod', apiVersion: 'v1' },
  { name: 'endpointslices', kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1' },
];

/** An object as its author writes it; the store fills in the rest of `metadata`. */
export interface KubeObject {
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    uid?: string;
    creationTimestamp?: string;
    resourceVersion?: string;
  };
  [field: string]: unknown;
}

/** One write. Without `before` a creation, without `after` a deletion; the latter's `before` has its revision. */
export interface Change {
  readonly revision: number;
  readonly resource: Resource;
  readonly before: KubeObject | undefined;
  readonly after: KubeObject | undefined;
}

function keyOf({ name, namespace = '' }: KubeObject['metadata']): string {
  return `${namespace}/${name}`;
}

/** The objects, and the changes since the last compaction. One revision counts the writes of all resources. */
export class Store {
  readonly #objects = new Map(resources.map((r) => [r, new Map<string, KubeObject>()]));
  #changes: Change[] = [];
  revision = 1;
  /** Changes after this one are known. */
  compacted = 0;

  /** Ordered by namespace and name, as etcd has them. */
  list(resource: Resource): KubeObject[] {
    return [...this.#of(resource)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  put(resource: Resource, object: KubeObject): Change {
    const key = keyOf(object.metadata);
    const before = this.#of(resource).get(key);
    const { uid = randomUUID(), creationTimestamp = new Date().toISOString() } = before?.metadata ?? {};
    const resourceVersion = String(++this.revision);
    const after = {
      ...structuredClone(object),
      metadata: { ...structuredClone(object.metadata), uid, creationTimestamp, resourceVersion },
    };
    this.#of(resource).set(key, after);
    return this.#log({ revision: this.revision, resource, before, after });
  }

  remove(resource: Resource, metadata: { name: string; namespace?: string }): Change {
    const object = this.#of(resource).get(keyOf(metadata));
    if (!object) throw new Error(`${resource.name} "${metadata.name}" not found`);
    this.#of(resource).delete(keyOf(metadata));
    const resourceVersion = String(++this.revision);
    const before = { ...object, metadata: { ...object.metadata, resourceVersion } };
    return this.#log({ revision: this.revision, resource, before, after: undefined });
  }

  changesAfter(revision: number): readonly Change[] {
    return this.#changes.filter((change) => change.revision > revision);
  }

  /** Forgets the changes so far: who asks for what came after one of them hears that it is gone. */
  compact(): void {
    this.#changes = [];
    this.compacted = this.revision;
  }

  #log(change: Change): Change {
    this.#changes.push(change);
    return change;
  }

  #of(resource: Resource): Map<string, KubeObject> {
    const objects = this.#objects.get(resource);
    if (!objects) throw new Error(`There is no resource ${resource.name}`);
    return objects;
  }
}
