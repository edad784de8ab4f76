import { sameList } from '../../model/list.js';
import { earlierChains, earlierSets, type Table } from '../../model/nft.js';
import { isMarked, type TableRules } from '../../nft/rules.js';
import { type Chain, Chains } from './chains.js';
import { policyDrop, tableFlags } from './messages.js';

/** One of vifd's tables as it is in the kernel, except for the elements of its sets. */
export class TableState {
  /** As `tableFlags` names them. */
  flags = 0;
  readonly chains: Chains;
  /** The names of sets that are no part of a rule. */
  readonly sets = new Set<string>();
  readonly #name: Table;
  /** Whether it fitted, and after how many changes of its chains: a look costs no comparison of all rules. */
  #fitted = { changes: -1, fits: false };

  constructor(name: Table) {
    this.#name = name;
    this.chains = new Chains(name === 'netdev vifd');
  }

  /** Whether the table has all rules, in order, in chains that are at their hooks, none with policy drop. */
  fits(expected: TableRules): boolean {
    const { changes } = this.chains;
    if (this.#fitted.changes !== changes) this.#fitted = { changes, fits: this.#compare(expected) };
    return this.#fitted.fits;
  }

  #compare(expected: TableRules): boolean {
    return [...expected.marks].every(([name, marks]) => {
      const chain = this.chains.byName.get(name);
      return (
        chain !== undefined &&
        sameList([...chain.rules.values()], marks) &&
        chain.hooked === expected.hooked.has(name) &&
        !(chain.hooked && chain.policy === policyDrop)
      );
    });
  }

  /** The chains that are left of an earlier release's rules. */
  former(expected: TableRules): string[] {
    return [...this.chains.byName]
      .filter(([name, chain]) => !expected.marks.has(name) && isFormer(chain))
      .map(([name]) => name);
  }

  /** Chains and sets that other programs have put into the table, as nft names them. */
  foreign(expected: TableRules): string[] {
    const isRouter = this.#name === 'inet vifd';
    const chains = [...this.chains.byName]
      .filter(
        ([name, chain]) =>
          chain.vif === undefined &&
          !expected.marks.has(name) &&
          !isFormer(chain) &&
          !(isRouter && earlierChains.includes(name)),
      )
      .map(([chain]) => `chain ${this.#name} ${chain}`);
    const sets = [...this.sets]
      .filter((set) => !expected.sets.has(set) && !(isRouter && earlierSets.includes(set)))
      .map((set) => `set ${this.#name} ${set}`);
    return [...chains, ...sets];
  }
}

/** Whether a chain is of an earlier release's rules, when it is not of this one's. */
const isFormer = ({ vif, rules }: Chain): boolean =>
  vif === undefined && rules.size > 0 && [...rules.values()].every(isMarked);

/** The flags of a table that stay when it wakes, as nft prints them; undefined for none. */
export const printFlags = (flags: number): string | undefined =>
  flags & tableFlags.persist ? 'owner, persist' : flags & tableFlags.owner ? 'owner' : undefined;
