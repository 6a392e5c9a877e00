import { LoadBalancerError } from '../errors';
import type { ConfigurationProblem } from './configuration-error';

/** Understands the value of a setting; throws what {@link refuse} throws. */
export type Parser<T = unknown> = (value: unknown) => T;

/** What there may be: a parser for each setting, a schema for each group of settings. */
export interface Schema {
  readonly [key: string]: Parser | Schema;
}

/** What was read by a schema. What is absent was absent, or malformed. */
export type Values<S extends Schema> = {
  [K in keyof S]?: S[K] extends Parser<infer T> ? T : S[K] extends Schema ? Values<S[K]> : never;
};

/** Ends a parser: says what is wrong with the value, and what is possible. */
export function refuse(reason: string): never {
  throw new LoadBalancerError('ERR_BPF_INVALID_OPTION', reason);
}

/** Reads settings and notes what is wrong with them, so that all of it can be reported at once. */
export class SettingsReader {
  readonly problems: ConfigurationProblem[] = [];

  /** What has no place in the schema goes to `onUnknown`; null and undefined count as absent. */
  read<S extends Schema>(
    schema: S,
    settings: object,
    onUnknown: (key: string, value: unknown) => void,
    group = '',
  ): Values<S> {
    const values: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(settings)) {
      const key = group + name;
      const rule = Object.hasOwn(schema, name) ? schema[name] : undefined;
      if (value === null || value === undefined) continue;
      if (rule === undefined) onUnknown(key, value);
      else if (typeof rule === 'function') values[name] = this.attempt(key, value, () => rule(value));
      else if (isGroup(value)) values[name] = this.read(rule, value, onUnknown, `${key}.`);
      else this.problem(key, value, 'not a group of settings');
    }
    return values as Values<S>;
  }

  /** Notes what `parse` refuses. */
  attempt<T>(key: string, value: unknown, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof LoadBalancerError)) throw error;
      this.problem(key, value, error.message.replace(/\.$/, ''));
      return undefined;
    }
  }

  problem(key: string, value: unknown, reason: string): void {
    this.problems.push({ key, value, reason });
  }
}

/** Whether a value holds others by name. */
export function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without what is undefined; undefined when nothing is left. */
export function given<T extends object>(values: T): Given<T> | undefined {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as Given<T>);
}
