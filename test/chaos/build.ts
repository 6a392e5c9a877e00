import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { run } from '../support/cluster/shell';

const root = path.join(__dirname, '..', '..');
const folder = path.join(root, 'build', 'chaos');

/** The load generator, once it is compiled. */
export const loadProgram = path.join(folder, 'load');

/** Where an addon with other programs is, once it is built. */
export const variant = path.join(root, 'build', 'variant');

export function compileLoad(): void {
  mkdirSync(folder, { recursive: true });
  run(['cc', '-O2', '-Wall', '-o', loadProgram, path.join(__dirname, 'load.c')]);
}

/** Does nothing if it has been built from this build of the addon. */
export function buildVariant(): void {
  run(['bash', path.join(root, 'scripts', 'build-variant.sh')], '', 300_000);
}
