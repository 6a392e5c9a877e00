import { MaglevLimit } from '../abi';
import { ApplyRun } from '../apply';
import { defineDesired, DesiredServices } from '../desired-services';
import { deviceTables, tableChange, wildcardAddresses } from '../device-tables';
import type { Outside } from '../exposure';
import type { Options } from '../options';
import { type Plan, planServices } from '../plan';
import { serviceCIDROperations } from '../service-cidrs';
import { isInternal } from '../internal-service';
import { ServiceTable } from '../service-table';
import { settingsOperation } from '../settings';
import type { ServiceSpec } from '../spec';
import { Transaction } from '../transaction';
import { DecisionModule } from './decision-module';
import { Explainer } from './explainer';
import { MemoryTables } from './memory-tables';
import { parseNode, parsePolicyOptions, type SimulatorOptions } from './options';
import { parseQuery, type Query } from './query';
import type { Verdict } from './verdict';

/** What {@link Simulator.simulate} takes. */
export type SimulatedQuery = Query & {
  /** Keep what the connection would leave behind: session affinity, which later queries see. Default false. */
  commit?: boolean;
};

/**
 * A node that does not exist: says what bpf-lb would do with a packet or with a call to connect(), by the code that the
 * kernel would run (compiled to WebAssembly), on the tables that the library would write. Needs neither Linux nor root.
 *
 * It answers for the first packet of a flow. What depends on the node's routes is told by the rule: see {@link
 * Verdict}.
 */
export class Simulator {
  readonly #options: Options;
  readonly #module: DecisionModule;
  readonly #tables: MemoryTables;
  readonly #services: ServiceTable;
  readonly #outside: Outside;
  readonly #ifindexes: ReadonlyMap<string, number>;
  #explainer: Explainer;

  private constructor(options: SimulatorOptions) {
    this.#options = parsePolicyOptions(options);
    const { policy, capacity, serviceCIDRs } = this.#options;
    const { devices, addresses } = parseNode(options.node, this.#options);
    this.#module = new DecisionModule();
    this.#tables = new MemoryTables(
      this.#module,
      {
        backends: capacity.backends,
        maglev: Math.ceil(capacity.maglevSlots / MaglevLimit.SLOTS_PER_WORD),
        ports: 1,
        networks: 1,
        settings: 1,
      },
      capacity.affinities,
      options.now ?? (() => performance.now() / 1000),
    );
    this.#services = new ServiceTable(capacity, new Set(addresses.keys()), 0, policy);
    this.#tables.commit([
      settingsOperation(this.#options, 0n),
      ...serviceCIDROperations(serviceCIDRs, this.#services.networkHints),
      ...tableChange(new Map(), deviceTables(devices, addresses, false)),
    ]);
    this.#ifindexes = new Map(devices.map(({ name, ifindex }) => [name, ifindex]));
    this.#outside = {
      externalClusterIP: policy.externalClusterIP,
      externalDevices: devices.filter(({ role }) => role === 'external').map(({ name }) => name),
      wildcardAddresses: (type, family) => wildcardAddresses(addresses, type, family),
    };
    this.#explainer = this.#newExplainer();
  }

  /**
   * Rejects with `ERR_BPF_INVALID_OPTION` and `ERR_BPF_INVALID_ADDRESS`, and with `ERR_BPF_UNSUPPORTED` when the
   * package is not complete.
   */
  static async open(options: SimulatorOptions = {}): Promise<Simulator> {
    return Promise.resolve().then(() => new Simulator(options));
  }

  /** Makes the services exactly the desired ones. Throws `ERR_BPF_APPLY` as `LoadBalancer.apply` rejects with it. */
  apply(desired: Iterable<ServiceSpec>): Plan {
    const wanted = new DesiredServices(this.#options.snatPorts);
    for (const spec of desired) wanted.add(spec);
    wanted.settle(this.#services);
    const plan = planServices(wanted, this.#services, this.#outside);
    const run = new ApplyRun(wanted, this.#services);
    const steps = run.steps();
    for (let next = steps.next(); !next.done;) next = steps.next(this.#tryChange(next.value.stage));
    run.finish();
    return plan;
  }

  /** Adds or changes a service. Throws what `LoadBalancer.upsertService` rejects with; then nothing has changed. */
  upsertService(spec: ServiceSpec): void {
    this.#change((tx) => tx.put(defineDesired(spec, this.#options.snatPorts)));
  }

  /** Returns false when there is no such service. */
  deleteService(name: string): boolean {
    if (typeof name !== 'string' || isInternal(name)) return false;
    return this.#change((tx) => tx.remove(name));
  }

  /**
   * Says what becomes of a packet or of a connection. Changes nothing, unless it is told to: a simulated client with
   * session affinity is a new one each time.
   *
   * Throws `ERR_BPF_INVALID_ADDRESS`, `ERR_BPF_INVALID_PORT`, `ERR_BPF_INVALID_PROTOCOL` and `ERR_BPF_INVALID_OPTION`.
   */
  simulate(query: SimulatedQuery): Verdict {
    const parsed = parseQuery(query, (device) => this.#ifindexes.get(device) ?? 0);
    const verdict = this.#explainer.explain(parsed);
    if (query.commit) for (const write of this.#module.writes()) this.#tables.keep(write);
    return verdict;
  }

  #newExplainer(): Explainer {
    return new Explainer(this.#module, this.#tables, this.#services, this.#options.socketLB);
  }

  /** Returns why it cannot be. */
  #tryChange(stage: (tx: Transaction) => void): unknown {
    try {
      this.#change(stage);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** No program looks at the tables meanwhile: what was retired can be used again at once. */
  #change<T>(stage: (tx: Transaction) => T): T {
    const tx = new Transaction(this.#services);
    try {
      const result = stage(tx);
      this.#tables.commit(tx.operations());
      tx.accept();
      this.#explainer = this.#newExplainer();
      return result;
    } catch (error) {
      tx.abandon();
      throw error;
    } finally {
      this.#services.reuse(this.#services.takeRetired());
    }
  }
}
