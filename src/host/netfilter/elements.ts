import type { Network } from '../../model/address.js';
import type { Masquerade } from '../../model/masquerade.js';
import {
  type Element,
  elementId,
  mapKeyId,
  type SetName,
  sets,
  spokenFrom,
  type Table,
  tableOf,
} from '../../model/nft.js';
import { Grouped } from '../grouped.js';
import { Masquerades } from './masquerades.js';

/** An element and the vif it belongs to. */
export interface OwnedElement {
  readonly element: Element;
  /** The vif's name in its comment; empty where that is not a vif's name. */
  readonly owner: string;
}

/** The elements of vifd's sets, by what they are asked for. An owner is a vif's name, or empty for none. */
export class Elements {
  /** By {@link elementId}, here and below. */
  readonly #byId = new Map<string, OwnedElement>();
  readonly #byOwner = new Map<string, Map<string, Element>>();
  /** By the netdev's name, where that is the first part of the key. */
  readonly #byDevice = new Map<string, Map<string, OwnedElement>>();
  /** The number of elements of each owner in a table's sets. */
  readonly #counts = new Map<Table, Map<string, number>>();
  /** The netdevs whose guests speak from a network, by the set and the network. */
  readonly #speakers = new Grouped<string | undefined, string>();
  /** The elements of maps by {@link mapKeyId}. */
  readonly #byMapKey = new Map<string, Element>();
  readonly #masquerades = new Masquerades((element) => this.owner(element));

  /** The masqueraded addresses. */
  get masquerades(): ReadonlyMap<string, Masquerade> {
    return this.#masquerades.byAddress;
  }

  /** The owner of an element; undefined when there is no such element. */
  owner(element: Element): string | undefined {
    return this.#byId.get(elementId(element))?.owner;
  }

  /** The element that a map has under the key of this one with another value. */
  rival(element: Element): Element | undefined {
    const found = this.#byMapKey.get(mapKeyId(element) ?? '');
    return found && elementId(found) !== elementId(element) ? found : undefined;
  }

  owners(): Iterable<string> {
    return this.#byOwner.keys();
  }

  /** The netdevs whose filter lets their guest speak from a network. */
  speakers(network: Network): string[] {
    return this.#speakers.of(speechOf(spokenFrom('', network)));
  }

  /** The number of elements of each owner that has any in a table. */
  ownersIn(table: Table): ReadonlyMap<string, number> {
    return this.#counts.get(table) ?? new Map();
  }

  ofOwner(owner: string): Element[] {
    return [...(this.#byOwner.get(owner)?.values() ?? [])];
  }

  ofDevice(device: string): OwnedElement[] {
    return [...(this.#byDevice.get(device)?.values() ?? [])];
  }

  all(): Iterable<OwnedElement> {
    return this.#byId.values();
  }

  /** Adds an element, or gives it another owner. */
  set(element: Element, owner: string): void {
    this.delete(element);
    const id = elementId(element);
    this.#byId.set(id, { element, owner });
    const counts = this.#counts.get(tableOf(element)) ?? new Map<string, number>();
    this.#counts.set(tableOf(element), counts.set(owner, (counts.get(owner) ?? 0) + 1));
    const ofOwner = this.#byOwner.get(owner) ?? new Map<string, Element>();
    this.#byOwner.set(owner, ofOwner.set(id, element));
    if (sets[element.set].key[0] === 'ifname') {
      const device = element.key[0] ?? '';
      const ofDevice = this.#byDevice.get(device) ?? new Map<string, OwnedElement>();
      this.#byDevice.set(device, ofDevice.set(id, { element, owner }));
    }
    const speech = speechOf(element);
    if (speech !== undefined) this.#speakers.add(speech, element.key[0] ?? '');
    const mapKey = mapKeyId(element);
    if (mapKey !== undefined) this.#byMapKey.set(mapKey, element);
    this.#masquerades.add(element, owner);
  }

  delete(element: Element): void {
    const id = elementId(element);
    const found = this.#byId.get(id);
    if (found === undefined) return;
    this.#byId.delete(id);
    const { owner } = found;
    const mapKey = mapKeyId(element);
    if (mapKey !== undefined && this.rival(element) === undefined) this.#byMapKey.delete(mapKey);
    const ofOwner = this.#byOwner.get(owner);
    ofOwner?.delete(id);
    if (ofOwner?.size === 0) this.#byOwner.delete(owner);
    const counts = this.#counts.get(tableOf(element));
    const left = (counts?.get(owner) ?? 0) - 1;
    if (left > 0) counts?.set(owner, left);
    else counts?.delete(owner);
    const [device = ''] = element.key;
    const ofDevice = this.#byDevice.get(device);
    ofDevice?.delete(id);
    if (ofDevice?.size === 0) this.#byDevice.delete(device);
    this.#speakers.delete(speechOf(element), device);
    this.#masquerades.delete(element, owner);
  }

  /** Deletes the elements that a test holds for. @returns their owners */
  deleteAll(which: (element: Element) => boolean): Set<string> {
    const owners = new Set<string>();
    for (const { element, owner } of this.#byId.values()) {
      if (!which(element)) continue;
      owners.add(owner);
      this.delete(element);
    }
    return owners;
  }
}

const speechSets: ReadonlySet<SetName> = new Set(['hosts4', 'hosts6', 'networks4', 'networks6']);

/** What a netdev may speak from by an element, the same for all netdevs; undefined for an element that says nothing of that. */
const speechOf = ({ set, key }: Element): string | undefined =>
  speechSets.has(set) ? `${set} ${key[1]}` : undefined;
