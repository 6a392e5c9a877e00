import { spawnSync } from 'node:child_process';

/** Runs a program to its end, for so many milliseconds at most, and returns what it wrote; throws if it fails. */
export function run(command: readonly string[], input = '', timeout = 30_000): string {
  const [file = '', ...args] = command;
  const { error, status, signal, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    input,
    timeout,
  });
  if (error) throw error;
  if (status !== 0) {
    throw new Error(`${command.join(' ')}: ${signal ?? `status ${status}`}\n${input}${stdout}${stderr}`);
  }
  return stdout;
}
