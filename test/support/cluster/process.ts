import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import type { Cleanup } from '../cleanup';
import type { Namespace } from './namespace';
import { type Channel, remote, type Remote, serve } from './rpc';

/** Where a process runs. */
export interface Place {
  namespace: Namespace;
  /** cgroup v2 directory; without it the process stays in that of its parent. */
  cgroup?: string | undefined;
  /** A command that runs the one behind it in another way: with fewer capabilities, with other mounts. */
  through?: readonly string[];
}

/** Starts `script` of this directory, which calls {@link answerParent}; it is in its place before it runs. */
export async function start<F extends object>(
  cleanup: Cleanup,
  { namespace, cgroup, through = [] }: Place,
  script: string,
): Promise<Remote<F>> {
  const node = [process.execPath, '--import', 'tsx', path.join(__dirname, script)];
  const inNamespace = namespace.enter(...through, ...node);
  const [file = '', ...args] = cgroup
    ? ['sh', '-c', 'echo $$ > "$0" && exec "$@"', path.join(cgroup, 'cgroup.procs'), ...inNamespace]
    : inNamespace;
  const child = spawn(file, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  cleanup.add(() => end(child));
  const functions = remote<F>(channelTo(child), `${script} in ${namespace.name}`);
  await Promise.race([once(child, 'message'), failure(child)]);
  return functions;
}

async function failure(child: ChildProcess): Promise<never> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  throw new Error(`${child.spawnargs.join(' ')}: ${signal ?? `status ${code}`}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function channelTo(child: ChildProcess): Channel {
  return {
    send: (message) => child.send(message as object),
    onMessage: (listener) => child.on('message', listener),
    onClose: (listener) => child.once('exit', listener),
  };
}

/** For the script: answers the calls of the process that started it, and ends with it. */
export function answerParent(functions: Parameters<typeof serve>[1]): void {
  process.once('disconnect', () => process.exit());
  serve(
    {
      send: (message) => process.send?.(message),
      onMessage: (listener) => process.on('message', listener),
      onClose: (listener) => process.once('disconnect', listener),
    },
    functions,
  );
  process.send?.({ id: 0, value: 'ready' });
}
