import { setTimeout as sleep } from 'node:timers/promises';

import type { Cleanup } from '../support/cleanup';
import { tagsAtCgroup } from '../cluster/kernel';
import type { Load } from './load';
import { type Balancer, portCount, type Release, type World } from './world';

/** What a scenario works with. */
export interface Scene {
  readonly world: World;
  /** Runs all the time. */
  readonly load: Load;
  /** Its LoadBalancer is open, and has all services. */
  readonly first: Balancer;
  readonly firstId: number;
  readonly cleanup: Cleanup;
  /** Whether to go on, after so many times. */
  readonly isTime: (times: number) => boolean;
  /** From 0 to 1, the same for the same seed. */
  readonly random: () => number;
}

/** What was done, in words. Throws when it could not be. */
export type Scenario = (scene: Scene) => Promise<string>;

/** Opens on what an earlier one left, and says what there is to be. */
async function takeOver(world: World, { agent }: Balancer): Promise<number> {
  const id = await agent.open(world.options);
  await agent.apply(id, world.services());
  return id;
}

async function restart({ world, first, firstId, isTime }: Scene): Promise<string> {
  let [id, times] = [firstId, 0];
  for (; isTime(times); times++) {
    await first.agent.close(id, { keep: true });
    id = await takeOver(world, first);
  }
  return `${times} restarts`;
}

/** Two processes with other programs in turn. */
async function upgrade({ world, first, firstId, cleanup, isTime }: Scene): Promise<string> {
  const other = await world.startProcess(cleanup, 'other');
  const tags: Record<Release, Set<string>> = { this: new Set(), other: new Set() };
  const note = ({ release }: Balancer) => {
    tags[release].add(tagsAtCgroup(world.cgroup).join());
  };
  note(first);
  let [now, next, id, times] = [first, other, firstId, 0];
  for (; isTime(times); times++) {
    await now.agent.close(id, { keep: true });
    id = await takeOver(world, next);
    note(next);
    [now, next] = [next, now];
  }
  if (tags.this.size !== 1 || tags.other.size !== 1 || [...tags.this][0] === [...tags.other][0])
    throw new Error('the programs that were attached are not those of the releases');
  return `${times} upgrades and downgrades`;
}

type Phase = 'open' | 'apply' | 'change' | 'close';

/** What a process does until it is killed: phase by phase, with changes of backends in between. */
async function live(world: World, { agent }: Balancer, enter: (phase: Phase) => void): Promise<void> {
  enter('open');
  const id = await agent.open(world.options);
  enter('apply');
  await agent.apply(id, world.services());
  enter('change');
  for (let i = 0; i < 40; i++)
    await agent.upsertService(id, world.web(world.backends(world.pods.map(() => i % portCount))));
  enter('close');
  await agent.close(id, { keep: true });
}

/** Kills at a random moment of a random phase. The next process has been started by then. */
async function kill({ world, first, firstId, cleanup, isTime, random }: Scene): Promise<string> {
  const phases: Phase[] = ['open', 'apply', 'change', 'close'];
  const counts: Record<Phase, number> = { open: 0, apply: 0, change: 0, close: 0 };
  /* Milliseconds that they take: to be measured. */
  const lengths: Record<Phase, number> = { open: 100, apply: 10, change: 50, close: 10 };
  await first.agent.close(firstId, { keep: true });
  let times = 0;
  let next = first;
  while (isTime(times)) {
    const now = next;
    const following = world.startProcess(cleanup);
    const target = phases[Math.floor(random() * phases.length)]!;
    let phase: Phase = 'open';
    let since = performance.now();
    const reached = new Promise<void>((resolve) => {
      const enter = (entered: Phase) => {
        if (entered !== phase) lengths[phase] = performance.now() - since;
        [phase, since] = [entered, performance.now()];
        if (entered === target) resolve();
      };
      /* It is killed, and then its calls are rejected. */
      void live(world, now, enter).then(
        () => resolve(),
        () => resolve(),
      );
    });
    await reached;
    await sleep(random() * lengths[target]);
    counts[phase]++;
    await now.kill();
    times++;
    next = await following;
  }
  const where = phases.map((phase) => `${phase} ${counts[phase]}`).join(', ');
  await takeOver(world, next);
  return `${times} kills (${where})`;
}

/** Every backend is replaced by another, which listens before; the old one listens a while longer. */
async function rolling({ world, load, first, firstId, isTime }: Scene): Promise<string> {
  const current = world.pods.map(() => 0);
  let times = 0;
  for (; isTime(times); times++) {
    const pod = times % world.pods.length;
    const old = current[pod]!;
    current[pod] = (old + 1) % portCount;
    await load.setListening(pod, current[pod], true);
    const leaving = world.backendsOf(pod, old, { state: 'terminating' });
    await first.agent.upsertService(firstId, world.web(world.backends(current, leaving)));
    await sleep(50);
    await first.agent.upsertService(firstId, world.web(world.backends(current)));
    /* Connections that chose it are on their way. */
    await sleep(250);
    await load.setListening(pod, old, false);
  }
  return `${times} backends replaced, ${Math.floor(times / world.pods.length)} updates of all`;
}

async function swap({ world, first, firstId, isTime }: Scene): Promise<string> {
  let times = 0;
  for (; isTime(times); times++) {
    const indices = world.pods.map((_, pod) => (times + pod) % portCount);
    await first.agent.upsertService(firstId, world.web(world.backends(indices)));
  }
  return `${times} changes of all backends`;
}

/** Milliseconds in which a flood has to fill the tables. */
const floodPatience = 60_000;

/** Goes on until more flows were sent than fit into the tables. */
async function flood({ world, cleanup, isTime }: Scene): Promise<string> {
  const packets = await world.startFlood(cleanup);
  const entries = world.options.capacity?.flows ?? 0;
  const end = performance.now() + floodPatience;
  let sent = 0;
  while (isTime(0) || sent <= entries) {
    if (performance.now() > end) throw new Error(`${sent} packets in a minute do not fill the tables`);
    await sleep(50);
    ({ flood: sent } = await packets.report());
  }
  await packets.stop();
  return `${sent} packets of as many flows, in tables of ${entries}`;
}

/** A scenario by what is done to the LoadBalancer, or to who relies on it. */
interface Entry {
  readonly what: string;
  readonly scenario: Scenario;
  /** Where it may end. */
  readonly enough: Enough;
  /** Of the kernel, by its release. */
  readonly needs?: { readonly isMet: (release: string) => boolean; readonly reason: string };
}

/** So many times, or seconds. */
export interface Enough {
  readonly times: number;
  readonly seconds: number;
}

const often = (times: number): Enough => ({ times, seconds: Infinity });
const long = (seconds: number): Enough => ({ times: Infinity, seconds });

/** The other programs are compiled for the fourth version of the instruction set. */
const newInstructions = {
  isMet: (release: string) => {
    const [major = 0, minor = 0] = release.split('.').map(Number);
    return major > 6 || (major === 6 && minor >= 6);
  },
  reason: 'needs Linux 6.6',
};

export const scenarios: Readonly<Record<string, Entry>> = {
  restart: { what: 'a restart', scenario: restart, enough: often(100) },
  kill: { what: 'SIGKILL', scenario: kill, enough: often(20) },
  upgrade: { what: 'other programs', scenario: upgrade, enough: often(20), needs: newInstructions },
  rolling: { what: 'a rolling update', scenario: rolling, enough: long(30) },
  swap: { what: 'changes of all backends', scenario: swap, enough: long(30) },
  flood: { what: 'floods from invented addresses', scenario: flood, enough: long(30) },
};
