import assert from 'node:assert/strict';
import type { Link, Watch } from '../../../types/native';
import { light, native, openDescriptors, repetitions, run } from '../support';

const cgroup = process.argv[2] ?? '';
const attached = () => JSON.parse(run('bpftool', '-j', 'cgroup', 'show', cgroup).trim() || '[]') as unknown[];

/** Collects garbage until something has happened; fails if it does not. */
async function collectUntil(happened: () => boolean): Promise<void> {
  for (let i = 0; !happened(); i++) {
    assert.ok(i < 100, 'was not collected');
    global.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// Objects are made in functions that return before the collection: no variable of main() holds them.
async function attachAndForget(): Promise<void> {
  const datapath = await native.load(light);
  await datapath.attachCgroup('bpf_lb_recvmsg4', cgroup);
}

async function keepLinkOnly(): Promise<Link> {
  const datapath = await native.load(light);
  return datapath.attachCgroup('bpf_lb_recvmsg4', cgroup);
}

/** A link does not need its datapath. */
async function linkOutlivesDatapath(): Promise<void> {
  const link = await keepLinkOnly();
  const descriptors = openDescriptors();
  await collectUntil(() => openDescriptors() < descriptors);
  assert.equal(link.attached(), true);
  assert.equal(attached().length, 1);
}

/** A watch goes with the last reference to it, one in its own callback not counted. */
async function watchAndForget(): Promise<void> {
  const datapath = await native.load(light);
  const watches = [native.watchNetwork(() => watches), datapath.watchRing('events', () => watches)];
}

/** A watch does not need its datapath. */
async function keepWatchOnly(): Promise<Watch> {
  const datapath = await native.load(light);
  return datapath.watchRing('events', () => {});
}

async function watchOutlivesDatapath(): Promise<void> {
  const watch = await keepWatchOnly();
  const descriptors = openDescriptors();
  for (let i = 0; i < 10; i++) {
    global.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(openDescriptors(), descriptors);
  watch.close();
  assert.ok(openDescriptors() < descriptors);
}

async function main(): Promise<void> {
  await linkOutlivesDatapath();
  await collectUntil(() => attached().length === 0);

  const descriptors = openDescriptors();
  for (let i = 0; i < repetitions(20); i++) await attachAndForget();
  await collectUntil(() => openDescriptors() <= descriptors && attached().length === 0);

  await watchOutlivesDatapath();
  for (let i = 0; i < repetitions(20); i++) await watchAndForget();
  await collectUntil(() => openDescriptors() <= descriptors);
}

void main();
