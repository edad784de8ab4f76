import { type Network, parseNetwork } from '../../src/model/address.js';
import type { Masquerade } from '../../src/model/masquerade.js';
import {
  type Earlier,
  type Element,
  elementId,
  type InstalledChain,
  mapKeyId,
  type NftAction,
  type NftView,
  type RuledTable,
  spokenFrom,
  type Table,
  tableOf,
} from '../../src/model/nft.js';
import { masqueradeElement } from '../../src/nft/elements.js';
import { parseChainName } from '../../src/nft/tables.js';

/** A masqueraded address in `observed.json`. */
export interface PlainMasquerade {
  readonly owner: string;
  readonly uplink: string;
}

/** nf_tables in memory, as far as plans depend on it: vifd's tables, with or without rules, chains, and elements. */
export class NftMachine implements NftView {
  /** The tables that exist, and whether each has its rules. */
  readonly tables = new Map<Table, boolean>();
  /** The tables that are dormant. */
  readonly asleep = new Set<RuledTable>();
  readonly #chains = new Map<
    string,
    { device: string; fits: boolean; blocks?: boolean; limits?: boolean; marks?: boolean }
  >();
  readonly #elements = new Map<string, { element: Element; owner: string }>();
  readonly #opened = new Map<string, Element>();
  readonly masquerades = new Map<string, Masquerade>();

  /**
   * @param masquerades masqueraded addresses, by the guest's address
   * @param elements elements of sets and maps, each with the vif that it belongs to
   */
  constructor(
    masquerades: Readonly<Record<string, PlainMasquerade>> = {},
    elements: readonly (Element & { readonly owner: string })[] = [],
  ) {
    for (const { owner, ...element } of elements) {
      this.tables.set(tableOf(element) as RuledTable, true);
      this.add(element, owner);
    }
    for (const [address, { owner, uplink }] of Object.entries(masquerades)) {
      const network = parseNetwork(address);
      if (network === undefined) throw new Error(`${address} is no address`);
      this.tables.set('inet vifd', true);
      this.add(masqueradeElement(network, uplink), owner);
    }
  }

