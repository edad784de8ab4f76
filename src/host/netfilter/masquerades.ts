import { type Masquerade, masqueraded } from '../../model/masquerade.js';
import { type Element, type SetName, sets } from '../../model/nft.js';

/** The masqueraded addresses, each with its vif and uplinks, kept as elements come and go. */
export class Masquerades {
  readonly #ownerOf: (element: Element) => string | undefined;
  readonly #byAddress = new Map<string, Masquerade>();

  /**
   * @param ownerOf the vif that an element belongs to now, empty for none; undefined when there is no such element
   */
  constructor(ownerOf: (element: Element) => string | undefined) {
    this.#ownerOf = ownerOf;
  }

  get byAddress(): ReadonlyMap<string, Masquerade> {
    return this.#byAddress;
  }

  /** Notes a new element, of any set. */
  add(element: Element, owner: string): void {
    const of = owner === '' ? undefined : masqueraded(element);
    if (of === undefined) return;
    const known = this.#byAddress.get(of.address);
    const uplinks = known?.owner === owner ? known.uplinks : [];
    this.#byAddress.set(of.address, { owner, uplinks: [...new Set([...uplinks, of.uplink])] });
  }

  /** Notes that an element has been deleted. */
  delete(element: Element, owner: string): void {
    const was = masqueraded(element);
    const known = was && this.#byAddress.get(was.address);
    if (was === undefined || known?.owner !== owner) return;
    const uplinks = known.uplinks.filter((uplink) => uplink !== was.uplink);
    if (uplinks.length > 0) this.#byAddress.set(was.address, { ...known, uplinks });
    else this.#byAddress.delete(was.address);
    // During an upgrade an address has an element of the earlier release and one of this.
    for (const set of masqueradeSets) {
      const same = { ...element, set };
      this.add(same, this.#ownerOf(same) ?? '');
    }
  }
}

const masqueradeSets = (Object.keys(sets) as SetName[]).filter((set) => masqueraded({ set, key: ['', ''] }));
