import { isDeepStrictEqual } from 'node:util';
import type { Network } from '../../model/address.js';
import type { Masquerade } from '../../model/masquerade.js';
import {
  type Earlier,
  type Element,
  earlierChains,
  earlierSets,
  elementId,
  filterSets,
  type InstalledChain,
  type NftView,
  type RuledTable,
  ruledTables,
  type Table,
  tableOf,
  tables,
} from '../../model/nft.js';
import { type Expected, everyVif, TableContents } from './contents.js';
import { type NftMessage, tableFlags } from './messages.js';
import { printFlags } from './table-state.js';

/** The state of vifd's tables in nf_tables, built from a sequence of its messages. */
export class NftState implements NftView {
  readonly #expected: Expected;
  readonly #contents: TableContents;

  constructor(expected: Expected) {
    this.#expected = expected;
    this.#contents = new TableContents(expected);
  }

  /** The masqueraded addresses. */
  get masquerades(): ReadonlyMap<string, Masquerade> {
    return this.#contents.elements.masquerades;
  }

  has(table: Table): boolean {
    return this.#contents.tables.has(table);
  }

  /** Whether a table stays when the process that it belongs to ends. */
  outlives(table: Table): boolean {
    return (this.#flags(table) & tableFlags.persist) !== 0;
  }

  /** Whether a table belongs to one process and outlives it. */
  isOwned(table: Table): boolean {
    const owned = tableFlags.owner | tableFlags.persist;
    return (this.#flags(table) & owned) === owned;
  }

  missingRules(table: RuledTable): string | undefined {
    const state = this.#contents.tables.get(table);
    const expected = this.#expected.rules.get(table);
    if (expected === undefined || state?.fits(expected)) return undefined;
    const flags = state?.flags ?? (this.#expected.ownable ? tableFlags.owner | tableFlags.persist : 0);
    return expected.text({
      flags: printFlags(flags),
      flush: [...expected.marks.keys()].filter((chain) => state?.chains.byName.has(chain)),
      former: state?.former(expected) ?? [],
    });
  }

  dormant(table: RuledTable): { flags: string | undefined } | undefined {
    const flags = this.#flags(table);
    return flags & tableFlags.dormant ? { flags: printFlags(flags) } : undefined;
  }

  chains(vif: string): InstalledChain[] {
    return this.#contents.tables.get('netdev vifd')?.chains.ofVif(vif) ?? [];
  }

  elements(vif: string): Element[] {
    return this.#contents.elements.ofOwner(vif);
  }

  strangers(device: string, vif: string): Element[] {
    return this.#contents.elements
      .ofDevice(device)
      .filter(({ owner }) => owner !== vif)
      .map(({ element }) => element);
  }

  owner(element: Element): string | undefined {
    return this.#contents.elements.owner(element);
  }

  speakers(network: Network): string[] {
    return this.#contents.elements.speakers(network);
  }

  rival(element: Element): Element | undefined {
    return this.#contents.elements.rival(element);
  }

  opened(): Element[] {
    return [...this.#expected.opened.values()];
  }

  isNoted(element: Element): boolean {
    return this.#contents.noted.has(elementId(element));
  }

  isAll(table: Table, vif: string): boolean {
    const state = this.#contents.tables.get(table);
    const isAlone = (owners: ReadonlyMap<string, unknown>): boolean =>
      owners.size === 0 || (owners.size === 1 && owners.has(vif));
    return (
      state !== undefined &&
      isAlone(this.#contents.elements.ownersIn(table)) &&
      isAlone(state.chains.byVif) &&
      this.#foreignIn(table).length === 0
    );
  }

  earlier(vif: string): Earlier | undefined {
    const table = this.#contents.tables.get('inet vifd');
    const found = {
      chains: earlierChains.filter((chain) => table?.chains.byName.has(chain)),
      sets: earlierSets.filter((set) => table?.sets.has(set)),
    };
    if (found.chains.length + found.sets.length === 0) return undefined;
    const others = [...this.#contents.elements.all()].some(
      ({ element, owner }) => owner !== vif && earlierSets.includes(element.set),
    );
    return others ? undefined : found;
  }

  /** The names of the vifs that have a chain or an element. */
  owners(): Set<string> {
    const chains = this.#contents.tables.get('netdev vifd')?.chains.byVif.keys() ?? [];
    return new Set([...chains, ...this.#contents.elements.owners()].filter(Boolean));
  }

  /** The vif that each netdev has its filter for, by the netdev's name. */
  devices(): Map<string, string> {
    return new Map(
      [...this.#contents.elements.all()]
        .filter(({ element, owner }) => filterSets.has(element.set) && owner !== '')
        .map(({ element, owner }) => [element.key[0] ?? '', owner]),
    );
  }

  /** Objects that other programs have put into vifd's tables, as nft names them; they are left as they are. */
  foreign(): string[] {
    return [
      ...tables.flatMap((table) => this.#foreignIn(table)),
      // An element about a vif's netdev is not left.
      ...this.elements('')
        .filter(({ key: [device = ''] }) => !this.#isHeld(device))
        .map((element) => `element ${tableOf(element)} ${element.set} ${element.key.join(' . ')}`),
    ];
  }

  /** Notes that the netdev with this index is gone (undefined: any may be), and that its chain may be. */
  deviceGone(index: number | undefined): void {
    this.#contents.tables.get('netdev vifd')?.chains.deviceGone(index);
  }

  /** Applies one message. @returns the names of the vifs it is about, or {@link everyVif} */
  apply(message: NftMessage): string[] {
    return this.#contents.apply(message);
  }

  /** The vifs whose state differs between this and another; {@link everyVif} where what all depend on does: rules, what was made forward, what others added. */
  differences(other: NftState): string[] {
    const rules = (of: NftState): string =>
      ruledTables
        .map((table) => [
          of.has(table),
          of.missingRules(table) === undefined,
          of.dormant(table) === undefined,
        ])
        .join();
    if (rules(this) !== rules(other)) return [everyVif];
    if (!isDeepStrictEqual(this.#contents.noted, other.#contents.noted)) return [everyVif];
    const hasSame = (owner: string): boolean => {
      const [before, now] = [this.elements(owner), other.elements(owner)];
      return before.length === now.length && before.every((element) => other.owner(element) === owner);
    };
    // One that is no vif's may be about the netdev of any.
    if (!hasSame('')) return [everyVif];
    const isSame = (vif: string): boolean =>
      hasSame(vif) && isDeepStrictEqual(this.chains(vif), other.chains(vif));
    return [...new Set([...this.owners(), ...other.owners()])].filter((vif) => !isSame(vif));
  }

  #flags(table: Table): number {
    return this.#contents.tables.get(table)?.flags ?? 0;
  }

  #foreignIn(table: Table): string[] {
    const rules = this.#expected.rules.get(table);
    // Of an earlier release's table for masquerading only the elements are read.
    return rules === undefined ? [] : (this.#contents.tables.get(table)?.foreign(rules) ?? []);
  }

  #isHeld(device: string): boolean {
    return this.#contents.elements.ofDevice(device).some(({ owner }) => owner !== '');
  }
}
