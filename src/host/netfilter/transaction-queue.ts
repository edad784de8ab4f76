import type { NftAction } from '../../model/nft.js';
import { joinable } from './joining.js';

/** The most actions of one transaction, whose notifications have to fit into the socket's buffer. */
const most = 64;

interface Waiting {
  readonly action: NftAction;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Actions of nf_tables, performed in order and one transaction at a time. Those that came while one was under way are
 * joined: a transaction costs the kernel and libnftables some 2 ms, whatever is in it.
 */
export class TransactionQueue {
  readonly #transact: (actions: readonly NftAction[]) => Promise<void>;
  readonly #waiting: Waiting[] = [];
  #working = false;

  /** @param transact performs actions as one transaction, all or none of them */
  constructor(transact: (actions: readonly NftAction[]) => Promise<void>) {
    this.#transact = transact;
  }

  /** Performs an action. @throws what `transact` throws for it alone */
  perform(action: NftAction): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ action, resolve, reject });
      if (!this.#working) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0) {
      const first = this.#waiting.slice(0, most).map(({ action }) => action);
      await this.#settle(this.#waiting.splice(0, joinable(first)));
    }
    this.#working = false;
  }

  /** Performs a group; where it is refused, each on its own, so that one that the kernel refuses costs no other. */
  async #settle(group: readonly Waiting[]): Promise<void> {
    try {
      await this.#transact(group.map(({ action }) => action));
      for (const { resolve } of group) resolve();
    } catch (error) {
      if (group.length > 1) for (const one of group) await this.#settle([one]);
      else group[0]?.reject(error);
    }
  }
}
