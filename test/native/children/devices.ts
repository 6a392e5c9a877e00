import assert from 'node:assert/strict';
import type { Datapath } from '../../../types/native';
import { Cleanup, native, options, run } from '../support';

/** A veth pair in the namespace of this process. */
export async function makeVeth(): Promise<number> {
  run('ip', 'link', 'add', 'test0', 'type', 'veth', 'peer', 'name', 'test1');
  run('ip', 'link', 'set', 'test0', 'up');
  run('ip', 'link', 'set', 'test1', 'up');
  const ifindex = (await native.network()).links.find(({ name }) => name === 'test0')?.ifindex;
  assert.ok(ifindex !== undefined);
  return ifindex;
}

/** Loads the object, runs a test with it, and closes it in any case. */
export async function withDatapath(
  test: (datapath: Datapath, cleanup: Cleanup) => Promise<void>,
): Promise<void> {
  const cleanup = new Cleanup();
  const datapath = await native.load(options);
  cleanup.add(() => datapath.close());
  try {
    await test(datapath, cleanup);
  } finally {
    cleanup.run();
  }
}

/** Program ids of the filters at a hook, as `tc` says. */
export function filters(direction: 'ingress' | 'egress'): number[] {
  const listed = JSON.parse(run('tc', '-j', 'filter', 'show', 'dev', 'test0', direction) || '[]') as {
    options?: { prog?: { id: number } };
  }[];
  return listed.flatMap(({ options }) => (options?.prog ? [options.prog.id] : []));
}
