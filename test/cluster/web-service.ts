import assert from 'node:assert/strict';

import type { ServiceSpec } from '../../lib';
import type { useTwoNodes } from '../support/cluster/suite';
import { ask, assertBalanced, backendsOf, both, families, ways } from './ways';

/** Checks that connections live, with the names that they had. */
export type StillThere = () => Promise<void>;

export const clusterIP = { 4: { address: '10.96.0.1', port: 80 }, 6: { address: 'fd00:96::1', port: 80 } };
const nodePort = 30080;

/** A service of all pods, for clients by sockets and by packets. */
export class WebService {
  readonly #cluster: ReturnType<typeof useTwoNodes>;

  constructor(cluster: ReturnType<typeof useTwoNodes>) {
    this.#cluster = cluster;
  }

  spec(name = 'web'): ServiceSpec {
    return {
      name,
      frontends: [
        ...families.flatMap((family) => both({ type: 'ClusterIP', ...clusterIP[family] })),
        ...both({ type: 'NodePort', port: nodePort }),
      ],
      backends: backendsOf(this.#cluster.pods, this.#cluster.nodes[0]),
    };
  }

  /** New clients get an answer, by every way. */
  async assertServed(): Promise<void> {
    for (const { peer, to } of await this.#places())
      for (const way of ways) assertBalanced(await ask(peer, way, to), to, this.#cluster.pods);
  }

  /** Connections through both paths, until the test ends. */
  async connectAll(): Promise<StillThere> {
    const made = await Promise.all(
      (await this.#places()).map(async ({ peer, to }) => ({ peer, to, id: (await peer.open(to)).id })),
    );
    this.#cluster.cleanupEach.add(async () => {
      /* Nobody translates a FIN any more. */
      for (const { peer, id } of made) await peer.dropConnection(id, true);
    });
    return async () => {
      for (const { peer, to, id } of made) {
        assert.equal(await peer.echo(id, 'still here'), 'still here');
        assert.deepEqual(await peer.peerName(id), to);
      }
    };
  }

  /** Who asks for what. */
  async #places() {
    const { nodes, client } = this.#cluster;
    const [pod, outside] = await Promise.all([nodes[0].pods[0].peer(), client.peer()]);
    return families.flatMap((family) => [
      { peer: pod, to: clusterIP[family] },
      { peer: outside, to: { address: nodes[0].addresses[family], port: nodePort } },
    ]);
  }
}
