interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Work that is done in order and one group at a time. What was asked for while one was under way is done together, where that
 * costs little more than one alone.
 */
export class GroupQueue<Item> {
  readonly #perform: (items: readonly Item[]) => Promise<void>;
  readonly #howMany: (waiting: readonly Item[]) => number;
  readonly #waiting: Waiting<Item>[] = [];
  #working = false;

  /**
   * @param perform does all of a group or none
   * @param howMany of what waits are the next group, at least one; all by default
   */
  constructor(
    perform: (items: readonly Item[]) => Promise<void>,
    howMany: (waiting: readonly Item[]) => number = ({ length }) => length,
  ) {
    this.#perform = perform;
    this.#howMany = howMany;
  }

  /** Does one thing. @throws what `perform` throws for it alone */
  perform(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#working) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0) {
      const next = this.#howMany(this.#waiting.map(({ item }) => item));
      await this.#settle(this.#waiting.splice(0, next));
    }
    this.#working = false;
  }

  /** Does a group; where it is refused, each on its own, so that one that the kernel refuses costs no other. */
  async #settle(group: readonly Waiting<Item>[]): Promise<void> {
    try {
      await this.#perform(group.map(({ item }) => item));
      for (const { resolve } of group) resolve();
    } catch (error) {
      if (group.length > 1) for (const one of group) await this.#settle([one]);
      else group[0]?.reject(error);
    }
  }
}
