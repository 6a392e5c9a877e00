import type { Family } from '../address';
import type { Protocol } from '../spec';
import { isAbsent, listOf, show } from './json';
import type { Findings } from './warnings';

export const protocols: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

const families: ReadonlyMap<unknown, Family> = new Map([
  ['IPv4', 4],
  ['IPv6', 6],
]);

/** The family of that name; undefined for others, which are no addresses of IP. */
export function familyOf(name: unknown): Family | undefined {
  return families.get(name);
}

/** A list, empty if absent; with a warning, for what is none. */
export function readList(value: unknown, what: string, findings: Findings): readonly unknown[] {
  if (!isAbsent(value) && !Array.isArray(value)) findings.add('InvalidObject', `${what} is not a list`);
  return listOf(value);
}

/** A port number; undefined, with a warning, for what is none. */
export function readPort(value: unknown, what: string, findings: Findings): number | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535) return value;
  findings.add('InvalidPort', `${what} ${show(value)} is not a port`);
  return undefined;
}

/** As {@link readPort}, where 0 is as good as absent. */
export function readOptionalPort(value: unknown, what: string, findings: Findings): number | undefined {
  return isAbsent(value) || value === 0 ? undefined : readPort(value, what, findings);
}

/** A protocol, by default TCP; undefined, with a warning, for what is none. */
export function readProtocol(value: unknown, what: string, findings: Findings): Protocol | undefined {
  if (isAbsent(value) || value === '') return 'TCP';
  const protocol = protocols.find((p) => p === value);
  if (!protocol) findings.add('InvalidProtocol', `${what} ${show(value)} is not balanced`);
  return protocol;
}
