import assert from 'node:assert/strict';
import { constants } from 'node:os';

import fc from 'fast-check';

import { ClusterState, ClusterSync } from '../../../lib/kubernetes';
import { codeOf } from '../../../lib/kubernetes/sync-batch';
import { defineService } from '../../../lib/service-definition';
import { Objects, type Step, steps } from './events';
import { thisNode } from './fixtures';
import { ManualClock } from './manual-clock';
import { MemoryLoadBalancer } from './memory-load-balancer';

/** What happens to the objects, and to those who serve them. */
type Happening =
  Step | { wait: number } | { refused: string } | 'healed' | 'unreachable' | 'reachable' | 'restarted';

const troubles: fc.Arbitrary<Happening> = fc.constantFrom<Happening>(
  { refused: '10.96.0.1' },
  { refused: '10.96.0.2' },
  'healed',
  'unreachable',
  'reachable',
  'restarted',
);
const waits: fc.Arbitrary<Happening> = fc.constantFrom({ wait: 0 }, { wait: 1000 }, { wait: 30_000 });

const happenings: fc.Arbitrary<Happening[]> = steps.chain((ofObjects) =>
  fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom<Happening>(...ofObjects) },
      { weight: 3, arbitrary: waits },
      { weight: 1, arbitrary: troubles },
    ),
    { minLength: 20, maxLength: 80 },
  ),
);

class Scene {
  readonly cluster = new ClusterState({ nodeName: thisNode });
  readonly clock = new ManualClock();
  readonly lb: MemoryLoadBalancer;
  readonly sync: ClusterSync;
  readonly #objects = new Objects();

  constructor(backends: number) {
    this.lb = new MemoryLoadBalancer({ frontends: 100, backends });
    this.sync = new ClusterSync(this.cluster, this.lb, { clock: this.clock });
    this.#objects.list(this.cluster);
    this.sync.start();
  }

  async happen(what: Happening): Promise<void> {
    switch (what) {
      case 'take':
        return;
      case 'relist':
        return this.#objects.list(this.cluster);
      case 'resync':
        return this.cluster.resync();
      case 'healed':
        return this.lb.refused.clear();
      case 'unreachable':
      case 'reachable':
        this.lb.closed = what === 'unreachable';
        return;
      case 'restarted':
        await this.sync.stop();
        return this.sync.start();
    }
    if ('wait' in what) return this.clock.advance(what.wait);
    if ('refused' in what) return void this.lb.refused.set(what.refused, constants.errno.EIO);
    this.#objects.change(what.type, what.object);
    this.cluster.apply(what.type, what.object);
  }

  /** Until all that waits for a while has been tried again. */
  async recover(): Promise<void> {
    await this.happen('healed');
    await this.happen('reachable');
    for (let i = 0; i < 3; i++) await this.clock.advance(31_000);
  }
}

describe('ClusterSync, after any sequence of events and troubles', () => {
  it('has everything in the datapath but what there is no room for', async () => {
    await fc.assert(
      fc.asyncProperty(happenings, fc.integer({ min: 3, max: 20 }), async (list, backends) => {
        const scene = new Scene(backends);
        const { cluster, lb, sync } = scene;
        for (const what of list) await scene.happen(what);
        await scene.recover();
        const [desired, found] = [new Map(cluster.services), new Map(lb.definitions)];
        /* What has no room serves on as it was, and may have a frontend that another one is to have. */
        const codes = new Set(Array.from(sync.failures.values(), codeOf));
        assert.ok(codes.size === 0 || codes.delete('ERR_BPF_MAP_FULL'), [...codes].join());
        codes.delete('ERR_BPF_DUPLICATE_FRONTEND');
        assert.deepEqual(codes, new Set());
        for (const name of sync.failures.keys()) {
          desired.delete(name);
          found.delete(name);
        }
        assert.deepEqual(found, new Map([...desired].map(([name, spec]) => [name, defineService(spec)])));
        assert.equal(sync.health.healthy, true);
        await sync.stop();
      }),
      { numRuns: 200 },
    );
  });
});
