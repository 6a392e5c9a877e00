import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export const run = promisify(execFile);
export const root = path.join(__dirname, '../..');

/** The directory that `name` is found in on the path, links resolved. */
async function locate(name: string): Promise<string> {
  const { stdout } = await run('sh', ['-c', `command -v ${name}`]);
  return realpath(stdout.trim());
}

/**
 * The environment of npm as a user of the package has it: without what the npm that runs these tests hands to its
 * scripts, and without this machine's own settings, some of which npm warns about.
 */
export function userEnvironment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|NODE_OPTIONS|INIT_CWD)/i.test(name),
  );
  return { ...Object.fromEntries(inherited), npm_config_userconfig: '/dev/null' };
}

/** The package as it would be published, installed into an empty application. */
export interface Packed {
  /** Of the `.tgz` file. */
  tarball: string;
  /** Unpacked into `app/node_modules/bpf-lb`. */
  installed: string;
  app: string;
  /** What npm said while it installed. */
  output: string;
  remove(): Promise<void>;
}

/**
 * Packs and installs with a path on which there is Node.js, npm and a shell, and nothing else: no compiler, no make,
 * no Python.
 */
export async function packAndInstall(): Promise<Packed> {
  const directory = await mkdtemp(path.join(tmpdir(), 'bpf-lb-packaging-'));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    await run('npm', ['pack', '--pack-destination', directory], { cwd: root });
    const [name] = await readdir(directory);
    if (name === undefined) throw new Error('npm pack made no tarball');
    const tarball = path.join(directory, name);

    const bin = path.join(directory, 'bin');
    await mkdir(bin);
    for (const tool of ['node', 'npm', 'sh']) await symlink(await locate(tool), path.join(bin, tool));

    const app = path.join(directory, 'app');
    await mkdir(app);
    await writeFile(path.join(app, 'package.json'), JSON.stringify({ name: 'app', private: true }));
    const { stdout, stderr } = await run('npm', ['install', '--no-audit', '--no-fund', tarball], {
      cwd: app,
      env: { ...userEnvironment(), PATH: bin },
    });
    return {
      tarball,
      app,
      installed: path.join(app, 'node_modules/bpf-lb'),
      output: stdout + stderr,
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
