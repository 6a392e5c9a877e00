import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Watch } from '../../../types/native';
import { light, native, numbered, openDescriptors, repetitions, run } from '../support';

const rounds = repetitions(15);

/** Does one thing over and over until the thread is terminated. */
async function work(activity: string, cgroup: string): Promise<never> {
  const datapath = await native.load(light);
  const { keySize, valueSize } = datapath.mapInfo('services4');
  const [keys, values] = [numbered(10_000, keySize), numbered(10_000, valueSize)];
  const key = keys.subarray(0, keySize);
  const held: Watch[][] = [];
  const activities: Record<string, () => unknown> = {
    load: () => Promise.all([native.load(light), native.load(light)]),
    commit: () =>
      Promise.all([
        datapath.commit([{ map: 'services4', kind: 'update', keys, values }]),
        datapath.commit([{ map: 'services4', kind: 'delete', keys: key }]),
        datapath.dump('services4'),
      ]),
    lookup: () => {
      for (;;) datapath.lookup('services4', key);
    },
    failure: () => {
      for (;;) {
        assert.throws(() => datapath.mapInfo('nothing'));
        assert.throws(() => native.filesystemType('/proc/none'));
      }
    },
    network: () => Promise.all([native.network(), native.network()]),
    canary: () => native.canary(cgroup, '127.0.0.1', 80),
    attach: async () => {
      const links = await Promise.all([
        datapath.attachCgroup('bpf_lb_recvmsg4', cgroup),
        datapath.attachCgroup('bpf_lb_recvmsg6', cgroup),
      ]);
      for (const link of links) link.detach();
    },
    watch: async () => {
      const open = () => [
        datapath.watchRing('events', () => {}),
        ...Array.from({ length: 5 }, () => native.watchNetwork(() => native.watchNetwork(() => {}).close())),
      ];
      held.push(open()); // for the end of the thread to close
      for (const watch of open()) watch.close();
      run('ip', 'link', 'set', 'lo', 'mtu', `${1500 + (held.length % 2)}`);
      await setImmediate();
    },
  };
  const act = activities[activity];
  assert.ok(act);
  parentPort?.postMessage('ready');
  for (;;) await act();
}

async function main(activity: string, cgroup: string): Promise<void> {
  let descriptors = 0;
  for (let round = 0; round < rounds; round++) {
    const worker = new Worker(__filename, {
      workerData: [activity, cgroup],
      execArgv: ['--require', 'tsx/cjs'],
    });
    await once(worker, 'message');
    await setTimeout(round % 10); // another moment every time
    await worker.terminate();
    descriptors ||= openDescriptors();
    assert.ok(openDescriptors() <= descriptors);
  }
}

const [activity = '', cgroup = ''] = isMainThread ? process.argv.slice(2) : (workerData as string[]);
void (isMainThread ? main(activity, cgroup) : work(activity, cgroup));
