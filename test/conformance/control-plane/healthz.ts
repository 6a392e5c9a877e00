import { ClusterState, ClusterSync, HealthServer, type NodeObject } from '../../../lib/kubernetes';
import { ManualClock, turns } from '../../unit/kubernetes/manual-clock';
import { compared } from '../report';
import { type Check, type ControlPlaneCase, each } from './case';

interface HealthzCase extends ControlPlaneCase {
  /** In words. */
  readonly when: string;
  readonly healthz: number;
  readonly livez: number;
  readonly nodeEligible?: boolean;
}

const syncPeriod = 30_000;

/** What a datapath does with what is synced to it. */
type Progress = 'nothing' | 'synced' | 'waiting' | 'late' | 'recovered';

interface Situation {
  readonly progress: Progress;
  readonly spec?: NonNullable<NodeObject['spec']> & { readonly unschedulable?: boolean };
  readonly deleted?: boolean;
}

/** What the words of cases mean. The first that fits counts. */
const situations: readonly (readonly [words: RegExp, situation: Situation])[] = [
  [
    /taint.*ToBeDeletedByClusterAutoscaler/i,
    { progress: 'synced', spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }] } },
  ],
  [/taint/i, { progress: 'synced', spec: { taints: [{ key: 'example.com/unrelated' }] } }],
  [/unschedulable|cordon/i, { progress: 'synced', spec: { unschedulable: true } }],
  [/deletionTimestamp|being deleted/i, { progress: 'synced', deleted: true }],
  [/again|recover|caught up|(?<!not )\b(synced|applied|updated)\b/i, { progress: 'recovered' }],
  [/(?<!no |not )(longer|older|more) than|stale|exceed/i, { progress: 'late' }],
  [/longer than|older than|more than|(less|shorter|younger) than|within|at most/i, { progress: 'waiting' }],
  [/nothing|never|initial|no update/i, { progress: 'nothing' }],
];

function nodeOf({ spec, deleted }: Situation): NodeObject {
  const deletionTimestamp = deleted ? { deletionTimestamp: '2024-01-01T00:00:00Z' } : {};
  return { kind: 'Node', metadata: { name: 'test-node', ...deletionTimestamp }, spec: spec ?? {} };
}

/** Asks a server of a node in a situation: a sync runs only as long as the datapath accepts what it is told. */
async function ask(situation: Situation) {
  const cluster = new ClusterState({ nodeName: 'test-node' });
  const clock = new ManualClock();
  let accept: () => void = () => undefined;
  const isSlow = ['waiting', 'late', 'recovered'].includes(situation.progress);
  const accepted = isSlow ? new Promise<void>((resolve) => (accept = resolve)) : Promise.resolve();
  const lb = {
    services: { names: () => [] },
    apply: () => accepted,
    upsertService: () => accepted,
    deleteService: () => accepted,
  };
  await using sync = new ClusterSync(cluster, lb, { clock, syncPeriod, minSyncPeriod: 0 });
  await using server = await HealthServer.start({ health: sync.health, cluster, address: '127.0.0.1:0' });
  cluster.replace('Node', [nodeOf(situation)]);
  sync.start();
  if (situation.progress !== 'nothing') {
    cluster.replace('Service', []);
    cluster.replace('EndpointSlice', []);
    await clock.advance(situation.progress === 'waiting' ? syncPeriod : 2 * syncPeriod + 1);
  }
  if (situation.progress === 'recovered') {
    accept();
    await turns();
  }
  const get = async (path: string) => {
    const response = await fetch(`http://${server.address}${path}`);
    return { status: response.status, body: (await response.json()) as { nodeEligible?: boolean } };
  };
  try {
    return { healthz: await get('/healthz'), livez: await get('/livez') };
  } finally {
    /* So that the sync can end. */
    accept();
  }
}

/** What health servers answer. */
export const healthz = each(async (one: HealthzCase): Promise<Check[]> => {
  const situation = situations.find(([words]) => words.test(one.when))?.[1];
  if (!situation) throw new Error(`it is not known how to make it so: ${one.when}`);
  const { healthz, livez } = await ask(situation);
  return [
    { name: '/healthz', outcome: compared(one.healthz, healthz.status) },
    { name: '/livez', outcome: compared(one.livez, livez.status) },
    ...(one.nodeEligible === undefined
      ? []
      : [{ name: 'nodeEligible', outcome: compared(one.nodeEligible, healthz.body.nodeEligible) }]),
  ];
});
