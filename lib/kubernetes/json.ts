import { inspect } from 'node:util';

/* Objects of the API come over the network. What is not of the type that it should be reads as if it were absent. */

/** A JSON object, of whatever content. */
export type Json = Readonly<Record<string, unknown>>;

const nothing: Json = Object.freeze(Object.create(null) as Json);

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectOf(value: unknown): Json {
  return isObject(value) ? value : nothing;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function textsOf(value: unknown): string[] {
  return listOf(value).map(textOf);
}

/** Labels or annotations: own entries whose values are texts. */
export function textMapOf(value: unknown): ReadonlyMap<string, string> {
  const entries = Object.entries(objectOf(value));
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** Absent, as both JSON and clients write it. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** A value for a message: on one line, and not too long. */
export function show(value: unknown): string {
  return inspect(value, { depth: 0, maxStringLength: 64, maxArrayLength: 4, breakLength: Infinity });
}
