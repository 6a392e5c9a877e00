import { LoadBalancer, type OpenOptions } from '../../lib';
import { loadNative } from '../../lib/native';
import { devicePrograms, socketPrograms } from '../../lib/programs';
import { smallCapacity } from '../support/cluster/load-balancer';

const addon = loadNative();

/** Of a run's own. */
export interface Place {
  readonly cgroup: string;
  /** On a bpffs. */
  readonly stateDir: string;
}

async function native({ cgroup }: Place): Promise<void> {
  const keep = 'bpf_lb_recvmsg4';
  const programs = [socketPrograms, devicePrograms.ethernet, devicePrograms.ip].flatMap((all) =>
    Object.keys(all),
  );
  const maps = Object.entries(addon.declaredMaps()).filter(([name]) => /^[a-z0-9]+$/.test(name));
  const large = maps.filter(([, { maxEntries }]) => maxEntries > 4096).map(([name]) => name);
  const datapath = await addon.load({
    maxEntries: Object.fromEntries(large.filter((name) => name !== 'events').map((name) => [name, 1024])),
    skipPrograms: programs.filter((program) => program !== keep),
    reuseMaps: {},
  });
  try {
    const watches = [addon.watchNetwork(() => undefined), datapath.watchRing('events', () => undefined)];
    const link = await datapath.attachCgroup(keep, cgroup);
    const { keySize, valueSize } = datapath.mapInfo('services4');
    const [keys, values] = [new Uint8Array(keySize), new Uint8Array(valueSize)];
    await datapath.commit([{ map: 'services4', kind: 'update', keys, values }]);
    datapath.lookup('services4', keys);
    link.detach();
    for (const watch of watches) watch.close();
  } finally {
    datapath.close();
  }
}

async function serve(options: OpenOptions, keep: boolean): Promise<void> {
  const lb = await LoadBalancer.open({ capacity: smallCapacity, ...options });
  try {
    await lb.upsertService({
      name: 'web',
      frontends: [{ type: 'ClusterIP', address: '10.96.0.1', port: 80 }],
      backends: [{ address: '10.244.0.1', port: 8080 }],
    });
    lb.explain({ socket: true, from: '192.0.2.1', to: '10.96.0.1', port: 80 });
    lb.metrics();
    lb.status();
  } finally {
    await lb.close({ keep });
  }
}

/** What is done again and again, by name. */
export const cycles: Readonly<Record<string, (place: Place) => Promise<void>>> = {
  native,
  open: ({ cgroup }) => serve({ cgroup }, false),
  /* Each takes over what the one before has left. */
  kept: ({ cgroup, stateDir }) => serve({ cgroup, stateDir }, true),
};
