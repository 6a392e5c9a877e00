import { isDeepStrictEqual } from 'node:util';

import {
  ClusterState,
  ClusterSync,
  type Kind,
  type KubernetesObject,
  type NodeObject,
  type ServiceObject,
  type EndpointSliceObject,
  type SyncTarget,
} from '../../lib/kubernetes';

/** What there is in a cluster, as its API server has it. */
export interface ClusterObjects {
  readonly Service: readonly ServiceObject[];
  readonly EndpointSlice: readonly EndpointSliceObject[];
  readonly Node: readonly NodeObject[];
}

/** A cluster whose objects come as lists at first, and then as the events of watches. */
export class WatchedCluster {
  readonly state: ClusterState;
  #objects: ClusterObjects | undefined;

  constructor(nodeName: string) {
    this.state = new ClusterState({ nodeName });
  }

  /** Makes the objects exactly these. */
  become(objects: ClusterObjects): void {
    const before = this.#objects;
    this.#objects = objects;
    for (const kind of ['Node', 'Service', 'EndpointSlice'] as const) {
      if (before) this.#watch(kind, before[kind], objects[kind]);
      else this.state.replace(kind, objects[kind]);
    }
  }

  #watch(kind: Kind, before: readonly KubernetesObject[], after: readonly KubernetesObject[]): void {
    const [old, now] = [byName(before), byName(after)];
    for (const [name, object] of old) if (!now.has(name)) this.state.apply('DELETED', object, kind);
    for (const [name, object] of now) {
      const known = old.get(name);
      if (!known) this.state.apply('ADDED', object, kind);
      else if (!isDeepStrictEqual(known, object)) this.state.apply('MODIFIED', object, kind);
    }
  }
}

function byName(objects: readonly KubernetesObject[]): Map<string, KubernetesObject> {
  return new Map(objects.map((object) => [`${object.metadata?.namespace}/${object.metadata?.name}`, object]));
}

/** Keeps a datapath at the state of a cluster. */
export class Follower {
  readonly #sync: ClusterSync;
  readonly #state: ClusterState;

  constructor(state: ClusterState, target: SyncTarget) {
    this.#state = state;
    this.#sync = new ClusterSync(state, target, { minSyncPeriod: 0 });
    this.#sync.start();
  }

  /** Resolves when the datapath has everything; rejects when it did not take something. */
  async settle(): Promise<void> {
    if (!this.#state.dirty) return;
    const sync = this.#sync;
    await new Promise<void>((resolve, reject) => {
      const done = () => {
        sync.off('synced', done).off('failed', fail);
        resolve();
      };
      const fail = (error: Error, service?: string) => {
        sync.off('synced', done).off('failed', fail);
        reject(new Error(`${service ?? 'sync'}: ${error.message}`));
      };
      sync.on('synced', done).on('failed', fail);
    });
  }

  stop(): Promise<void> {
    return this.#sync.stop();
  }
}
