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

  /** Returns those who claim it, too. */
  add(key: string, claimant: Claimant): string[] {
    const others = this.#claimants.get(key);
    if (!others) {
      this.#claimants.set(key, [claimant]);
      return [];
    }
    const names = others.map(({ name }) => name);
    others.push(claimant);
    others.sort((a, b) => compareTexts(a.rank, b.rank));
    return names;
  }

  /** Returns those who claim it still. */
  remove(key: string, name: string): string[] {
    const others = (this.#claimants.get(key) ?? []).filter((claimant) => claimant.name !== name);
    if (others.length > 0) this.#claimants.set(key, others);
    else this.#claimants.delete(key);
    return others.map((claimant) => claimant.name);
  }
}
