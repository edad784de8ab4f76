import type { ActionOf } from '../../src/model/action.js';
import { isCovered, type Membership, type NamedSet, type NamedSets } from '../../src/model/named-set.js';

/** An administrator's sets in memory, by family, table and name; a text in the place of one says why it cannot be used. */
export type PlainSets = Readonly<Record<string, NamedSet | string>>;

export class SetMachine implements NamedSets {
  readonly #sets: Map<string, NamedSet | string>;

  constructor(sets: PlainSets) {
    this.#sets = new Map(Object.entries(sets));
  }

  get(name: string): NamedSet | { readonly reason: string } {
    const set = this.#sets.get(name) ?? 'no such set';
    return typeof set === 'string' ? { reason: set } : set;
  }

  members(vif: string): Membership[] {
    return this.#all().flatMap(({ owner, ...of }) => (owner === vif ? [of] : []));
  }

  owners(): string[] {
    return this.#all().map(({ owner }) => owner);
  }

  /** @throws where nf_tables would refuse it */
  perform({ kind, vif, set: name, values }: ActionOf<'add-to-set' | 'delete-from-set'>): void {
    const set = this.#sets.get(name);
    if (set === undefined || typeof set === 'string') throw new Error('No such file or directory');
    const kept = set.elements.filter(
      ({ value, owner }) => kind === 'add-to-set' || owner !== vif || !values.includes(value),
    );
    const added = kind === 'delete-from-set' ? [] : values.filter((value) => !isCovered(value, kept));
    this.#sets.set(name, { ...set, elements: [...kept, ...added.map((value) => ({ value, owner: vif }))] });
  }

  #all(): (Membership & { owner: string })[] {
    return [...this.#sets].flatMap(([set, of]) =>
      typeof of === 'string'
        ? []
        : of.elements.flatMap(({ value, owner }) => (owner === undefined ? [] : [{ set, value, owner }])),
    );
  }
}