  /** @throws when the kernel would refuse it */
  perform({ changes }: NftAction): void {
    for (const change of changes) {
      switch (change.change) {
        case 'set-rules':
          this.tables.set(change.table, true);
          break;
        case 'wake-table':
          this.#there(change.table);
          this.asleep.delete(change.table);
          break;
        case 'delete-table':
          this.#there(change.table);
          this.tables.delete(change.table);
          if (change.table === 'netdev vifd') this.#chains.clear();
          if (change.table === 'inet vifd') this.#opened.clear();
          for (const { element } of [...this.#elements.values()])
            if (tableOf(element) === change.table) this.#drop(element);
          break;
        case 'set-chain':
          this.#there('netdev vifd');
          this.#chains.set(change.chain, {
            device: change.device,
            fits: true,
            ...(change.blocks && { blocks: true }),
            ...(change.limits && { limits: true }),
            ...(change.marks && { marks: true }),
          });
          break;
        case 'delete-chain':
          this.#chains.delete(change.chain);
          break;
        case 'add-element':
          this.#there(tableOf(change.element));
          if (this.rival(change.element)) throw new Error(`File exists: ${elementId(change.element)}`);
          // The kernel leaves an element that exists as it is, with its comment.
          if (!this.#isThere(change.element)) this.add(change.element, change.owner);
          break;
        case 'delete-element':
          if (!this.#isThere(change.element)) throw new Error(`no element ${elementId(change.element)}`);
          this.#drop(change.element);
          this.#opened.delete(elementId(change.element));
          break;
        case 'add-opened':
          this.#there('inet vifd');
          if (!this.#isThere(change.element)) this.#opened.set(elementId(change.element), change.element);
          break;
        // Nothing that is observed changes.
        case 'forget-drops':
        case 'delete-earlier':
          break;
        default:
          change satisfies never;
      }
    }
  }

  #isThere(element: Element): boolean {
    return this.owner(element) !== undefined || this.#opened.has(elementId(element));
  }

  /** Adds an element as another program. */
  add(element: Element, owner: string): void {
    this.#elements.set(elementId(element), { element, owner });
    const [address = '', uplink = ''] = element.key;
    if (!/^(masqueraded|guests)[46]/.test(element.set)) return;
    const known = this.masquerades.get(address);
    const uplinks = known?.owner === owner ? known.uplinks : [];
    this.masquerades.set(address, { owner, uplinks: [...new Set([...uplinks, uplink])].sort() });
  }

  /** Deletes the rule of each chain as another program. */
  spoilChains(): void {
    for (const chain of this.#chains.values()) chain.fits = false;
  }

  missingRules(table: RuledTable): string | undefined {
    return this.tables.get(table) ? undefined : `table ${table} { … }`;
  }

  dormant(table: RuledTable): { flags: undefined } | undefined {
    return this.asleep.has(table) ? { flags: undefined } : undefined;
  }

  chains(vif: string): InstalledChain[] {
    return [...this.#chains]
      .filter(([chain]) => parseChainName(chain)?.vif === vif)
      .map(([chain, found]) => ({ chain, ...found }));
  }

  elements(vif: string): Element[] {
    return [...this.#elements.values()].filter(({ owner }) => owner === vif).map(({ element }) => element);
  }

  strangers(device: string, vif: string): Element[] {
    return [...this.#elements.values()]
      .filter(({ element, owner }) => owner !== vif && element.key[0] === device)
      .map(({ element }) => element);
  }

  /** The vifs that have a chain or an element. */
  owners(): string[] {
    const ofChains = [...this.#chains.keys()].flatMap((chain) => parseChainName(chain)?.vif ?? []);
    return [...new Set([...ofChains, ...[...this.#elements.values()].map(({ owner }) => owner)])];
  }

  owner(element: Element): string | undefined {
    return this.#elements.get(elementId(element))?.owner;
  }

  speakers(network: Network): string[] {
    const id = elementId(spokenFrom('', network));
    return [...this.#elements.values()]
      .filter(({ element: { set, key } }) => elementId({ set, key: ['', ...key.slice(1)] }) === id)
      .map(({ element: { key } }) => key[0] ?? '');
  }

  rival(element: Element): Element | undefined {
    const key = mapKeyId(element);
    if (key === undefined || this.owner(element) !== undefined) return undefined;
    return [...this.#elements.values()].find((one) => mapKeyId(one.element) === key)?.element;
  }

  opened(): Element[] {
    return [...this.#opened.values()];
  }

  isNoted(element: Element): boolean {
    return this.#opened.has(elementId(element));
  }

  isAll(table: Table, vif: string): boolean {
    return (
      this.tables.has(table) &&
      [...this.#elements.values()].every(
        ({ element, owner }) => tableOf(element) !== table || owner === vif,
      ) &&
      (table !== 'netdev vifd' ||
        [...this.#chains.keys()].every((chain) => parseChainName(chain)?.vif === vif))
    );
  }

  earlier(): Earlier | undefined {
    return undefined;
  }

  /** Takes over a vif's state from another machine, except where this one has its own. */
  inherit(former: NftMachine, vif: string): void {
    for (const [table, ruled] of former.tables) this.tables.set(table, ruled);
    for (const element of former.opened()) this.#opened.set(elementId(element), element);
    for (const { chain, ...found } of former.chains(vif)) this.#chains.set(chain, found);
    for (const element of former.elements(vif)) if (this.owner(element) === undefined) this.add(element, vif);
    if (this.#chains.size === 0 && former.chains(vif).length === 0) this.tables.delete('netdev vifd');
  }

  #drop(element: Element): void {
    const owner = this.owner(element);
    this.#elements.delete(elementId(element));
    const [address = '', uplink = ''] = element.key;
    const known = this.masquerades.get(address);
    if (known === undefined || known.owner !== owner || !/^(masqueraded|guests)[46]/.test(element.set))
      return;
    const uplinks = known.uplinks.filter((one) => one !== uplink);
    if (uplinks.length > 0) this.masquerades.set(address, { owner: known.owner, uplinks });
    else this.masquerades.delete(address);
  }

  #there(table: Table): void {
    if (!this.tables.has(table)) throw new Error(`no table ${table}`);
  }
}
