import { isObject, objectOf, show, textOf } from './json';
import type { Kind } from './objects';
import type { Findings, ObjectReference } from './warnings';

/* A name is part of a path, and of the names of services: so neither separator can be in it. */
const possibleName = /^[^/:\s]+$/;

/** Whether a text can be the name of an object, or of a port. */
export function isPossibleName(name: string): boolean {
  return possibleName.test(name);
}

/** Who an object is. One that does not say so has an empty name. */
export function referenceOf(kind: Kind, object: unknown): ObjectReference {
  const metadata = objectOf(objectOf(object).metadata);
  const uid = textOf(metadata.uid);
  return {
    kind,
    ...(kind !== 'Node' && { namespace: textOf(metadata.namespace) || 'default' }),
    name: textOf(metadata.name),
    ...(uid && { uid }),
  };
}

/** `namespace/name`; for Nodes, `name`. */
export function keyOf({ namespace, name }: Pick<ObjectReference, 'namespace' | 'name'>): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** Whether there is anything to read. */
export function isReadable(
  object: unknown,
  { namespace, name }: ObjectReference,
  findings: Findings,
): boolean {
  if (!isObject(object)) {
    findings.add('InvalidObject', 'this is not an object');
    return false;
  }
  if (isPossibleName(name) && isPossibleName(namespace ?? name)) return true;
  findings.add('InvalidName', `${show(keyOf({ namespace, name } as ObjectReference))} is not a name`);
  return false;
}
