import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Cleanup } from '../support/cleanup';
import { run } from '../support/cluster/shell';

/** Compiles and loads the program that refuses connect() over IPv4; returns where it is pinned until the cleanup. */
export function loadForeignProgram(cleanup: Cleanup): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-test-'));
  cleanup.add(() => rmSync(directory, { recursive: true }));
  run(['mount', '-t', 'bpf', '--make-private', 'bpffs', directory]);
  cleanup.add(() => run(['umount', directory]));
  const object = path.join(mkdtempSync(path.join(tmpdir(), 'bpf-lb-test-')), 'foreign.o');
  cleanup.add(() => rmSync(path.dirname(object), { recursive: true }));
  const source = path.join(__dirname, 'foreign-sockets.bpf.c');
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  run(['clang-19', '-target', 'bpf', '-O2', '-g', '-idirafter', include, '-c', source, '-o', object]);
  const pin = path.join(directory, 'refuse');
  run(['bpftool', 'prog', 'load', object, pin, 'type', 'cgroup/connect4']);
  return pin;
}

/** Attaches it to a cgroup; returns what detaches it. The cleanup does, too. */
export function attachForeign(
  cleanup: Cleanup,
  cgroup: string,
  pin: string,
  flag: 'multi' | 'override' | undefined,
): () => void {
  run(['bpftool', 'cgroup', 'attach', cgroup, 'connect4', 'pinned', pin, ...(flag ? [flag] : [])]);
  let attached = true;
  const detach = () => {
    if (attached) run(['bpftool', 'cgroup', 'detach', cgroup, 'connect4', 'pinned', pin]);
    attached = false;
  };
  cleanup.add(detach);
  return detach;
}
