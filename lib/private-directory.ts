import { chmod, stat } from 'node:fs/promises';

import { attempt, LoadBalancerError } from './errors';

const everyoneElse = 0o077;
const writableToOthers = 0o022;

/**
 * Keeps other users out of a directory: who may write to it could exchange the tables and programs that are taken over
 * from there. A directory of this process' user gets mode 0700.
 *
 * @throws LoadBalancerError `ERR_BPF_PERMISSION` when somebody else may write to the directory.
 */
export async function keepPrivate(path: string): Promise<void> {
  const { uid, mode } = await attempt(`look at ${path}`, () => stat(path));
  if (uid === process.geteuid?.()) {
    if (mode & everyoneElse) await attempt(`keep others out of ${path}`, () => chmod(path, 0o700));
  } else if (uid !== 0) {
    throw foreign(path, `belongs to user ${uid}`);
  } else if (mode & writableToOthers) {
    throw foreign(path, 'is root’s and writable to others');
  }
}

function foreign(path: string, how: string): LoadBalancerError {
  return new LoadBalancerError(
    'ERR_BPF_PERMISSION',
    `stateDir: ${path} ${how}, who could exchange what is pinned there: ` +
      `give it to user ${process.geteuid?.()} with mode 0700, or choose another.`,
  );
}
