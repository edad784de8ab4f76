import {
  dropsSet,
  type Element,
  elementId,
  isOpenedSet,
  type SetName,
  sets,
  specOf,
  type Table,
  tableOf,
  tables,
} from '../../model/nft.js';
import type { TableRules } from '../../nft/rules.js';
import { parseChainName } from '../../nft/tables.js';
import { Elements } from './elements.js';
import {
  decodeElements,
  decodeRule,
  decodeSet,
  decodeTableFlags,
  type NftMessage,
  nft,
  setOf,
} from './messages.js';
import { TableState } from './table-state.js';

/** Stands for any vif in a list of vifs' names. */
export const everyVif = '*';

/** What the state is compared with: the rules, and whether tables can have an owner. */
export interface Expected {
  readonly rules: ReadonlyMap<string, TableRules>;
  /** Whether nft and the kernel support tables that have an owner and outlive it (`flags owner, persist`). */
  readonly ownable: boolean;
  /** What vifd made forward, by {@link elementId}: added to by each state, and outlives a table that another program deletes. */
  readonly opened: Map<string, Element>;
}

/** What is in vifd's tables, kept by applying the messages of nf_tables about them. */
export class TableContents {
  readonly #expected: Expected;
  readonly #tables = new Map<Table, TableState>();
  readonly elements = new Elements();
  /** The ids of the elements of what vifd made forward that are in the kernel. */
  readonly #noted = new Set<string>();

  constructor(expected: Expected) {
    this.#expected = expected;
  }

  get tables(): ReadonlyMap<Table, TableState> {
    return this.#tables;
  }

  /** The ids of the elements of `opened` that are in the kernel. */
  get noted(): ReadonlySet<string> {
    return this.#noted;
  }

  /** Applies one message. @returns the names of the vifs it is about, or {@link everyVif} */
  apply(message: NftMessage): string[] {
    const { table } = message;
    if (!isOurs(table)) return [];
    switch (message.type) {
      case nft.newTable: {
        const flags = decodeTableFlags(message);
        if (this.#tables.get(table)?.flags === flags) return [];
        this.#table(table).flags = flags;
        return [everyVif];
      }
      case nft.delTable:
        return this.#deleteTable(table);
      case nft.newChain:
      case nft.delChain:
        return this.#table(table)
          .chains.apply(message)
          .flatMap((chain) => this.#vifsOfChain(table, chain));
      case nft.newRule:
      case nft.delRule:
        return this.#applyRule(table, message);
      case nft.newSet:
      case nft.delSet:
        return this.#applySet(table, message);
      case nft.newElements:
      case nft.delElements:
        return this.#applyElements(table, message);
      default:
        return [];
    }
  }

  #table(name: Table): TableState {
    const found = this.#tables.get(name) ?? new TableState(name);
    this.#tables.set(name, found);
    return found;
  }

  #deleteTable(table: Table): string[] {
    this.#tables.delete(table);
    if (table === 'inet vifd') this.#noted.clear();
    this.elements.deleteAll((element) => tableOf(element) === table);
    return [everyVif];
  }

  #vifsOfChain(table: Table, chain: string): string[] {
    const owner = table === 'netdev vifd' ? parseChainName(chain) : undefined;
    if (owner) return [owner.vif];
    return this.#expected.rules.get(table)?.marks.has(chain) ? [everyVif] : [];
  }

  #applyRule(table: Table, message: NftMessage): string[] {
    const { chain, handle, comment } = decodeRule(message);
    const isThere = message.type === nft.newRule;
    this.#tables.get(table)?.chains.applyRule(chain, handle, isThere ? comment : undefined);
    return this.#vifsOfChain(table, chain);
  }

  #applySet(table: Table, message: NftMessage): string[] {
    const { name, anonymous } = decodeSet(message);
    if (anonymous) return [];
    const state = this.#table(table);
    if (message.type === nft.newSet) {
      state.sets.add(name);
      return [];
    }
    state.sets.delete(name);
    for (const id of this.#noted) if (id.startsWith(`${name} `)) this.#noted.delete(id);
    const owners = this.elements.deleteAll(({ set }) => set === name && sets[set].table === table);
    return vifsOfOwners(owners);
  }

  #applyElements(table: Table, message: NftMessage): string[] {
    const set = setOf(message);
    if (set === dropsSet || !isSet(set) || sets[set].table !== table) return [];
    const isNew = message.type === nft.newElements;
    const spec = specOf(set);
    const owners = new Set<string>();
    for (const { key, comment } of decodeElements(message, spec.key, spec)) {
      const element = { set, key };
      const before = this.elements.owner(element);
      const owner = /^vif\d+\.\d+$/.test(comment) ? comment : '';
      if (owner === '' && isOpenedSet(set) && before === undefined) {
        if (this.#noteOpened(element, isNew)) owners.add('');
        continue;
      }
      if (before !== undefined) owners.add(before);
      if (isNew) {
        owners.add(owner);
        this.elements.set(element, owner);
      } else this.elements.delete(element);
    }
    return vifsOfOwners(owners);
  }

  /**
   * Notes an element of what vifd made forward, which has no owner, as there or gone.
   * @returns whether that is news, which every routed vif's rules depend on
   */
  #noteOpened(element: Element, isThere: boolean): boolean {
    const id = elementId(element);
    const isNews = this.#noted.has(id) !== isThere;
    if (isThere) this.#noted.add(id);
    else this.#noted.delete(id);
    this.#expected.opened.set(id, element);
    return isNews;
  }
}

/** An element without an owner concerns the vif whose netdev is in its key, which may be any. */
const vifsOfOwners = (owners: ReadonlySet<string>): string[] => [...owners].map((owner) => owner || everyVif);

const isOurs = (table: string): table is Table => (tables as readonly string[]).includes(table);

const isSet = (name: string): name is SetName => Object.hasOwn(sets, name);
