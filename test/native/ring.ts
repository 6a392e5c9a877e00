import fs from 'node:fs';
import path from 'node:path';
import type { Datapath } from '../../types/native';
import { type Cleanup, light, makeBpffs, native, run } from './support';

/** A datapath, and a program beside it that writes into its ring buffer. */
export interface Ring {
  datapath: Datapath;
  /** Writes the next `count` records before it returns. */
  emit: (count: number) => void;
}

/** Compiles ring.bpf.c and lets it use the ring buffer `events` of a datapath. */
export async function makeRing(cleanup: Cleanup): Promise<Ring> {
  const directory = makeBpffs(cleanup);
  const datapath = await native.load(light);
  cleanup.add(() => datapath.close());
  const [map, program] = [path.join(directory, 'events'), path.join(directory, 'emit')];
  datapath.pinMap('events', map);

  const files = fs.mkdtempSync(path.join(path.dirname(directory), 'bpf-lb-test-'));
  cleanup.add(() => fs.rmSync(files, { recursive: true }));
  const [object, packet] = [path.join(files, 'ring.o'), path.join(files, 'packet')];
  const source = path.join(__dirname, 'ring.bpf.c');
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const libbpf = path.join(__dirname, '../../native/vendor/include');
  const includes = ['-isystem', libbpf, '-idirafter', include];
  run('clang-19', '-target', 'bpf', '-O2', '-g', ...includes, '-c', source, '-o', object);
  run('bpftool', 'prog', 'load', object, program, 'map', 'name', 'events', 'pinned', map);
  fs.writeFileSync(packet, new Uint8Array(60));

  return {
    datapath,
    emit: (count) => {
      run('bpftool', 'prog', 'run', 'pinned', program, 'data_in', packet, 'repeat', `${count}`);
    },
  };
}

/** The bytes of the record with this number. */
export function recordOf(number: number): Uint8Array {
  const text = Buffer.from('abcdefghijklmno'.slice(0, number % 16));
  return new Uint8Array([...new Uint8Array(Uint32Array.of(number).buffer), ...text]);
}
