import { elementId, type NftChange, type Table, tableOf } from '../../model/nft.js';
import { ChangedMeanwhile } from '../../model/operation-error.js';
import type { NftState } from './state.js';

/** @throws ChangedMeanwhile when a table is in another state than the changes for a vif were planned for */
export function refuseConflicts(state: NftState, vif: string, changes: readonly NftChange[]): void {
  const made = new Set<Table>(
    changes.flatMap((change) => (change.change === 'set-rules' ? [change.table] : [])),
  );
  const isThere = (table: Table): boolean => made.has(table) || state.has(table);
  for (const change of changes) {
    const table = conflictOf(state, vif, change, isThere);
    if (table !== undefined) throw new ChangedMeanwhile(table);
  }
}

/** The table that is in another state than a change for a vif was planned for. */
function conflictOf(
  state: NftState,
  vif: string,
  change: NftChange,
  isThere: (table: Table) => boolean,
): Table | undefined {
  switch (change.change) {
    case 'set-rules': {
      const rules = state.missingRules(change.table);
      return rules === undefined || rules === change.rules ? undefined : change.table;
    }
    case 'wake-table':
      return state.has(change.table) ? undefined : change.table;
    case 'add-element':
    case 'add-opened': {
      const table = tableOf(change.element);
      return isThere(table) ? undefined : table;
    }
    case 'set-chain':
      return isThere('netdev vifd') ? undefined : 'netdev vifd';
    case 'delete-table':
      return state.has(change.table) && !state.isAll(change.table, vif) ? change.table : undefined;
    case 'delete-earlier':
      return state.has('inet vifd') && state.earlier(vif) === undefined ? 'inet vifd' : undefined;
    // What is to go may have gone, and is left out of the transaction then.
    case 'delete-element':
    case 'delete-chain':
    case 'forget-drops':
      return undefined;
  }
}

/** Whether the state has what a change does, before it is made; false for additions, which may also change an owner. */
export function isDone(state: NftState, change: NftChange): boolean {
  switch (change.change) {
    case 'set-rules':
      return state.missingRules(change.table) === undefined;
    case 'wake-table':
      return state.dormant(change.table) === undefined;
    case 'delete-table':
      return !state.has(change.table);
    case 'delete-element':
      return isGone(state, change);
    case 'delete-chain':
    case 'forget-drops':
      return !state.has('netdev vifd');
    case 'delete-earlier':
      return !state.has('inet vifd');
    case 'add-opened':
      return state.isNoted(change.element);
    case 'set-chain':
    case 'add-element':
      return false;
  }
}

/** Whether an element is not there, or not that of the vif which gives it up. */
function isGone(state: NftState, { element, of }: Extract<NftChange, { change: 'delete-element' }>): boolean {
  const there = state.owner(element);
  if (of !== undefined && there !== undefined) return there !== of;
  return there === undefined && !state.isNoted(element);
}

/** Whether the state shows changes that have been made. */
export function isShown(state: NftState, changes: readonly NftChange[]): boolean {
  const added = new Set(
    changes.flatMap((change) => (change.change === 'add-element' ? [elementId(change.element)] : [])),
  );
  return changes.every((change) => isSeen(state, change, added));
}

/** @param added the elements that are added by the same changes: what is deleted before may be there again */
function isSeen(state: NftState, change: NftChange, added: ReadonlySet<string>): boolean {
  switch (change.change) {
    case 'add-element':
      return state.owner(change.element) === change.owner;
    case 'set-chain':
      return state
        .chains(change.owner)
        .some(
          ({ chain, fits, blocks = false, limits = false, marks = false }) =>
            chain === change.chain &&
            fits &&
            blocks === (change.blocks ?? false) &&
            limits === (change.limits ?? false) &&
            marks === (change.marks ?? false),
        );
    case 'delete-chain':
    case 'forget-drops':
      return true;
    case 'delete-element':
      return added.has(elementId(change.element)) || isDone(state, change);
    case 'set-rules':
    case 'wake-table':
    case 'delete-table':
    case 'delete-earlier':
    case 'add-opened':
      return isDone(state, change);
  }
}
