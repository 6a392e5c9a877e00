import { spawnSync } from 'node:child_process';

/** What bpftool lists. It fails when somebody else makes something at that moment: EAGAIN of a link that is not whole yet. */
export function bpftool<T>(...args: string[]): T[] {
  /* Sanitizers are for Node and the addon: they find faults in other programs, too. */
  const env = { ...process.env, LD_PRELOAD: '' };
  for (let attempt = 0; ; attempt++) {
    const { status, stdout, stderr } = spawnSync('bpftool', ['-j', ...args], { encoding: 'utf8', env });
    if (status === 0) return JSON.parse(stdout.trim() || '[]') as T[];
    const output = `${stdout}${stderr}`;
    if (attempt === 5 || !output.includes('temporarily unavailable'))
      throw new Error(`bpftool ${args.join(' ')}: ${output}`);
  }
}
