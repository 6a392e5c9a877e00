import type { OpenOptions } from '../../lib/options';
import { type Query, type SimulatedQuery, Simulator, type Verdict } from '../../lib/simulator';
import type { ServiceSpec } from '../../lib/spec';
import { type ModelNode, routeTo } from '../support/model';
import type { Action, Planned, Question } from './case';
import { type Answered, Difference, type Outcome, type Player, type Seen } from './compare';
import { modelNode } from './topology';

/** Small tables, which are quickly made. */
const capacity = { frontends: 1023, backends: 8192, flows: 1024, sockets: 1024, maglevSlots: 65_536 };

/** The node of the fuzz in the simulator. */
export class Simulation implements Player {
  readonly #options: OpenOptions;
  #node: ModelNode;
  #simulator: Simulator;
  #services: readonly ServiceSpec[] = [];
  #extra: readonly string[] = [];
  #asked = 0;

  private constructor(options: OpenOptions, simulator: Simulator) {
    this.#options = options;
    this.#node = modelNode(options, []);
    this.#simulator = simulator;
  }

  static async open(options: OpenOptions): Promise<Simulation> {
    return new Simulation(options, await simulate(modelNode(options, [])));
  }

  async play(planned: readonly Planned[]): Promise<Outcome[]> {
    await this.#reset();
    const outcomes: Outcome[] = [];
    for (const plan of planned) {
      const { action } = plan;
      if (action.kind === 'ask')
        outcomes.push({ seen: action.questions.map((question) => this.#draw(question)) });
      else outcomes.push(await this.#change(action, 'refusals' in plan ? plan.services : []));
    }
    return outcomes;
  }

  /**
   * Plays what the kernel has played, and fails where the kernel did what the simulator says it would not do. Returns how
   * many answers were compared.
   */
  async follow(planned: readonly Planned[], outcomes: readonly Outcome[]): Promise<number> {
    await this.#reset();
    let compared = 0;
    for (const [i, plan] of planned.entries()) {
      const { action } = plan;
      if (action.kind !== 'ask') {
        await this.#change(action, 'refusals' in plan ? plan.services : []);
        continue;
      }
      const { seen, ports } = outcomes[i] as Answered;
      for (const [n, question] of action.questions.entries()) {
        if (question.query.middle === true) continue;
        this.#check(question, seen[n] ?? [], ports?.[n]);
        compared++;
      }
    }
    return compared;
  }

  #check(question: Question, seen: readonly Seen[], fromPort: number | undefined): void {
    const verdict = this.#simulator.simulate({ ...queryOf(question), ...(fromPort && { fromPort }) });
    const simulated = this.#seenOf(question, verdict);
    const algorithm = this.#services.find(({ name }) => name === verdict.service)?.algorithm;
    const affinity = verdict.affinity !== 'none';
    /* The client's address and port say where Maglev leads. */
    const exact = question.draws === 1 && !affinity && 'device' in question.query;
    const told = exact && (algorithm ?? this.#options.algorithm) === 'maglev';
    const fits = (one: Seen) => {
      if (one.verdict !== 'forward' || simulated.verdict !== 'forward')
        return one.verdict === simulated.verdict;
      if (told) return one.backend === simulated.backend && one.snat === simulated.snat;
      return verdict.candidates.includes(one.backend);
    };
    if (!seen.every(fits)) {
      throw new Difference(
        `${JSON.stringify(question)}, from port ${fromPort}\n  simulator: ${JSON.stringify(verdict)}\n` +
          `  kernel: ${JSON.stringify(seen)}`,
      );
    }
  }

  async #reset(): Promise<void> {
    this.#asked = 0;
    if (this.#extra.length > 0) {
      this.#extra = [];
      await this.#reopen();
    }
    this.#services = [];
    this.#simulator.apply([]);
  }

  /** A simulated node does not change. */
  async #reopen(): Promise<void> {
    this.#node = modelNode(this.#options, this.#extra);
    this.#simulator = await simulate(this.#node);
    this.#simulator.apply(this.#services);
  }

  async #change(
    action: Exclude<Action, { kind: 'ask' }>,
    services: readonly ServiceSpec[],
  ): Promise<Outcome> {
    let forgotten = false;
    try {
      switch (action.kind) {
        case 'upsert':
          this.#simulator.upsertService(action.service);
          break;
        case 'apply':
          this.#simulator.apply(action.services);
          break;
        case 'delete':
          this.#simulator.deleteService(action.name);
          break;
        case 'address':
          this.#extra = action.present
            ? [...this.#extra, action.address]
            : this.#extra.filter((address) => address !== action.address);
          await this.#reopen();
          forgotten = true;
          break;
      }
    } catch (error) {
      return { code: (error as { code?: string }).code ?? String(error) };
    }
    this.#services = services;
    return { code: undefined, forgotten };
  }

  /** Asks as often as is wanted; the same question with the same numbers twice has to have the same answer. */
  #draw(question: Question): Seen[] {
    const seen = new Map<string, Seen>();
    for (let n = 0; n < question.draws; n++) {
      const seed = BigInt(++this.#asked) * 0x9e3779b97f4a7c15n;
      const query: SimulatedQuery = { ...queryOf(question), seed, fromPort: 1024 + (this.#asked % 60_000) };
      const [once, again] = [this.#simulator.simulate(query), this.#simulator.simulate(query)];
      if (JSON.stringify(once) !== JSON.stringify(again))
        throw new Difference(`the same question twice: ${JSON.stringify(once)} and ${JSON.stringify(again)}`);
      this.#simulator.simulate({ ...query, commit: true });
      const one = this.#seenOf(question, once);
      seen.set(JSON.stringify(one), one);
    }
    return [...seen.values()];
  }

  /** A simulated node has no routes: what they decide is added here. */
  #seenOf({ query }: Question, { verdict, reason, backend, candidates, snat }: Verdict): Seen {
    if (verdict === 'forward') {
      if (backend === undefined || !candidates.includes(backend))
        return { verdict: 'broken', detail: `${backend} is none of ${candidates.join()}` };
      const address = backend.replace(/:\d+$/, '').replace(/[[\]]/g, '');
      const leaves = routeTo(this.#node, address)?.selected === true;
      return { verdict, backend, snat: snat && leaves, candidates };
    }
    if (reason === 'unserved-port' && 'device' in query) {
      const way = routeTo(this.#node, query.to);
      if (way && way.name !== query.device) return { verdict: 'untouched' };
    }
    return { verdict };
  }
}

function simulate({ devices, options }: ModelNode): Promise<Simulator> {
  const node = {
    devices: devices.map(({ name, selected, addresses }) => ({ name, selected, addresses })),
  };
  return Simulator.open({ ...options, node, capacity });
}

function queryOf({ query }: Question): Query {
  const { from, to, port, protocol } = query;
  const common = { from, to, port, protocol };
  return 'device' in query
    ? { ...common, device: query.device }
    : { ...common, socket: { hostNetwork: query.socket === 'host' } };
}
