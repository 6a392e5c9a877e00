import type { SyncTarget } from '../../lib/kubernetes';
import { Simulator, type Verdict } from '../../lib/simulator';
import { type Answer, type Datapath, distinct, drawsFor, type Question, type Seen } from './datapath';
import { devices, type NodeSettings, podDevice } from './node';

/** Asks the simulator. */
export class SimulatedDatapath implements Datapath {
  #simulator: Simulator | undefined;

  async open(settings: NodeSettings): Promise<SyncTarget> {
    const { addresses, options } = settings;
    const simulator = await Simulator.open({
      ...options,
      capacity: { frontends: 1023, backends: 8192 },
      node: {
        devices: [
          { name: devices.clients, addresses },
          { name: devices.others },
          { name: podDevice(settings) },
        ],
      },
    });
    this.#simulator = simulator;
    return {
      apply: (desired) => Promise.resolve().then(() => simulator.apply(desired)),
      upsertService: (spec) => Promise.resolve().then(() => simulator.upsertService(spec)),
      deleteService: (name) => Promise.resolve().then(() => simulator.deleteService(name)),
    };
  }

  ask(questions: readonly Question[]): Promise<Answer[]> {
    return Promise.resolve(questions.map((question) => this.#ask(question)));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Seeds are counted up, so that every run sees the same. */
  #ask({ asker, from, to, port, protocol, backends }: Question): Answer {
    const simulator = this.#simulator;
    if (!simulator) throw new Error('it is not open');
    const who =
      asker.kind === 'packet' ? { device: asker.device } : { socket: { hostNetwork: asker.of === 'node' } };
    const draw = (seed: number) => simulator.simulate({ ...who, from, to, port, protocol, seed });
    const verdicts = Array.from({ length: drawsFor(backends + 1) }, (_, seed) => draw(seed));
    return {
      seen: distinct(verdicts.map((verdict) => seenOf(verdict, asker.kind))),
      offered: verdicts[0]?.candidates ?? [],
    };
  }
}

/** The kit's node has somewhere else to send what is asked of another port of an address of frontends. */
function seenOf({ verdict, reason, backend, snat }: Verdict, kind: Question['asker']['kind']): Seen {
  if (reason === 'unserved-port') return { verdict: 'untouched' };
  if (verdict !== 'forward') return { verdict };
  if (backend === undefined) return { verdict: 'broken', detail: 'forwarded to nobody' };
  return kind === 'packet' ? { verdict, backend, snat } : { verdict, backend };
}
