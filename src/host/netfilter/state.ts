import { isDeepStrictEqual } from 'node:util';
import type { Masquerade } from '../../model/masquerade.js';
import {
  chainMark,
  dropsSet,
  type Earlier,
  type Element,
  earlierChains,
  earlierSets,
  elementId,
  type InstalledChain,
  isOpenedSet,
  type NftView,
  type RuledTable,
  type SetName,
  sets,
  type Table,
  tableOf,
  tables,
} from '../../model/nft.js';
import { masqueraded } from '../../nft/elements.js';
import { isMarked, type TableRules } from '../../nft/rules.js';
import { parseChainName } from '../../nft/tables.js';
import {
  decodeChain,
  decodeElements,
  decodeRule,
  decodeSet,
  decodeTableFlags,
  type NftMessage,
  nft,
  policyDrop,
  setOf,
  tableFlags,
} from './messages.js';

/** Stands for any vif in a list of vifs' names. */
export const everyVif = '*';

interface Chain {
  readonly handle: bigint;
  /** The vif whose chain it is; undefined for a chain of the rules or of another program. */
  readonly vif: string | undefined;
  hooked: boolean;
  device: string;
  policy: number | undefined;
  /** Whether its netdev has gone: kernels before 6.16 delete the chain with it, without a notification. */
  doubtful: boolean;
  /** Comments by handle, in the order in which the rules were added. */
  readonly rules: Map<bigint, string>;
}

interface TableState {
  flags: number;
  readonly chains: Map<string, Chain>;
  readonly names: Map<bigint, string>;
  /** The number of elements of each vif in its sets. */
  readonly owners: Map<string, number>;
  /** The names of sets that are no part of a rule. */
  readonly sets: Set<string>;
}

interface OwnedElement {
  readonly element: Element;
  /** The vif's name in its comment; empty when it is none. */
  readonly owner: string;
}

/** What the state is compared with: the rules, and whether tables can have an owner. */
export interface Expected {
  readonly rules: ReadonlyMap<string, TableRules>;
  /** Whether nft and the kernel support tables that have an owner and outlive it (`flags owner, persist`). */
  readonly ownable: () => boolean;
  /** What vifd made forward, by {@link elementId}: added to by each state, and outlives a table that another program deletes. */
  readonly opened: Map<string, Element>;
}

/** The state of vifd's tables in nf_tables, built from a sequence of its messages. */
export class NftState implements NftView {
  readonly #expected: Expected;
  readonly #tables = new Map<string, TableState>();
  /** Elements by {@link elementId}. */
  readonly #elements = new Map<string, OwnedElement>();
  /** The same by owner. */
  readonly #owned = new Map<string, Map<string, Element>>();
  /** The same by the netdev's name, where that is the first part of the key. */
  readonly #ofDevice = new Map<string, Map<string, OwnedElement>>();
  /** The elements of `opened` that are in the kernel. */
  readonly #noted = new Set<string>();
  /** Chains by vif. */
  readonly #chains = new Map<string, Map<string, Chain>>();

  constructor(expected: Expected) {
    this.#expected = expected;
  }

  has(table: Table): boolean {
    return this.#tables.has(table);
  }

