import { execFile } from 'node:child_process';

/** Runs a program to its end and returns what it wrote. Rejects, with its complaints, when it fails or takes too long. */
export function run(
  command: string,
  args: readonly string[],
  { input = '', timeout = 60_000 }: { input?: string; timeout?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { timeout, maxBuffer: 2 ** 30 }, (error, stdout, stderr) => {
      if (error)
        reject(new Error(`${command} ${args.slice(0, 8).join(' ')}: ${stderr.trim() || error.message}`));
      else resolve(stdout);
    });
    child.stdin?.on('error', () => {}); // a program that stops reading says why on its own
    child.stdin?.end(input);
  });
}
