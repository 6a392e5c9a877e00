/**
 * A place in the input, for error messages. There is one for a whole service, moved along its lists: the text is made
 * when it is shown, not for each of a million backends that are well-formed.
 */
export class Place {
  /** The service. */
  readonly root: string;
  #list = '';
  #index = 0;

  constructor(root: string) {
    this.root = root;
  }

  /** Moves to an element of a list. */
  at(list: string, index: number): this {
    this.#list = list;
    this.#index = index;
    return this;
  }

  /** `Service web: backends[3].port`. */
  of(field?: string): string {
    const element = this.#list ? `${this.root}: ${this.#list}[${this.#index}]` : this.root;
    if (field === undefined) return element;
    return this.#list ? `${element}.${field}` : `${element}: ${field}`;
  }
}
