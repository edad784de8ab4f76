import type { Logger } from 'pino';
import type { RuledTable } from '../../model/nft.js';

/** Whether vifd's tables belong to its process alone (`flags owner, persist`), and what its log says of that. */
export class TableOwnership {
  readonly #log: Logger | undefined;
  readonly #whyNot: string | undefined;
  readonly #logged = new Set<string>();

  /** @param whyNot why tables cannot be owned by this process; undefined when they can */
  constructor(log: Logger | undefined, whyNot: string | undefined) {
    this.#log = log;
    this.#whyNot = whyNot;
  }

  /** Whether nft and the kernel take a table with an owner. */
  get isPossible(): boolean {
    return this.#whyNot === undefined;
  }

  /** Logs whether a table is owned, once in the table's life. */
  log(table: RuledTable, isOwned: boolean): void {
    if (this.#logged.has(table)) return;
    this.#logged.add(table);
    if (isOwned) this.#log?.debug({ table }, 'nft table is ours alone');
    else {
      const reason = this.#whyNot ?? 'it was there before, without an owner';
      this.#log?.debug({ table, reason }, 'nft table is open to others');
    }
  }

  /** Notes that a table has been deleted. */
  forget(table: string): void {
    this.#logged.delete(table);
  }
}
