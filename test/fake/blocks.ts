import { type Block, blockKey } from '../../src/model/block.js';
import type { VifSnapshot } from '../../src/model/snapshot.js';
import type { BlocksPort } from '../../src/reconcile/ports/ports.js';

/** The blocks of cards in memory; they outlive a daemon. */
export class FakeBlocks implements BlocksPort {
  readonly #blocks = new Map<string, Block>();

  of(snapshot: VifSnapshot): Block | undefined {
    return this.#blocks.get(blockKey(snapshot));
  }

  /** An administrator blocks the card of a vif. */
  add(card: Parameters<typeof blockKey>[0], block: Block): void {
    this.#blocks.set(blockKey(card), block);
  }

  delete(card: Parameters<typeof blockKey>[0]): void {
    this.#blocks.delete(blockKey(card));
  }
}
