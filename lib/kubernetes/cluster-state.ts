import { isDeepStrictEqual } from 'node:util';

import { LoadBalancerError } from '../errors';
import type { ServiceSpec } from '../spec';
import { defaultAnnotationPrefix } from './annotations';
import { candidateOf } from './candidate';
import { DesiredServices } from './desired-services';
import { readSlice } from './endpoints';
import { type HealthCheck, healthCheckOf } from './health-checks';
import { type PodFacts, readPod } from './host-ports';
import { isReadable, keyOf, referenceOf } from './identity';
import { listOf, objectOf, show, textMapOf, textOf } from './json';
import { isHidden } from './labels';
import { type NodeFacts, readNode } from './node';
import type { Kind, KubernetesObject } from './objects';
import { ServiceIndex, slicesOf } from './service-index';
import { readService } from './service-ports';
import { isServedBy, translate } from './translate';
import { triggerTimeOf } from './trigger-time';
import { Findings, type ObjectReference, type ObjectWarning, WarningBoard } from './warnings';

/** For {@link ClusterState}. */
export interface ClusterOptions {
  /** The name of this Node's object: what traffic policy Local and hints for nodes mean. */
  nodeName: string;
  /**
   * Only Services and EndpointSlices whose label `service.kubernetes.io/service-proxy-name` has this value. Default:
   * those without the label.
   */
  serviceProxyName?: string;
  /** Of the annotations of Services. Default `service.bpf-lb.io/`; `service.cilium.io/` is understood beside it. */
  annotationPrefix?: string;
}

/** What a {@link ClusterState} has learnt since the last time that it was asked. */
export interface ClusterChange {
  /**
   * `upserted` is all that is desired, in no order, for `apply`: the first change of all, and the one after a
   * {@link ClusterState.resync}.
   */
  full: boolean;
  /**
   * New and changed services, to be upserted one after the other, when `deleted` have been deleted: so no service takes
   * a frontend that another one still has. One that both passes a frontend on and takes one may be there twice.
   */
  upserted: readonly ServiceSpec[];
  /** Names of services. One that is upserted again gives all its frontends to others first. */
  deleted: readonly string[];
  /** New, or with another message than before. */
  warnings: readonly ObjectWarning[];
  /**
   * When what the changed EndpointSlices say happened, in ms since the epoch, from their annotation
   * `endpoints.kubernetes.io/last-change-trigger-time`; deletions have none.
   */
  triggerTimes: readonly number[];
  /** Events that made a difference to a Service. */
  serviceChanges: number;
  /** Events that made a difference to an EndpointSlice. */
  endpointChanges: number;
}

/** What happened to an object, as a watch says it. */
export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

const kinds: readonly unknown[] = ['Service', 'EndpointSlice', 'Node', 'Pod'] satisfies Kind[];

/** Before the Node is known. */
const unknownNode = { labels: new Map<string, string>() };

/**
 * What this node is to serve, from the objects of the cluster as they come. Pure: it talks to nobody, and keeps no object.
 *
 * A change costs work in proportion to the object that changed and to its Service, whatever the size of the cluster. No
 * object makes it throw: what cannot be used is in the warnings, and everything else is served.
 */
