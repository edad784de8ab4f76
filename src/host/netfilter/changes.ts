import { elementId, type NftChange, type Table, tableOf } from '../../model/nft.js';
import { ChangedMeanwhile } from '../../model/operation-error.js';
import type { NftState } from './state.js';

/** @throws ChangedMeanwhile when a table is in another state than the changes for a vif were planned for */
export function refuseConflicts(state: NftState, vif: string, changes: readonly NftChange[]): void {
  const made = new Set<Table>(
    changes.flatMap((change) => (change.change === 'set-rules' ? [change.table] : [])),
  );
  for (const change of changes) {
    switch (change.change) {
      case 'set-rules': {
        const rules = state.missingRules(change.table);
        if (rules !== undefined && rules !== change.rules) throw new ChangedMeanwhile(change.table);
        break;
      }
      case 'wake-table':
        if (!state.has(change.table)) throw new ChangedMeanwhile(change.table);
        break;
      case 'add-element':
      case 'add-opened':
      case 'set-chain': {
        const table = change.change === 'set-chain' ? 'netdev vifd' : tableOf(change.element);
        if (!made.has(table) && !state.has(table)) throw new ChangedMeanwhile(table);
        break;
      }
      case 'delete-table':
        if (state.has(change.table) && !state.isAll(change.table, vif))
          throw new ChangedMeanwhile(change.table);
        break;
      case 'delete-earlier':
        if (state.has('inet vifd') && state.earlier(vif) === undefined)
          throw new ChangedMeanwhile('inet vifd');
        break;
    }
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
      return state.owner(change.element) === undefined && !state.isNoted(change.element);
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

/** Whether the state shows changes that have been made. */
export function isShown(state: NftState, changes: readonly NftChange[]): boolean {
  const added = new Set(
    changes.flatMap((change) => (change.change === 'add-element' ? [elementId(change.element)] : [])),
  );
  return changes.every((change) => {
    switch (change.change) {
      case 'add-element':
        return state.owner(change.element) === change.owner;
      case 'set-chain':
        return state
          .chains(change.owner)
          .some(
            ({ chain, fits, blocks = false, limits = false }) =>
              chain === change.chain &&
              fits &&
              blocks === (change.blocks ?? false) &&
              limits === (change.limits ?? false),
          );
      case 'delete-chain':
      case 'forget-drops':
        return true;
      case 'delete-element':
        return added.has(elementId(change.element)) || isDone(state, change);
      default:
        return isDone(state, change);
    }
  });
}
