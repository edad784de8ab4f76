import type { VifId } from '../model/vif-id.js';

/** The vifs by the network card that they are of, see `cardOf` in src/model/twins.ts: nearly always one a card. */
export class Cards<Vif extends { readonly id: VifId }> {
  readonly #byCard = new Map<string, Set<Vif>>();
  readonly #of = new Map<Vif, string>();

  /** Sets the card of a vif, undefined for none. @returns the vifs whose twins have changed by it, this one left out */
  set(vif: Vif, card: string | undefined): Vif[] {
    const before = this.#of.get(vif);
    if (before === card) return [];
    const left = this.#leave(vif, before);
    if (card === undefined) return left;
    const joined = this.#byCard.get(card) ?? new Set();
    const others = [...joined];
    this.#byCard.set(card, joined.add(vif));
    this.#of.set(vif, card);
    return [...left, ...others];
  }

  /** The other vifs of the card that this one is of. */
  twins(vif: Vif): VifId[] {
    const card = this.#of.get(vif);
    const all = (card !== undefined && this.#byCard.get(card)) || [];
    return [...all].filter((one) => one !== vif).map(({ id }) => id);
  }

  #leave(vif: Vif, card: string | undefined): Vif[] {
    this.#of.delete(vif);
    const others = card === undefined ? undefined : this.#byCard.get(card);
    if (card === undefined || others === undefined) return [];
    others.delete(vif);
    if (others.size === 0) this.#byCard.delete(card);
    return [...others];
  }
}