export class ClusterState {
  readonly #options: Required<Pick<ClusterOptions, 'nodeName' | 'annotationPrefix'>> & ClusterOptions;
  readonly #known: Readonly<Record<Kind, Set<string>>> = {
    Service: new Set(),
    EndpointSlice: new Set(),
    Node: new Set(),
    Pod: new Set(),
  };
  readonly #listed = new Set<Kind>();
  readonly #index = new ServiceIndex();
  readonly #pods = new Map<string, { facts: PodFacts; reference: ObjectReference }>();
  readonly #references = new Map<string, ObjectReference>();
  #node: NodeFacts | undefined;
  readonly #board = new WarningBoard();
  readonly #desired = new DesiredServices(this.#board);
  readonly #healthChecks = new Map<string, HealthCheck>();
  readonly #noLocal = { internal: new Set<string>(), external: new Set<string>() };
  /** Keys of Services to be translated again. */
  readonly #pending = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #changed = false;
  #announced = false;
  #full = true;
  #triggerTimes: number[] = [];
  #serviceChanges = 0;
  #endpointChanges = 0;
  #translated = { services: 0, slices: 0 };

  /** Throws `ERR_BPF_INVALID_OPTION` without the name of the Node. */
  constructor(options: ClusterOptions) {
    if (textOf(options.nodeName) === '') {
      const problem = `nodeName: use the name of this Node, not ${show(options.nodeName)}.`;
      throw new LoadBalancerError('ERR_BPF_INVALID_OPTION', problem);
    }
    this.#options = { ...options, annotationPrefix: options.annotationPrefix ?? defaultAnnotationPrefix };
  }

  /**
   * Takes the full list of a kind, after a list or another list: what is not in it was deleted. Of Nodes, this one is
   * enough; of Pods, those of this node. `null` is how the API may write an empty list. Throws a `TypeError` when the kind
   * is none of the four, or there is no list.
   */
  replace(kind: Kind, objects: readonly KubernetesObject[] | null): void {
    checkKind(kind);
    if (objects !== null && !Array.isArray(objects))
      throw new TypeError(`${show(objects)} is not a list of objects: use the items of what the API sends.`);
    const gone = new Set(this.#known[kind]);
    for (const object of listOf(objects)) {
      const reference = referenceOf(kind, object);
      gone.delete(keyOf(reference));
      this.#put(reference, object);
    }
    for (const key of gone) this.#remove(kind, key);
    if (!this.#listed.has(kind)) {
      this.#listed.add(kind);
      this.#changed = true;
    }
    this.#announce();
  }

  /**
   * Takes one event of a watch. The kind is the object's own, unless it is given. To delete what is not known does
   * nothing, nor does an event of another type. Throws a `TypeError` when the kind is none of the four.
   */
  apply(type: EventType, object: KubernetesObject, kind?: Kind): void {
    const itsKind = kind ?? objectOf(object).kind;
    checkKind(itsKind);
    const reference = referenceOf(itsKind, object);
    if (type === 'DELETED') this.#remove(itsKind, keyOf(reference));
    else if (type === 'ADDED' || type === 'MODIFIED') this.#put(reference, object);
    this.#announce();
  }

  /** Services and EndpointSlices have been listed. Until then nothing is to be programmed. */
  get synced(): boolean {
    return this.#listed.has('Service') && this.#listed.has('EndpointSlice');
  }

  /** There may be something to take. False until {@link synced}. */
  get dirty(): boolean {
    return this.synced && this.#changed;
  }

  /**
   * Does what {@link take} has to do beforehand, for so many milliseconds. Returns whether nothing is left of it. After a
   * list of very many objects that lets others of the process have their turn in between.
   */
  prepare(milliseconds: number): boolean {
    this.#settle(performance.now() + milliseconds);
    return this.#pending.size === 0;
  }

  /** What changed since the last call; undefined until {@link synced}. */
  take(): ClusterChange | undefined {
    if (!this.synced) return undefined;
    this.#settle();
    const full = this.#full;
    const { upserted, deleted } = full ? this.#desired.takeAll() : this.#desired.takeChanges();
    const change: ClusterChange = {
      full,
      upserted,
      deleted,
      warnings: this.#board.takeFresh(),
      triggerTimes: this.#triggerTimes,
      serviceChanges: this.#serviceChanges,
      endpointChanges: this.#endpointChanges,
    };
    this.#full = this.#changed = this.#announced = false;
    this.#triggerTimes = [];
    this.#serviceChanges = this.#endpointChanges = 0;
    return change;
  }

  /** Makes the next {@link take} give all that is desired, for whoever has lost track of what there is. */
  resync(): void {
    this.#full = this.#changed = true;
    this.#announce();
  }

  /** All that is desired, by name. */
  get services(): ReadonlyMap<string, ServiceSpec> {
    this.#settle();
    return this.#desired.services;
  }

  /** Of Services of type LoadBalancer with externalTrafficPolicy Local, by name. */
  get healthChecks(): readonly HealthCheck[] {
    this.#settle();
    return [...this.#healthChecks.values()];
  }

  /** This Node; undefined until it is known. */
  get node(): NodeFacts | undefined {
    return this.#node;
  }

  /** Those in force. One goes when its object has been mended, or deleted. */
  get warnings(): readonly ObjectWarning[] {
    this.#settle();
    return this.#board.all;
  }

  /** Services with traffic policy Local that have endpoints, but none on this node, by the direction of the policy. */
  get noLocalEndpoints(): { readonly internal: number; readonly external: number } {
    this.#settle();
    return { internal: this.#noLocal.internal.size, external: this.#noLocal.external.size };
  }

  /** @internal How many Services, with how many slices, have been translated so far: what changes cost. */
  get translated(): { readonly services: number; readonly slices: number } {
    return { ...this.#translated };
  }

  /** Calls `listener` when there is something to take, once until it is taken. Returns how to stop that. */
  on(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #announce(): void {
    if (!this.dirty || this.#announced) return;
    this.#announced = true;
    for (const listener of [...this.#listeners]) listener();
  }

  #put(reference: ObjectReference, object: unknown): void {
    const { kind } = reference;
    const key = keyOf(reference);
    if (kind === 'Node' && reference.name !== this.#options.nodeName) return;
    this.#known[kind].add(key);
    const findings = new Findings();
    this.#read(reference, isReadable(object, reference, findings) ? object : undefined, findings);
    if (this.#board.set(`${kind} ${key}`, findings.warningsOf(reference))) this.#changed = true;
  }

  #remove(kind: Kind, key: string): void {
    if (!this.#known[kind].delete(key)) return;
    const slash = key.indexOf('/');
    const [namespace, name] = [key.slice(0, Math.max(0, slash)), key.slice(slash + 1)];
    const reference = kind === 'Node' ? { kind, name } : { kind, namespace, name };
    this.#read(reference, undefined, new Findings());
    if (this.#board.set(`${kind} ${key}`, [])) this.#changed = true;
  }

  /** `object` is undefined for one that is gone, or cannot be read. */
  #read(reference: ObjectReference, object: unknown, findings: Findings): void {
    switch (reference.kind) {
      case 'Service':
        return this.#readService(reference, object, findings);
      case 'EndpointSlice':
        return this.#readSlice(reference, object, findings);
      case 'Node':
        return this.#readNode(object, findings);
      case 'Pod':
        return this.#readPod(reference, object, findings);
    }
  }

  #isHidden(object: unknown): boolean {
    const labels = textMapOf(objectOf(objectOf(object).metadata).labels);
    return isHidden(labels, this.#options.serviceProxyName);
  }

  #readService(reference: ObjectReference, object: unknown, findings: Findings): void {
    const [key, { namespace = '', name }] = [keyOf(reference), reference];
    const isUsed = object !== undefined && !this.#isHidden(object);
    const { annotationPrefix } = this.#options;
    const facts = isUsed ? readService(object, { namespace, name }, annotationPrefix, findings) : undefined;
    const isAnother = facts && reference.uid !== this.#references.get(key)?.uid;
    if (facts) this.#references.set(key, reference);
    else this.#references.delete(key);
    if (!this.#index.putService(key, facts) && !isAnother) return;
    this.#serviceChanges++;
    this.#touch([key]);
  }

  #readSlice(reference: ObjectReference, object: unknown, findings: Findings): void {
    const isUsed = object !== undefined && !this.#isHidden(object);
    const facts = isUsed ? readSlice(object, this.#options.nodeName, findings) : undefined;
    const owners = this.#index.putSlice(keyOf(reference), reference.namespace ?? '', facts);
    if (owners.length === 0) return;
    this.#endpointChanges++;
    const time = facts && triggerTimeOf(object);
    if (time !== undefined) this.#triggerTimes.push(time);
    this.#touch(owners);
  }

  #readNode(object: unknown, findings: Findings): void {
    const before = this.#node;
    const after = object === undefined ? undefined : readNode(object, this.#options.nodeName, findings);
    this.#node = after;
    const zoneChanged = before?.zone !== after?.zone;
    const labelsChanged = !isDeepStrictEqual(before?.labels, after?.labels);
    /* No service depends on them, but who listens on them. */
    if (!isDeepStrictEqual(before?.addresses, after?.addresses)) this.#changed = true;
    const affected: string[] = [];
    for (const [key, { service }] of this.#index)
      if (zoneChanged || (labelsChanged && service?.annotations.nodes)) affected.push(key);
    if (affected.length > 0) this.#touch(affected);
  }

  #readPod(reference: ObjectReference, object: unknown, findings: Findings): void {
    const [key, { namespace = '', name }] = [keyOf(reference), reference];
    const facts =
      object === undefined
        ? undefined
        : readPod(object, { namespace, name }, this.#options.nodeName, findings);
    const pod = facts && { facts, reference };
    if (isDeepStrictEqual(this.#pods.get(key), pod)) return;
    if (pod) this.#pods.set(key, pod);
    else this.#pods.delete(key);
    const precedence = facts?.terminating ? 2 : 1;
    const services = facts?.services ?? [];
    this.#desired.replace(
      `Pod ${key}`,
      services.map((spec) => candidateOf(spec, reference, precedence)),
    );
    this.#changed = true;
  }

  #touch(keys: readonly string[]): void {
    for (const key of keys) this.#pending.add(key);
    this.#changed = true;
  }

  #settle(end = Infinity): void {
    for (const key of this.#pending) {
      this.#pending.delete(key);
      this.#translate(key);
      if (performance.now() >= end) return;
    }
  }

  #translate(key: string): void {
    const entry = this.#index.get(key);
    const { service } = entry ?? {};
    const object = this.#references.get(key);
    const slices = entry ? slicesOf(entry) : [];
    const node = this.#node ?? unknownNode;
    const { services = [], noLocalEndpoints } = (service && translate(service, slices, node)) ?? {};
    this.#translated.services++;
    this.#translated.slices += slices.length;
    this.#desired.replace(
      `Service ${key}`,
      object ? services.map((spec) => candidateOf(spec, object, 0)) : [],
    );
    toggle(this.#noLocal.internal, key, noLocalEndpoints?.internal);
    toggle(this.#noLocal.external, key, noLocalEndpoints?.external);
    const check = entry && healthCheckOf(entry, service !== undefined && isServedBy(node, service));
    if (check) this.#healthChecks.set(key, check);
    else this.#healthChecks.delete(key);
  }
}

function checkKind(kind: unknown): asserts kind is Kind {
  if (kinds.includes(kind)) return;
  throw new TypeError(`${show(kind)} is not a kind of object that is read: use one of ${kinds.join(', ')}.`);
}

function toggle(set: Set<string>, key: string, present = false): void {
  if (present) set.add(key);
  else set.delete(key);
}
