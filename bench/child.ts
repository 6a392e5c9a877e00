import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/**
 * Runs a script of this folder in a network namespace. Resolves when it has written its first line, with what ends it:
 * the end of its standard input. Rejects, naming `what`, when it ends before.
 */
export async function startChild(
  namespace: string,
  script: string,
  args: readonly string[],
  what: string,
): Promise<() => Promise<void>> {
  const command = [`--net=${namespace}`, process.execPath, path.join(__dirname, script), ...args];
  const child = spawn('nsenter', command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const failure = exit.then(() => Promise.reject(new Error(`${what} ended early.`)));
  failure.catch(() => {}); // when it ends later, nobody listens any more
  await Promise.race([once(child.stdout, 'data'), failure]);
  return async () => {
    child.stdin.end();
    await exit;
  };
}
