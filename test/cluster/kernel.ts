import { statSync } from 'node:fs';

import { bpftool } from '../support/bpftool';
import { run } from '../support/cluster/shell';

/* What the kernel says is attached, through Debian's tools. */

interface BpfLink {
  id: number;
  type: string | number;
  prog_id: number;
  cgroup_id?: number;
}

interface BpfProgram {
  id: number;
  name?: string;
  tag: string;
  map_ids?: number[];
}

/** Names of the programs attached to a cgroup. */
export function programsAtCgroup(cgroup: string): string[] {
  return bpftool<{ name: string }>('cgroup', 'show', cgroup)
    .map(({ name }) => name)
    .sort();
}

/** What stands for the instructions of the programs attached to a cgroup. */
export function tagsAtCgroup(cgroup: string): string[] {
  const attached = bpftool<{ id: number }>('cgroup', 'show', cgroup).map(({ id }) => id);
  return bpftool<BpfProgram>('prog', 'show')
    .filter(({ id }) => attached.includes(id))
    .map(({ tag }) => tag)
    .sort();
}

/** The id of the link that holds a program on a cgroup. */
export function linkAtCgroup(cgroup: string, program: string): number | undefined {
  const cgroupId = statSync(cgroup).ino;
  const programs = bpftool<BpfProgram>('prog', 'show').filter(({ name }) => name === program);
  return bpftool<BpfLink>('link', 'show').find(
    (link) => link.cgroup_id === cgroupId && programs.some(({ id }) => id === link.prog_id),
  )?.id;
}

/** Names of the programs that a LoadBalancer has on devices, one for each link; found by the maps they share. */
export function programsOnDevicesOf(cgroup: string): string[] {
  const programs = bpftool<BpfProgram>('prog', 'show');
  const own = bpftool<{ id: number }>('cgroup', 'show', cgroup).map(({ id }) => id);
  const maps = new Set(programs.filter(({ id }) => own.includes(id)).flatMap(({ map_ids }) => map_ids ?? []));
  return bpftool<BpfLink>('link', 'show')
    .filter(({ type }) => type !== 'cgroup')
    .flatMap(({ prog_id }) => programs.find(({ id }) => id === prog_id) ?? [])
    .filter(({ map_ids }) => map_ids?.some((id) => maps.has(id)))
    .map(({ name }) => name ?? '')
    .sort();
}

/** Takes a program off its hook behind the back of its owner. */
export function detachLink(id: number): void {
  run(['bpftool', 'link', 'detach', 'id', String(id)]);
}

/** Removes every element of a map of the LoadBalancer that serves a cgroup, as an LRU does that needs the room. */
export function evictAll(cgroup: string, map: string): number {
  const own = bpftool<{ id: number }>('cgroup', 'show', cgroup).map(({ id }) => id);
  const programs = bpftool<BpfProgram>('prog', 'show').filter(({ id }) => own.includes(id));
  const maps = new Set(programs.flatMap(({ map_ids }) => map_ids ?? []));
  const found = bpftool<{ id: number; name?: string }>('map', 'show').find(
    ({ id, name }) => name === map && maps.has(id),
  );
  const elements = bpftool<{ key: string[] }>('map', 'dump', 'id', String(found?.id));
  for (const { key } of elements) {
    const bytes = key.map((byte) => byte.replace('0x', ''));
    run(['bpftool', 'map', 'delete', 'id', String(found?.id), 'key', 'hex', ...bytes]);
  }
  return elements.length;
}
