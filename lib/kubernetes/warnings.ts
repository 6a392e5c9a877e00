import { isDeepStrictEqual } from 'node:util';

import type { Kind } from './objects';

/** Which object a warning is about. */
export interface ObjectReference {
  kind: Kind;
  /** Absent for Nodes. */
  namespace?: string;
  /** Empty when the object has none. */
  name: string;
  uid?: string;
}

/**
 * Why an object, or a part of it, is not used.
 *
 * - `InvalidObject`: it is not an object of the API at all.
 * - `InvalidName`: it, or a port of it, has no name, or one that cannot be.
 * - `InvalidAddress`, `InvalidSourceRange`, `InvalidPort`, `InvalidProtocol`: that entry is left out.
 * - `InvalidTrafficPolicy`, `InvalidSessionAffinity`: the default applies.
 * - `DuplicatePort`: a second port of the same name and protocol is left out.
 * - `InvalidAnnotation`: the annotation has a value that it cannot have.
 * - `UnsupportedAnnotation`: the annotation, or its value, asks for what this library does not do.
 * - `FrontendTaken`: another Service or Pod has the frontend, because it is first by name.
 */
export type WarningReason =
  | 'InvalidObject'
  | 'InvalidName'
  | 'InvalidAddress'
  | 'InvalidSourceRange'
  | 'InvalidPort'
  | 'InvalidProtocol'
  | 'InvalidTrafficPolicy'
  | 'InvalidSessionAffinity'
  | 'DuplicatePort'
  | 'InvalidAnnotation'
  | 'UnsupportedAnnotation'
  | 'FrontendTaken';

/** Something about an object that cannot be used. Everything else, of this object and others, is. */
export interface ObjectWarning {
  object: ObjectReference;
  reason: WarningReason;
  /** One line for people. */
  message: string;
}

/** Entries of a long list that a message shows. */
const shown = 3;

/** What is found wrong with one object: one warning for each reason. */
export class Findings {
  readonly #messages = new Map<WarningReason, string[]>();

  add(reason: WarningReason, message: string): void {
    const messages = this.#messages.get(reason);
    if (messages) messages.push(message);
    else this.#messages.set(reason, [message]);
  }

  warningsOf(object: ObjectReference): ObjectWarning[] {
    return Array.from(this.#messages, ([reason, messages]) => {
      const more = messages.length > shown ? `; and ${messages.length - shown} more` : '';
      return { object, reason, message: `${messages.slice(0, shown).join('; ')}${more}` };
    });
  }
}

/** The warnings in force, and which of them nobody has been told of. */
export class WarningBoard {
  readonly #inForce = new Map<string, readonly ObjectWarning[]>();
  readonly #told = new Map<string, readonly ObjectWarning[]>();
  readonly #changed = new Set<string>();

  /** Replaces what is said about `topic`. Returns whether that is something else than before. */
  set(topic: string, warnings: readonly ObjectWarning[]): boolean {
    const before = this.#inForce.get(topic);
    if (before ? isDeepStrictEqual(before, warnings) : warnings.length === 0) return false;
    put(this.#inForce, topic, warnings);
    this.#changed.add(topic);
    return true;
  }

  get all(): ObjectWarning[] {
    return [...this.#inForce.values()].flat();
  }

  /** New and changed ones since the last call. */
  takeFresh(): ObjectWarning[] {
    const fresh: ObjectWarning[] = [];
    for (const topic of this.#changed) {
      const [now, told] = [this.#inForce.get(topic) ?? [], this.#told.get(topic) ?? []];
      fresh.push(...now.filter((warning) => !told.some((other) => isDeepStrictEqual(warning, other))));
      put(this.#told, topic, now);
    }
    this.#changed.clear();
    return fresh;
  }
}

function put(map: Map<string, readonly ObjectWarning[]>, topic: string, warnings: readonly ObjectWarning[]) {
  if (warnings.length > 0) map.set(topic, warnings);
  else map.delete(topic);
}
