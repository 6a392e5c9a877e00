import { formatEndpoint } from './address';
import type { BackendConnections } from './connections';
import type { BackendReference, DrainOptions, Drains } from './drains';
import { wildcardAddress } from './frontend-key';
import type { BackendDefinition, FrontendDefinition, ServiceDefinition } from './service-definition';
import type { RebalanceOptions, Rebalancing, ResetConnections } from './rebalancing';
import { rampSteps } from './slow-start';
import type { BackendState, FrontendType, Protocol, ServiceSpec, TrafficPolicy } from './spec';
import type { ServiceRecord } from './table-image';

/** Properties that replace those of a service. */
export type ServiceChanges = Partial<Omit<ServiceSpec, 'name'>>;

/** What the live objects need from their LoadBalancer. */
export interface ServiceOwner {
  record(name: string): ServiceRecord | undefined;
  updateService(name: string, changes: ServiceChanges): Promise<void>;
  deleteService(name: string): Promise<boolean>;
  readonly drains: Pick<Drains, 'drain' | 'undrain' | 'connections'>;
  readonly rebalancing: Pick<Rebalancing, 'rebalance'>;
}

/** A frontend as it is served now. */
export interface Frontend {
  /** Identifies the table entry for as long as the service has the frontend. */
  readonly id: number;
  readonly type: FrontendType;
  /** Canonical; for a wildcard `0.0.0.0` or `::`. */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
}

/** A backend of a service, as it was when it was read. */
export class Backend {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly state: BackendState;
  /** Runs on this node. */
  readonly local: boolean;
  /** Offered where the traffic policy is Cluster. */
  readonly clusterWide: boolean;
  /** Given no new connections, whatever its state: see {@link Service.drain}. */
  readonly draining: boolean;
  /** What counts of its weight: 1, or from 0.1 on during a slow start. */
  readonly share: number;

  /** @internal */
  constructor(definition: BackendDefinition) {
    this.address = definition.address;
    this.port = definition.port;
    this.weight = definition.weight;
    this.state = definition.state;
    this.local = definition.local;
    this.clusterWide = definition.clusterWide;
    this.draining = definition.draining ?? false;
    this.share = (definition.ramp?.step ?? rampSteps) / rampSteps;
  }

  /** `address:port`, as the field writes it. */
  toString(): string {
    return formatEndpoint(this.address, this.port);
  }
}

/**
 * A service by its name. Live: the properties tell what the kernel has now, also after another call has changed the
 * service. After the service was deleted, `exists` is false and the lists are empty.
 */
export class Service {
  readonly name: string;
  readonly #owner: ServiceOwner;

  /** @internal */
  constructor(name: string, owner: ServiceOwner) {
    this.name = name;
    this.#owner = owner;
  }

  get exists(): boolean {
    return this.#record !== undefined;
  }

  get frontends(): readonly Frontend[] {
    const record = this.#record;
    return record ? record.definition.frontends.map((f, i) => frontendOf(f, record.ids[i] as number)) : [];
  }

  get backends(): readonly Backend[] {
    return this.#definition?.backends.map((b) => new Backend(b)) ?? [];
  }

  get externalTrafficPolicy(): TrafficPolicy {
    return this.#definition?.externalTrafficPolicy ?? 'Cluster';
  }

  get internalTrafficPolicy(): TrafficPolicy {
    return this.#definition?.internalTrafficPolicy ?? 'Cluster';
  }

  /** A spec that describes the service as it is. Throws nothing; undefined after deletion. */
  toSpec(): ServiceSpec | undefined {
    const definition = this.#definition;
    return definition && specOf(definition);
  }

  /**
   * Replaces the given properties of the service and keeps the others. Rejects as `upsertService` does, and with
   * `ERR_BPF_INVALID_NAME` when the service is gone.
   */
  async update(changes: ServiceChanges): Promise<this> {
    await this.#owner.updateService(this.name, changes);
    return this;
  }

  /** Resolves with false when the service was gone already. */
  delete(): Promise<boolean> {
    return this.#owner.deleteService(this.name);
  }

