import { Nftables } from 'node-libnftables';
import type { Logger } from 'pino';
import type { RuledTable } from '../../model/nft.js';

/** Whether vifd's tables belong to its process alone (`flags owner, persist`), and what its log says of that. */
export class TableOwnership {
  readonly #log: Logger | undefined;
  /** Why tables cannot be owned by this process; empty when they can, undefined when it was not tried. */
  #whyOpen: string | undefined;
  readonly #logged = new Set<string>();

  constructor(log: Logger | undefined) {
    this.#log = log;
  }

  /** Whether nft and the kernel take a table with an owner, found by a dry run. */
  isPossible(): boolean {
    if (this.#whyOpen === undefined) {
      try {
        const probe = new Nftables();
        try {
          probe.check('add table netdev vifd-probe { flags owner, persist; }');
          this.#whyOpen = '';
        } finally {
          probe.close();
        }
      } catch (error) {
        this.#whyOpen = error instanceof Error ? error.message : String(error);
      }
    }
    return this.#whyOpen === '';
  }

  /** Logs whether a table is owned, once in the table's life. */
  log(table: RuledTable, isOwned: boolean): void {
    if (this.#logged.has(table)) return;
    this.#logged.add(table);
    if (isOwned) this.#log?.debug({ table }, 'nft table is ours alone');
    else {
      const reason = this.#whyOpen || 'it was there before, without an owner';
      this.#log?.debug({ table, reason }, 'nft table is open to others');
    }
  }

  /** Notes that a table has been deleted. */
  forget(table: string): void {
    this.#logged.delete(table);
  }
}
