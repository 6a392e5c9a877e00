import { spawnSync } from 'node:child_process';

import type { Capability } from '../../../lib/capabilities';

/** A user that the machine need not know. */
export const unprivilegedUser = 64_321;

/** The command that runs the one behind it as {@link unprivilegedUser}, with these capabilities and no way to others. */
export function withCapabilities(...capabilities: Capability[]): string[] {
  const names = capabilities.map((name) => `,+${name.replace('CAP_', '').toLowerCase()}`);
  const set = `-all${names.join('')}`;
  const user = String(unprivilegedUser);
  return [
    'setpriv',
    ...['--reuid', user, '--regid', user, '--clear-groups', '--no-new-privs'],
    ...['--bounding-set', set, '--inh-caps', set, '--ambient-caps', set],
  ];
}

/** Whether that user may read this repository, as a child that runs its sources has to. */
export function sourcesAreReadable(): boolean {
  const [file = '', ...args] = [...withCapabilities(), 'test', '-r', __filename];
  return spawnSync(file, args).status === 0;
}
