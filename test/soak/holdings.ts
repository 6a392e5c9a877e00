import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What a process holds, of the kernel and of its own. */
export interface Holdings {
  /** Programs, maps and links: file descriptors and memory mappings of them. */
  readonly bpf: number;
  readonly descriptors: number;
  readonly threads: number;
  /** Bytes. */
  readonly rss: number;
}

const isBpf = (name: string) => /bpf[-_](map|prog|link)/.test(name);

/** Of this process, now. */
export function holdings(): Holdings {
  global.gc?.();
  const descriptors = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the one that the listing itself took
    }
  });
  const mappings = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    bpf: descriptors.filter(isBpf).length + mappings.filter(isBpf).length,
    descriptors: descriptors.length,
    threads: readdirSync('/proc/self/task').length,
    rss: process.memoryUsage.rss(),
  };
}
