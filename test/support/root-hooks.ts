import { sweepBpffs } from './cluster/bpffs';
import { sweepCgroups } from './cluster/cgroup';
import { sweepNamespaces } from './cluster/namespace';
import { removeSharedCluster } from './cluster/suite';

/** Mocha's root hooks: nothing stays after the last test, and what a killed run left goes with the next one. */
export const mochaHooks = {
  beforeAll(): void {
    if (process.getuid?.() !== 0) return;
    sweepNamespaces();
    sweepCgroups();
    sweepBpffs();
  },
  afterAll: removeSharedCluster,
};
