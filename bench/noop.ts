import { run } from './command';

const hooks = {
  noop_connect4: 'cgroup_inet4_connect',
  noop_sendmsg4: 'cgroup_udp4_sendmsg',
  noop_release: 'cgroup_inet_sock_release',
} as const;

/** Loads the programs that do nothing and hangs them on a cgroup; they go with it. */
export async function hangNoop(object: string, cgroup: string, pins: string): Promise<void> {
  await run('bpftool', ['prog', 'loadall', object, pins]);
  for (const [program, hook] of Object.entries(hooks)) {
    await run('bpftool', ['cgroup', 'attach', cgroup, hook, 'pinned', `${pins}/${program}`, 'multi']);
  }
}
