import type { NftAction } from '../../model/nft.js';
import { GroupQueue } from '../group-queue.js';
import { joinable } from './joining.js';

/** The most actions of one transaction, whose notifications have to fit into the socket's buffer. */
const most = 64;

/**
 * Actions of nf_tables, performed in order and one transaction at a time. Those that came while one was under way are
 * joined: a transaction costs the kernel and libnftables some 2 ms, whatever is in it.
 */
export class TransactionQueue extends GroupQueue<NftAction> {
  /** @param transact performs actions as one transaction, all or none of them */
  constructor(transact: (actions: readonly NftAction[]) => Promise<void>) {
    super(transact, (waiting) => joinable(waiting.slice(0, most)));
  }
}
