import { layouts } from './abi';
import { isProgress, type Progress, progressOf, withProgress } from './carry-over';
import { type Dump, elementsOf } from './dump';
import type { HintChange } from './hint-table';
import { specOf } from './service';
import { defineService, type ServiceDefinition } from './service-definition';
import type { ServiceSpec } from './spec';
import type { ServiceRecord } from './table-image';
import type { MapOperation } from '../types/native';

/** The canary's. */
const internalParts = 4;

/** Parts that there is room for: a service with ten backends takes three. */
export function definitionParts({ frontends, backends }: { frontends: number; backends: number }): number {
  return frontends * 2 + Math.ceil(backends / 2) + internalParts;
}

/** What is stored of a service besides what the other tables hold of it. */
export interface StoredDefinition {
  /** Its key: see `ServiceNumbers`. */
  readonly group: number;
  /** By the position of the frontend in the definition. */
  readonly ids: readonly number[];
  readonly definition: ServiceDefinition;
}

interface StoredText {
  readonly ids: readonly number[];
  readonly spec: ServiceSpec;
  readonly progress?: Progress | undefined;
}

const map = 'definitions';
const { size: keySize, fields: key } = layouts.lb_definition_key;
const { size: partSize } = layouts.lb_definition;

/**
 * The definitions of services as text, for the process that comes next: the other tables hold what the programs need,
 * and neither names nor the backends that are not on offer. A definition is written before what it describes and removed
 * after it, so no entry of the other tables is without one.
 */
export class DefinitionTable {
  /** Parts in the kernel, by group. */
  readonly #parts = new Map<number, number>();
  #used = 0;
  /** Of services that are going to be written. */
  readonly #texts = new WeakMap<ServiceRecord, Uint8Array>();

  /** Parts in the kernel. */
  get used(): number {
    return this.#used;
  }

  /** Parts that a service needs besides those that the kernel has of it. */
  partsMore(record: ServiceRecord): number {
    const text = textOf(record);
    this.#texts.set(record, text);
    return Math.max(0, text.length / partSize - this.#partsOf(record.numbers.group));
  }

  /** What the kernel holds already. */
  adopt(group: number, parts: number): void {
    this.#setParts(group, Math.max(parts, this.#partsOf(group)));
  }

  /** The operations to run before and after a change of services, which becomes the new state. */
  change(removed: Iterable<ServiceRecord>, added: Iterable<ServiceRecord>): HintChange {
    const fresh = new Set(added);
    const before = new Map<number, number>();
    for (const record of removed) {
      const { group } = record.numbers;
      if (fresh.delete(record)) continue;
      before.set(group, this.#partsOf(group));
      this.#setParts(group, 0);
    }
    const [keys, values]: [Uint8Array[], Uint8Array[]] = [[], []];
    for (const record of fresh) {
      const { group } = record.numbers;
      const text = this.#texts.get(record) ?? textOf(record);
      const parts = text.length / partSize;
      for (let part = 0; part < parts; part++) keys.push(encodeKey(group, part));
      values.push(text);
      this.#setParts(group, parts);
    }
    const gone: Uint8Array[] = [];
    for (const [group, parts] of before)
      for (let part = this.#partsOf(group); part < parts; part++) gone.push(encodeKey(group, part));
    return { before: operation(keys, values), after: operation(gone) };
  }

  #partsOf(group: number): number {
    return this.#parts.get(group) ?? 0;
  }

  #setParts(group: number, parts: number): void {
    this.#used += parts - this.#partsOf(group);
    if (parts > 0) this.#parts.set(group, parts);
    else this.#parts.delete(group);
  }
}

/** Keys alone are deleted. */
function operation(keys: readonly Uint8Array[], values?: readonly Uint8Array[]): MapOperation[] {
  if (keys.length === 0) return [];
  const joined = Buffer.concat(keys);
  if (!values) return [{ map, kind: 'delete', keys: joined }];
  return [{ map, kind: 'update', keys: joined, values: Buffer.concat(values) }];
}

function encodeKey(group: number, part: number): Uint8Array {
  const bytes = new Uint8Array(keySize);
  const view = new DataView(bytes.buffer);
  view.setUint32(key.group.offset, group, true);
  view.setUint32(key.part.offset, part, true);
  return bytes;
}

/** Padded to whole parts. */
function textOf({ definition, ids }: ServiceRecord): Uint8Array {
  const stored: StoredText = { ids, spec: specOf(definition), progress: progressOf(definition) };
  const text = Buffer.from(JSON.stringify(stored));
  const padded = Buffer.alloc(Math.ceil(text.length / partSize) * partSize);
  text.copy(padded);
  return padded;
}

/** What the table says. */
export interface ReadDefinitions {
  readonly definitions: readonly StoredDefinition[];
  /** How many parts there are of each group. */
  readonly parts: ReadonlyMap<number, number>;
  /** Keys of what is no definition, or none that can be read. */
  readonly unreadable: readonly Uint8Array[];
}

interface Part {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A text that is none is left out. */
export function readDefinitions(dump: Dump): ReadDefinitions {
  const texts = new Map<number, Map<number, Part>>();
  for (const part of elementsOf(dump)) {
    const view = new DataView(part.key.buffer, part.key.byteOffset);
    const group = view.getUint32(key.group.offset, true);
    const parts = texts.get(group) ?? new Map<number, Part>();
    parts.set(view.getUint32(key.part.offset, true), part);
    texts.set(group, parts);
  }
  const definitions: StoredDefinition[] = [];
  const counts = new Map<number, number>();
  const unreadable: Uint8Array[] = [];
  /* A hash table has no order; the one in which they were made is as good as any. */
  for (const [group, parts] of [...texts].sort(([a], [b]) => a - b)) {
    const whole: Uint8Array[] = [];
    for (let part; (part = parts.get(whole.length));) whole.push(part.value);
    const definition = parse(group, whole);
    const count = definition ? whole.length : 0;
    if (definition) definitions.push(definition);
    if (definition) counts.set(group, count);
    for (const [part, { key }] of parts) if (part >= count) unreadable.push(key);
  }
  return { definitions, parts: counts, unreadable };
}

function parse(group: number, parts: readonly Uint8Array[]): StoredDefinition | undefined {
  try {
    const [text = ''] = Buffer.concat(parts).toString().split('\0', 1);
    const { ids, spec, progress } = JSON.parse(text) as StoredText;
    const definition = defineService(spec);
    return {
      group,
      ids: Array.isArray(ids) && ids.every(isId) ? ids : [],
      definition: isProgress(progress) ? withProgress(definition, progress) : definition,
    };
  } catch {
    return undefined;
  }
}

function isId(id: unknown): boolean {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) <= 0xffffffff;
}
