import { cgroupMount } from '../support/cluster/cgroup';
import type { ControlPlaneCase } from './control-plane/case';
import { runControlPlane } from './control-plane';
import type { Datapath } from './datapath';
import { KernelDatapath } from './kernel-run';
import type { Mode, PacketFlowCase } from './packet-flow-case';
import { runPacketFlows } from './packet-flows';
import type { Report } from './report';
import { SimulatedDatapath } from './simulator-run';

/** How cases are run. */
export interface RunOptions {
  /** Through the simulator, or through the programs of this kernel: needs root, and cgroup v2. */
  readonly kernel: boolean;
  readonly mode: Mode;
  readonly report: Report;
}

/** Runs the cases of a file, of packet flows or of the control plane. Throws when it is neither. */
export async function run(cases: unknown, { kernel, mode, report }: RunOptions): Promise<void> {
  if (isList(cases) && cases.every((one) => Array.isArray(one.flows))) {
    if (kernel && process.getuid?.() !== 0) throw new Error('--kernel needs root');
    if (kernel && cgroupMount() === undefined) throw new Error('--kernel needs a cgroup v2 mount');
    const datapath: Datapath = kernel ? new KernelDatapath() : new SimulatedDatapath();
    try {
      await runPacketFlows(cases as unknown as PacketFlowCase[], datapath, mode, report);
    } finally {
      await datapath.close();
    }
  } else if (isList(cases) && cases.every((one) => typeof one.kind === 'string')) {
    await runControlPlane(cases as unknown as ControlPlaneCase[], report);
  } else {
    throw new Error('neither a list of cases with flows, nor one of cases with a kind');
  }
}

function isList(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'object' && one !== null);
}
