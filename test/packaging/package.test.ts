import assert from 'node:assert/strict';
import { readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { packAndInstall, root, run, userEnvironment, type Packed } from './packed';

/** Prints which exports are the same object when required and when imported. */
const compareExports = `
  const required = require('bpf-lb');
  import('bpf-lb').then((imported) => {
    const names = [...new Set([...Object.keys(required), ...Object.keys(imported)])];
    console.log(JSON.stringify(names.map((name) => [name, typeof required[name], required[name] === imported[name]])));
  });
`;

/** Loads the addon, which the library does on first use only, and prints where it was found. */
const whichAddon = `
  const directory = require('node:path').dirname(require.resolve('bpf-lb/package.json'));
  require(directory + '/dist/native.js').loadNative();
  console.log(Object.keys(require.cache).find((file) => file.endsWith('.node')).slice(directory.length + 1));
`;

/** Uses the entries that are for every system, and prints which addons were loaded for that. */
const withoutAddon = `
  const kubernetes = require('bpf-lb/kubernetes');
  const { Simulator } = require('bpf-lb/simulator');
  const service = {
    name: 'web',
    frontends: [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }],
    backends: [{ address: '10.0.0.1', port: 80 }],
  };
  Simulator.open().then((simulator) => {
    simulator.apply([service]);
    const query = { from: '10.0.0.2', to: '10.96.0.1', port: 80, socket: true };
    const addons = Object.keys(require.cache).filter((file) => file.endsWith('.node'));
    console.log(JSON.stringify([simulator.simulate(query).backend, typeof kubernetes, addons]));
  });
`;

/** What a process on another system sees: the main entry loads there, to say what is wrong when it is used. */
const elsewhere = `
  Object.defineProperty(process, 'platform', { value: 'darwin' });
  const { LoadBalancer, LoadBalancerError } = require('bpf-lb');
  LoadBalancer.open().catch((error) => {
    console.log(JSON.stringify([error instanceof LoadBalancerError, error.code, error.message]));
  });
`;

describe('the npm package', function () {
  this.timeout(300_000);

  let packed: Packed;
  let files: string[];

  before(async () => {
    packed = await packAndInstall();
    const entries = await readdir(packed.installed, { recursive: true, withFileTypes: true });
    files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(packed.installed, path.join(entry.parentPath, entry.name)))
      .filter((file) => !file.startsWith('node_modules/'));
  });

  after(() => packed?.remove());

  const inApp = async (script: string): Promise<string> => {
    const options = { cwd: packed.app, env: userEnvironment() };
    return (await run(process.execPath, ['--eval', script], options)).stdout.trim();
  };

  it('installs without a compiler and without a warning', () => {
    assert.doesNotMatch(packed.output, /warn|error|deprecated/i);
  });

  it('gives the same objects to require() and to import', async () => {
    const names = JSON.parse(await inApp(compareExports)) as [string, string, boolean][];
    assert.ok(names.some(([name, type]) => name === 'LoadBalancer' && type === 'function'));
    assert.deepEqual(
      names.filter(([, , same]) => !same),
      [],
    );
  });

  it('loads the prebuilt addon', async () => {
    assert.equal(await inApp(whichAddon), `prebuilds/linux-${process.arch}/bpf-lb.glibc.node`);
  });

  it('is for every system: the simulator and the translation of Kubernetes need no addon', async () => {
    const manifest = await readFile(path.join(packed.installed, 'package.json'), 'utf8');
    const { os, cpu } = JSON.parse(manifest) as Record<string, unknown>;
    assert.deepEqual([os, cpu], [undefined, undefined]);
    assert.deepEqual(JSON.parse(await inApp(withoutAddon)), ['10.0.0.1:80', 'object', []]);
  });

  it('says on other systems that a LoadBalancer needs Linux', async () => {
    const [typed, code, message] = JSON.parse(await inApp(elsewhere)) as [boolean, string, string];
    assert.deepEqual([typed, code], [true, 'ERR_BPF_UNSUPPORTED']);
    assert.match(message, /needs Linux; this is darwin/);
  });

  it('needs nothing of the system but libc and libgcc_s', async () => {
    const addon = path.join(packed.installed, `prebuilds/linux-${process.arch}/bpf-lb.glibc.node`);
    const { stdout } = await run('readelf', ['--dynamic', '--wide', addon]);
    const needed = [...stdout.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, library]) => library);
    assert.deepEqual(
      needed.filter((library) => !/^(libc|libgcc_s|ld-linux-.+)\.so\.\d+$/.test(String(library))),
      [],
    );
  });

  it('holds what a build from source, a licence and a type check need', () => {
    const expected = [
      'CHANGELOG.md',
      'LICENSE',
      'LICENSES/BSD-2-Clause.txt',
      'LICENSES/GPL-2.0-only.txt',
      'NOTICE',
      'README.md',
      'binding.gyp',
      'bpf/LICENSE',
      'bpf/abi.h',
      'bpf/wasm/simulator.c',
      'dist/index.d.mts',
      'dist/index.d.ts',
      'dist/index.js',
      'dist/index.mjs',
      'dist/kubernetes/index.d.mts',
      'dist/kubernetes/index.mjs',
      'dist/simulator/index.d.mts',
      'dist/simulator/index.mjs',
      'native/generated/bpf_lb.skel.h',
      'native/src/addon.cc',
      'native/vendor/elfutils/COPYING',
      'native/vendor/elfutils/COPYING-GPLV2',
      'native/vendor/elfutils/COPYING-LGPLV3',
      'native/vendor/elfutils/libelf/elf_begin.c',
      'native/vendor/libbpf/LICENSE.BSD-2-Clause',
      'native/vendor/libbpf/LICENSE.LGPL-2.1',
      'native/vendor/libbpf/src/libbpf.c',
      'prebuilds/wasm/simulator.wasm',
      'types/native.d.ts',
    ];
    assert.deepEqual(
      expected.filter((file) => !files.includes(file)),
      [],
    );
  });

  it('holds no tests, no leftovers of a build and no path of the machine it was made on', async () => {
    assert.deepEqual(
      files.filter((file) =>
        /(^|\/)(test|bench|examples|build|vendor-cache)\/|\.test\.|\.o$|(^|\/)\./.test(file),
      ),
      [],
    );
    const telling: string[] = [];
    for (const file of files) {
      if ((await readFile(path.join(packed.installed, file))).includes(`${root}/`)) telling.push(file);
    }
    assert.deepEqual(telling, []);
  });

  it('is smaller than 3 MiB', async () => {
    assert.ok((await stat(packed.tarball)).size < 3 * 1024 * 1024);
  });

  it('has entry points that publint accepts', async () => {
    await run('npx', ['publint', 'run', packed.tarball, '--strict'], { cwd: root });
  });

  it('has types that resolve for every module system', async () => {
    await run('npx', ['attw', packed.tarball], { cwd: root });
  });

  it('has a section of the changelog for its version', async () => {
    const { version } = JSON.parse(await readFile(path.join(packed.installed, 'package.json'), 'utf8')) as {
      version: string;
    };
    const changelog = await readFile(path.join(packed.installed, 'CHANGELOG.md'), 'utf8');
    assert.ok(changelog.includes(`\n## [${version}]`));
  });

  it('can be rebuilt from source where it is installed', async () => {
    await run('npm', ['explore', 'bpf-lb', '--', 'npm', 'run', 'rebuild'], { cwd: packed.app });
    assert.equal(await inApp(whichAddon), 'build/Release/bpf_lb.node');
  });
});