  /**
   * Gives the backend no new connections from now on, and waits for those that it has. Resolves with 0 as soon as none is left,
   * else with the number that are open when the deadline has passed. If it is the only backend, connections are refused.
   *
   * It drains until the service is put without it, or until {@link undrain}: other changes of the service keep it so, and so does
   * a process that takes over the `stateDir`. Connections are counted by looking at them: see {@link connections}. Those who
   * wait are rejected when the LoadBalancer is closed.
   *
   * Rejects with the signal's reason when it is aborted, and with `ERR_BPF_INVALID_BACKEND` for a backend that the service does
   * not have, `ERR_BPF_INVALID_NAME` when the service is gone, `ERR_BPF_INVALID_OPTION`, `ERR_BPF_CLOSED` and kernel errors.
   */
  drain(backend: BackendReference, options?: DrainOptions): Promise<number> {
    return this.#owner.drains.drain(this.name, backend, options);
  }

  /** Gives a backend that drains new connections again, with {@link ServiceSpec.slowStart} as if it were new. */
  undrain(backend: BackendReference): Promise<void> {
    return this.#owner.drains.undrain(this.name, backend);
  }

  /**
   * Counts the connections of each backend that are open through this node, also of backends that the service has no more.
   * Looks at every translated socket and every flow, so do not ask many times a second.
   *
   * Rejects with `ERR_BPF_INVALID_NAME` when the service is gone, and with kernel errors.
   */
  connections(): Promise<BackendConnections[]> {
    return this.#owner.drains.connections(this.name);
  }

  /**
   * Resets connections of backends that have more than their share, so that their clients come again and are spread over the
   * backends that there are now. For connections that last, after backends were added. Resolves with what was reset by backend,
   * when none has more than its share and the tolerance, or nothing is left that may be reset.
   *
   * Counts and resets established TCP connections of sockets of this node and its pods: each that was there at the call once at
   * most, the oldest first, and none that came later. Flows of packets, UDP, and connections to backends that are offered no
   * more (draining, terminating, weight 0, removed) are left alone. While it runs, clients that were reset are waited for, up to three
   * seconds after the last one.
   *
   * Rejects with the signal's reason when it is aborted; with `ERR_BPF_INVALID_OPTION` for what is none, for a service with session
   * affinity, which would bring clients back to where they were, and without `socketLB`; with `ERR_BPF_INVALID_NAME` when the service
   * is gone, `ERR_BPF_CLOSED` and kernel errors.
   */
  rebalance(options: RebalanceOptions): Promise<ResetConnections[]> {
    return this.#owner.rebalancing.rebalance(this.name, options);
  }

  get #record(): ServiceRecord | undefined {
    return this.#owner.record(this.name);
  }

  get #definition(): ServiceDefinition | undefined {
    return this.#record?.definition;
  }
}

function frontendOf(definition: FrontendDefinition, id: number): Frontend {
  const { type, address, family, port, protocol } = definition;
  return { id, type, address: address || wildcardAddress[family], port, protocol };
}

/** @internal A spec that describes the service. */
export function specOf(definition: ServiceDefinition): ServiceSpec {
  const wildcards = new Set<string>();
  const frontends = definition.frontends.flatMap(({ type, address, port, protocol }) => {
    if (address) return [{ type, address, port, protocol }];
    /* One frontend of the spec stands for the wildcards of both families. */
    const wildcard = `${port}/${protocol}`;
    if (wildcards.has(wildcard)) return [];
    wildcards.add(wildcard);
    return [{ type, port, protocol }];
  });
  const backends = definition.backends.map(({ address, port, weight, state, local, clusterWide }) => ({
    address,
    port,
    weight,
    state,
    local,
    ...(!clusterWide && { clusterWide }),
  }));
  const { name, externalTrafficPolicy, internalTrafficPolicy, algorithm, maglevTableSize } = definition;
  const { affinityTimeout, sourceRanges, sourceRangesPolicy, slowStart, resetOnRemoval } = definition;
  return {
    name,
    frontends,
    backends,
    externalTrafficPolicy,
    internalTrafficPolicy,
    ...(algorithm && { algorithm }),
    ...(maglevTableSize && { maglevTableSize }),
    ...(affinityTimeout > 0 && { sessionAffinity: 'ClientIP', sessionAffinityTimeout: affinityTimeout }),
    ...(sourceRanges.length > 0 && {
      sourceRanges: sourceRanges.map(({ text }) => text),
      sourceRangesPolicy,
    }),
    ...(slowStart > 0 && { slowStart }),
    ...(resetOnRemoval && { resetOnRemoval }),
  };
}
