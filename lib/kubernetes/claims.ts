import { compareTexts } from './order';

interface Claimant {
  readonly name: string;
  readonly rank: string;
}

/**
 * Who has what several claim: the one whose rank is first. That is the same on every node, and does not depend on who
 * came first; when it goes, the next one has it.
 */
export class Claims {
  readonly #claimants = new Map<string, Claimant[]>();

  ownerOf(key: string): string | undefined {
    return this.#claimants.get(key)?.[0]?.name;
  }

  /** Returns the others who claim it, if it has another owner now. */
  add(key: string, claimant: Claimant): string[] {
    const claimants = this.#claimants.get(key);
    if (!claimants) {
      this.#claimants.set(key, [claimant]);
      return [];
    }
    claimants.push(claimant);
    claimants.sort((a, b) => compareTexts(a.rank, b.rank));
    return claimants[0] === claimant ? namesOf(claimants.slice(1)) : [];
  }

  /** As {@link add}. */
  remove(key: string, name: string): string[] {
    const claimants = this.#claimants.get(key) ?? [];
    const left = claimants.filter((claimant) => claimant.name !== name);
    if (left.length > 0) this.#claimants.set(key, left);
    else this.#claimants.delete(key);
    return claimants[0]?.name === name ? namesOf(left) : [];
  }
}

function namesOf(claimants: readonly Claimant[]): string[] {
  return claimants.map(({ name }) => name);
}
