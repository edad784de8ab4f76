import type { VifId } from '../model/vif-id.js';
import type { VifRecord } from './vif-record.js';

/** The vifs by the network card that they are of, see `cardOf` in src/model/twins.ts: nearly always one a card. */
export class Cards {
  readonly #byCard = new Map<string, Set<VifRecord>>();
  readonly #of = new Map<VifRecord, string>();

  /** Sets the card of a vif, undefined for none. @returns the vifs whose twins have changed by it, this one left out */
  set(record: VifRecord, card: string | undefined): VifRecord[] {
    const before = this.#of.get(record);
    if (before === card) return [];
    const left = this.#leave(record, before);
    if (card === undefined) return left;
    const joined = this.#byCard.get(card) ?? new Set();
    const others = [...joined];
    this.#byCard.set(card, joined.add(record));
    this.#of.set(record, card);
    return [...left, ...others];
  }

  /** The other vifs of the card that this one is of. */
  twins(record: VifRecord): VifId[] {
    const card = this.#of.get(record);
    const all = (card !== undefined && this.#byCard.get(card)) || [];
    return [...all].filter((one) => one !== record).map(({ id }) => id);
  }

  #leave(record: VifRecord, card: string | undefined): VifRecord[] {
    this.#of.delete(record);
    const others = card === undefined ? undefined : this.#byCard.get(card);
    if (card === undefined || others === undefined) return [];
    others.delete(record);
    if (others.size === 0) this.#byCard.delete(card);
    return [...others];
  }
}
