import { isDeepStrictEqual } from 'node:util';

import type { FrontendSpec, ServiceSpec } from '../spec';
import { type Candidate, withFrontends } from './candidate';
import { Claims } from './claims';
import { type ServiceChange, passOrder, type Steps } from './pass-order';
import type { WarningBoard } from './warnings';

/** The services that a node is to have, from what each object alone would have; and how they differ from before. */
export class DesiredServices {
  readonly #services = new Map<string, ServiceSpec>();
  readonly #candidates = new Map<string, Candidate>();
  /** Of each object. */
  readonly #names = new Map<string, readonly string[]>();
  readonly #claims = new Claims();
  /** Services that are other than at the last take, as they were then. */
  readonly #before = new Map<string, ServiceSpec | undefined>();
  readonly #warnings: WarningBoard;

  constructor(warnings: WarningBoard) {
    this.#warnings = warnings;
  }

  get services(): ReadonlyMap<string, ServiceSpec> {
    return this.#services;
  }

  /** Replaces all that an object would have. */
  replace(object: string, candidates: readonly Candidate[]): void {
    const affected = new Set<string>();
    const left = new Set(this.#names.get(object));
    const names = candidates.map(({ spec }) => spec.name);
    names.forEach((name) => left.delete(name));
    for (const name of left) {
      affected.add(name);
      this.#claim(this.#candidates.get(name), undefined, affected);
      this.#candidates.delete(name);
    }
    for (const candidate of candidates) {
      const { name } = candidate.spec;
      affected.add(name);
      this.#claim(this.#candidates.get(name), candidate, affected);
      this.#candidates.set(name, candidate);
    }
    if (names.length > 0) this.#names.set(object, names);
    else this.#names.delete(object);
    for (const name of affected) this.#settle(name);
  }

  /** What changed since the last call. Several changes of one service are one, or none. */
  takeChanges(): Steps {
    const changes: ServiceChange[] = [];
    const gone: string[] = [];
    for (const [name, before] of this.#before) {
      const after = this.#services.get(name);
      if (after) changes.push({ before, after });
      else gone.push(name);
    }
    this.#before.clear();
    const { upserted, deleted } = passOrder(changes);
    return { upserted, deleted: [...gone, ...deleted] };
  }

  /** All there is, in no order; and what there is no more, since the last call. */
  takeAll(): Steps {
    const gone = [...this.#before.keys()].filter((name) => !this.#services.has(name));
    this.#before.clear();
    return { upserted: [...this.#services.values()], deleted: gone };
  }

  /** Replaces the claims of a candidate, and notes whom else that may concern. */
  #claim(before: Candidate | undefined, after: Candidate | undefined, affected: Set<string>): void {
    if (before?.rank === after?.rank && isDeepStrictEqual(before?.claims, after?.claims)) return;
    const note = (names: readonly string[]) => names.forEach((name) => affected.add(name));
    for (const key of before?.claims.flat() ?? []) note(this.#claims.remove(key, before?.spec.name ?? ''));
    for (const key of after?.claims.flat() ?? [])
      note(this.#claims.add(key, { name: after?.spec.name ?? '', rank: after?.rank ?? '' }));
  }

  /** Gives a service the frontends that it has won. */
  #settle(name: string): void {
    const candidate = this.#candidates.get(name);
    const lost: string[] = [];
    const won = candidate?.spec.frontends.filter((frontend, i) => {
      const winner = candidate.claims[i]?.map((key) => this.#claims.ownerOf(key)).find((n) => n !== name);
      if (winner !== undefined) lost.push(`${describe(frontend)} belongs to ${winner}`);
      return winner === undefined;
    });
    this.#warn(name, candidate, lost);
    this.#put(name, candidate && won && withFrontends(candidate.spec, won));
  }

  #put(name: string, after: ServiceSpec | undefined): void {
    const before = this.#services.get(name);
    if (isDeepStrictEqual(after, before)) return;
    if (after) this.#services.set(name, after);
    else this.#services.delete(name);
    if (!this.#before.has(name)) this.#before.set(name, before);
    else if (isDeepStrictEqual(after, this.#before.get(name))) this.#before.delete(name);
  }

  #warn(name: string, candidate: Candidate | undefined, lost: readonly string[]): void {
    const { object } = candidate ?? {};
    const message = `${name}: ${lost.join('; ')}`;
    this.#warnings.set(
      `frontends of ${name}`,
      object && lost.length > 0 ? [{ object, reason: 'FrontendTaken', message }] : [],
    );
  }
}

function describe({ type, address = '*', port, protocol = 'TCP' }: FrontendSpec): string {
  return `${type} ${address.includes(':') ? `[${address}]` : address}:${port}/${protocol}`;
}