  /** Whether a table stays when the process that it belongs to ends. */
  outlives(table: Table): boolean {
    return ((this.#tables.get(table)?.flags ?? 0) & tableFlags.persist) !== 0;
  }

  /** Whether a table belongs to one process and outlives it. */
  isOwned(table: Table): boolean {
    const owned = tableFlags.owner | tableFlags.persist;
    return ((this.#tables.get(table)?.flags ?? 0) & owned) === owned;
  }

  missingRules(table: RuledTable): string | undefined {
    const state = this.#tables.get(table);
    const expected = this.#expected.rules.get(table);
    if (expected === undefined || (state && isAsExpected(state, expected))) return undefined;
    const flags = state?.flags ?? (this.#expected.ownable() ? tableFlags.owner | tableFlags.persist : 0);
    return expected.text({
      flags: printFlags(flags),
      flush: [...expected.marks.keys()].filter((chain) => state?.chains.has(chain)),
      former: [...(state?.chains ?? [])]
        .filter(([name, chain]) => !expected.marks.has(name) && isFormer(chain))
        .map(([name]) => name),
    });
  }

  dormant(table: RuledTable): { flags: string | undefined } | undefined {
    const flags = this.#tables.get(table)?.flags ?? 0;
    return flags & tableFlags.dormant ? { flags: printFlags(flags) } : undefined;
  }

  chains(vif: string): InstalledChain[] {
    return [...(this.#chains.get(vif) ?? [])].map(([name, chain]) => ({
      chain: name,
      device: chain.device,
      ...rulesOf(vif, chain),
    }));
  }

  elements(vif: string): Element[] {
    return [...(this.#owned.get(vif)?.values() ?? [])];
  }

  strangers(device: string, vif: string): Element[] {
    return [...(this.#ofDevice.get(device)?.values() ?? [])]
      .filter(({ owner }) => owner !== vif)
      .map(({ element }) => element);
  }

  owner(element: Element): string | undefined {
    return this.#elements.get(elementId(element))?.owner;
  }

  opened(): Element[] {
    return [...this.#expected.opened.values()];
  }

  isNoted(element: Element): boolean {
    return this.#noted.has(elementId(element));
  }

  isAll(table: Table, vif: string): boolean {
    const state = this.#tables.get(table);
    const isAlone = (owners: ReadonlyMap<string, unknown>): boolean =>
      owners.size === 0 || (owners.size === 1 && owners.has(vif));
    return (
      state !== undefined &&
      isAlone(state.owners) &&
      (table !== 'netdev vifd' || isAlone(this.#chains)) &&
      this.#foreignIn(table).length === 0
    );
  }

  earlier(vif: string): Earlier | undefined {
    const table = this.#tables.get('inet vifd');
    const found = {
      chains: earlierChains.filter((chain) => table?.chains.has(chain)),
      sets: earlierSets.filter((set) => table?.sets.has(set)),
    };
    if (found.chains.length + found.sets.length === 0) return undefined;
    const others = [...this.#elements.values()].some(
      ({ element, owner }) => owner !== vif && earlierSets.includes(element.set),
    );
    return others ? undefined : found;
  }

  /** The names of the vifs that have a chain or an element. */
  owners(): Set<string> {
    return new Set([...this.#chains.keys(), ...this.#owned.keys()].filter(Boolean));
  }

  /** The vif that each netdev has its filter for, by the netdev's name. */
  devices(): Map<string, string> {
    return new Map(
      [...this.#elements.values()]
        .filter(({ element, owner }) => (element.set === 'macs' || element.set === 'unheld') && owner !== '')
        .map(({ element, owner }) => [element.key[0] ?? '', owner]),
    );
  }

  /** The masqueraded addresses. */
  readonly masquerades = new Map<string, Masquerade>();

  /** Objects that other programs have put into vifd's tables, as nft names them; they are left as they are. */
  foreign(): string[] {
    return [
      ...tables.flatMap((table) => this.#foreignIn(table)),
      // An element about a vif's netdev is not left.
      ...this.elements('')
        .filter(({ key }) => !this.#isHeld(key[0] ?? ''))
        .map((element) => `element ${tableOf(element)} ${element.set} ${element.key.join(' . ')}`),
    ];
  }

  /** Notes that the netdev with this index is gone (undefined: any may be), and that its chain may be. */
  deviceGone(index: number | undefined): void {
    for (const chains of this.#chains.values()) {
      for (const [name, chain] of chains)
        chain.doubtful ||= index === undefined || parseChainName(name)?.index === index;
    }
  }

  /** Applies one message. @returns the names of the vifs it is about, or {@link everyVif} */
  apply(message: NftMessage): string[] {
    const { type } = message;
    if (!isOurs(message.table)) return [];
    switch (type) {
      case nft.newTable: {
        const before = this.#tables.get(message.table)?.flags;
        this.#table(message.table).flags = decodeTableFlags(message);
        return before === decodeTableFlags(message) ? [] : [everyVif];
      }
      case nft.delTable:
        this.#clear(message.table);
        return [everyVif];
      case nft.newChain:
      case nft.delChain:
        return this.#applyChain(message);
      case nft.newRule:
      case nft.delRule:
        return this.#applyRule(message);
      case nft.newSet:
      case nft.delSet:
        return this.#applySet(message);
      case nft.newElements:
      case nft.delElements:
        return this.#applyElements(message);
      default:
        return [];
    }
  }

  /** The vifs whose state differs between this and another; {@link everyVif} where the rules differ. */
  differences(other: NftState): string[] {
    const rules = (of: NftState): string =>
      (['netdev vifd', 'inet vifd'] as const)
        .map((table) => [
          of.has(table),
          of.missingRules(table) === undefined,
          of.dormant(table) === undefined,
        ])
        .join();
    if (rules(this) !== rules(other)) return [everyVif];
    const of = (state: NftState, vif: string) => [
      state.chains(vif),
      state.elements(vif).map(elementId).sort(),
    ];
    return [...new Set([...this.owners(), ...other.owners()])].filter(
      (vif) => !isDeepStrictEqual(of(this, vif), of(other, vif)),
    );
  }

  #table(name: string): TableState {
    const found = this.#tables.get(name) ?? {
      flags: 0,
      chains: new Map(),
      names: new Map(),
      owners: new Map(),
      sets: new Set(),
    };
    this.#tables.set(name, found);
    return found;
  }

  #foreignIn(name: Table): string[] {
    const table = this.#tables.get(name);
    const rules = this.#expected.rules.get(name);
    // Of an earlier release's table for masquerading only the elements are read.
    if (table === undefined || rules === undefined) return [];
    const isRouter = name === 'inet vifd';
    return [
      ...[...table.chains]
        .filter(
          ([name, chain]) =>
            chain.vif === undefined &&
            !rules.marks.has(name) &&
            !isFormer(chain) &&
            !(isRouter && earlierChains.includes(name)),
        )
        .map(([chain]) => `chain ${name} ${chain}`),
      ...[...table.sets]
        .filter((set) => !rules.sets.has(set) && !(isRouter && earlierSets.includes(set)))
        .map((set) => `set ${name} ${set}`),
    ];
  }

  #applyChain(message: NftMessage): string[] {
    const { name, handle, hooked, device, policy } = decodeChain(message);
    const table = this.#table(message.table);
    const former = table.names.get(handle);
    // The chain may have been renamed.
    const touched = [name, former ?? name];
    const vifs = touched.flatMap((each) => this.#vifsOfChain(message.table, each));
    const known = former === name ? table.chains.get(name) : undefined;
    if (message.type === nft.newChain && known) {
      // An update names only the devices that it adds (Linux 6.4 and later).
      known.device = device || known.device;
      known.policy = policy ?? known.policy;
      known.doubtful = false;
      return vifs;
    }
    for (const each of touched) this.#dropChain(message.table, each);
    if (message.type === nft.delChain) return vifs;
    const vif = message.table === 'netdev vifd' ? parseChainName(name)?.vif : undefined;
    const chain = { handle, vif, hooked, device, policy, doubtful: false, rules: new Map<bigint, string>() };
    table.chains.set(name, chain);
    table.names.set(handle, name);
    if (vif !== undefined) {
      const of = this.#chains.get(vif) ?? new Map<string, Chain>();
      this.#chains.set(vif, of.set(name, chain));
    }
    return vifs;
  }

  #dropChain(table: string, name: string): void {
    const state = this.#tables.get(table);
    const chain = state?.chains.get(name);
    if (state === undefined || chain === undefined) return;
    state.chains.delete(name);
    state.names.delete(chain.handle);
    const of = this.#chains.get(chain.vif ?? '');
    of?.delete(name);
    if (chain.vif !== undefined && of?.size === 0) this.#chains.delete(chain.vif);
  }

  #vifsOfChain(table: string, chain: string): string[] {
    const owner = table === 'netdev vifd' ? parseChainName(chain) : undefined;
    if (owner) return [owner.vif];
    return this.#expected.rules.get(table)?.marks.has(chain) ? [everyVif] : [];
  }

  #applyRule(message: NftMessage): string[] {
    const { chain, handle, comment } = decodeRule(message);
    const rules = this.#tables.get(message.table)?.chains.get(chain)?.rules;
    if (message.type === nft.newRule) rules?.set(handle, comment);
    else rules?.delete(handle);
    return this.#vifsOfChain(message.table, chain);
  }

  #applySet(message: NftMessage): string[] {
    const { name, anonymous } = decodeSet(message);
    if (anonymous) return [];
    const table = this.#table(message.table);
    if (message.type === nft.newSet) table.sets.add(name);
    else table.sets.delete(name);
    if (message.type === nft.newSet) return [];
    for (const id of this.#noted) if (id.startsWith(`${name} `)) this.#noted.delete(id);
    return this.#remove(({ set }) => set === name && sets[set].table === message.table);
  }

  #applyElements(message: NftMessage): string[] {
    const set = setOf(message);
    if (set === dropsSet || !isSet(set) || sets[set].table !== message.table) return [];
    const owners = new Set<string>();
    for (const { key, comment } of decodeElements(message, sets[set].key)) {
      const element = { set, key };
      const id = elementId(element);
      const before = this.#elements.get(id)?.owner;
      const owner = /^vif\d+\.\d+$/.test(comment) ? comment : '';
      if (owner === '' && isOpenedSet(set) && before === undefined) {
        if (message.type === nft.newElements) this.#noted.add(id);
        else this.#noted.delete(id);
        this.#expected.opened.set(id, element);
        continue;
      }
      if (before !== undefined) owners.add(before);
      this.#drop(id);
      if (message.type === nft.newElements) {
        owners.add(owner);
        this.#elements.set(id, { element, owner });
        const { owners: counts } = this.#table(message.table);
        counts.set(owner, (counts.get(owner) ?? 0) + 1);
        const of = this.#owned.get(owner) ?? new Map<string, Element>();
        this.#owned.set(owner, of.set(id, element));
        if (sets[set].key[0] === 'ifname') {
          const device = key[0] ?? '';
          const there = this.#ofDevice.get(device) ?? new Map<string, OwnedElement>();
          this.#ofDevice.set(device, there.set(id, { element, owner }));
        }
        this.#noteMasquerade(element, owner);
      }
    }
    // An element without an owner concerns the vif whose netdev is in its key, which may be any.
    return [...owners].map((owner) => owner || everyVif);
  }

  #isHeld(device: string): boolean {
    return [...(this.#ofDevice.get(device)?.values() ?? [])].some(({ owner }) => owner !== '');
  }

  #noteMasquerade(element: Element, owner: string): void {
    const of = owner === '' ? undefined : masqueraded(element);
    if (of === undefined) return;
    const known = this.masquerades.get(of.address);
    const uplinks = known?.owner === owner ? known.uplinks : [];
    this.masquerades.set(of.address, { owner, uplinks: [...new Set([...uplinks, of.uplink])] });
  }

  #drop(id: string): void {
    const found = this.#elements.get(id);
    if (found === undefined) return;
    this.#elements.delete(id);
    const of = this.#owned.get(found.owner);
    of?.delete(id);
    if (of?.size === 0) this.#owned.delete(found.owner);
    const counts = this.#tables.get(tableOf(found.element))?.owners;
    const left = (counts?.get(found.owner) ?? 0) - 1;
    if (left > 0) counts?.set(found.owner, left);
    else counts?.delete(found.owner);
    const [device = ''] = found.element.key;
    const there = this.#ofDevice.get(device);
    there?.delete(id);
    if (there?.size === 0) this.#ofDevice.delete(device);
    const was = masqueraded(found.element);
    const known = was && this.masquerades.get(was.address);
    if (known?.owner !== found.owner) return;
    const uplinks = known.uplinks.filter((uplink) => uplink !== was?.uplink);
    if (was && uplinks.length > 0) this.masquerades.set(was.address, { ...known, uplinks });
    else if (was) this.masquerades.delete(was.address);
    // During an upgrade an address has an element of the earlier release and one of this.
    for (const set of masqueradeSets) {
      const same = this.#elements.get(elementId({ ...found.element, set }));
      if (same) this.#noteMasquerade(same.element, same.owner);
    }
  }

  #remove(which: (element: Element) => boolean): string[] {
    const owners = new Set<string>();
    for (const [id, { element, owner }] of this.#elements) {
      if (!which(element)) continue;
      owners.add(owner || everyVif);
      this.#drop(id);
    }
    return [...owners];
  }

  #clear(table: string): void {
    this.#tables.delete(table);
    if (table === 'inet vifd') this.#noted.clear();
    if (table === 'netdev vifd') this.#chains.clear();
    this.#remove((element) => tableOf(element) === table);
  }
}

const masqueradeSets = (Object.keys(sets) as SetName[]).filter((set) => masqueraded({ set, key: ['', ''] }));

const isOurs = (table: string): table is Table => (tables as readonly string[]).includes(table);

const isSet = (name: string): name is SetName => Object.hasOwn(sets, name);

/** Whether a chain is of an earlier release's rules, when it is not of this one's. */
const isFormer = ({ vif, rules }: Chain): boolean =>
  vif === undefined && rules.size > 0 && [...rules.values()].every(isMarked);

/** Whether a vif's chain is as vifd makes one, and of which kind. */
function rulesOf(vif: string, { doubtful, policy, rules }: Chain): { fits: boolean; blocks?: boolean } {
  const found = [...rules.values()];
  const blocks = sameList(found, [chainMark(vif, { blocks: true })]);
  return {
    ...(blocks && { blocks }),
    fits: !doubtful && policy === policyDrop && (blocks || sameList(found, [chainMark(vif, {})])),
  };
}

/** The flags of a table that stay when it wakes, as nft prints them. */
const printFlags = (flags: number): string | undefined =>
  flags & tableFlags.persist ? 'owner, persist' : flags & tableFlags.owner ? 'owner' : undefined;

/** Whether a table has all rules, in order, in chains that are at their hooks, none with policy drop. */
function isAsExpected({ chains }: TableState, expected: TableRules): boolean {
  return [...expected.marks].every(([name, marks]) => {
    const chain = chains.get(name);
    return (
      chain !== undefined &&
      sameList([...chain.rules.values()], marks) &&
      chain.hooked === expected.hooked.has(name) &&
      !(chain.hooked && chain.policy === policyDrop)
    );
  });
}

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);
