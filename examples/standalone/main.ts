/*
 * A load balancer for a host without Kubernetes: serves what a YAML file says (services.yaml explains its form), and
 * follows the file. As root:
 *
 *     node --import tsx examples/standalone/main.ts services.yaml --device eth0
 *
 *     --device NAME     serve what arrives on it; a name, a prefix (eth+), an exclusion (!eth9); may be repeated.
 *                       Default auto: the devices of the host's own network. Name those of containers, too (veth+).
 *     --cgroup DIR      translate the sockets of these processes only
 *     --state-dir DIR   on bpffs: what serves is kept there
 *     --keep            on SIGTERM and SIGINT leave everything serving; a later start with the same --state-dir takes over
 *
 * A file that cannot be used changes nothing: what is wrong is logged, with the line. It may be written in place, or
 * replaced by rename, as editors and configuration management do, or by a link, as the kubelet does. Prefer rename:
 * a file that is read half-written may be well-formed and lack services.
 *
 * Prints one JSON object a line: `applied` {added, changed, removed, unchanged}, `rejected` {message, line}, ...
 * Ends with 1 when the file cannot be used at the start, or the host cannot serve.
 */
import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { LoadBalancer } from 'bpf-lb';

import { FileError, parseServices, type ServicesFile } from './services-file';

/** Milliseconds without a further change of the directory, after which the file is read. */
const quiet = 100;

function log(level: 'info' | 'error', event: string, details: object = {}): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...details })}\n`);
}

function logError(event: string, error: unknown): void {
  const { message, code } = error as NodeJS.ErrnoException;
  log('error', event, { message, code, ...(error instanceof FileError ? { line: error.line } : {}) });
}

/** Makes the services those of the file; changes nothing and throws when some of them cannot be. */
async function serve(lb: LoadBalancer, file: ServicesFile): Promise<void> {
  const { services } = file;
  const [failure] = lb.plan(services).failed;
  if (failure) {
    const [name, { message }] = failure;
    const culprit = services.findLastIndex((spec, i) => spec.name === name || `desired[${i}]` === name);
    throw new FileError(message, file.lineOf(culprit, message));
  }
  const { added, changed, removed, unchanged } = await lb.apply(services);
  log('info', 'applied', { added, changed, removed, unchanged });
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      device: { type: 'string', multiple: true, default: ['auto'] },
      cgroup: { type: 'string' },
      'state-dir': { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  const { device, cgroup, 'state-dir': stateDir, keep } = values;
  const [file] = positionals;
  if (file === undefined) throw new Error('Name the file with the services.');
  if (keep && stateDir === undefined) throw new Error('--keep needs --state-dir.');

  let text = await readFile(file, 'utf8');
  const first = parseServices(text);
  const lb = await LoadBalancer.open({
    devices: device,
    ...(cgroup === undefined ? {} : { cgroup }),
    ...(stateDir === undefined ? {} : { stateDir }),
  });
  lb.on('devicesFailed', (error) => logError('devicesFailed', error));
  const reload = async () => {
    try {
      const before = text;
      text = await readFile(file, 'utf8');
      if (text !== before) await serve(lb, parseServices(text));
    } catch (error) {
      logError('rejected', error);
    }
  };
  try {
    await serve(lb, first);
    let reloading = Promise.resolve();
    const timer = setTimeout(() => void (reloading = reloading.then(reload)), quiet);
    /* The directory, because a file that is replaced by another is not watched any more. */
    const watcher = watch(path.dirname(file), () => timer.refresh());
    watcher.on('error', (error) => logError('watchFailed', error));
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
    });
    watcher.close();
    clearTimeout(timer);
    await reloading;
    await lb.close({ keep });
    log('info', 'closed', { kept: keep });
  } finally {
    await lb.close();
  }
}

main().catch((error: unknown) => {
  logError('failed', error);
  process.exitCode = 1;
});
