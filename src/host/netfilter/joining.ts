import { elementId, type NftAction, type NftChange } from '../../model/nft.js';

/** How many of the first actions can be one transaction: those of which none changes what another of them does. */
export function joinable(actions: readonly NftAction[]): number {
  const changed = new Map<string, NftChange>();
  for (const [i, action] of actions.entries()) {
    const objects = objectsOf(action);
    if (objects === undefined) return Math.max(i, 1);
    for (const [id, change] of objects) {
      const before = changed.get(id);
      if (before !== undefined && !isSame(before, change)) return i;
    }
    for (const [id, change] of objects) changed.set(id, change);
  }
  return actions.length;
}

/** What an action changes, by an id; undefined where others have to see its effect before. */
function objectsOf({ closes = [], changes }: NftAction): [string, NftChange][] | undefined {
  const found: [string, NftChange][] = [];
  for (const change of changes) {
    switch (change.change) {
      case 'add-element':
      case 'add-opened':
      case 'delete-element':
        found.push([elementId(change.element), change]);
        break;
      case 'set-chain':
      case 'delete-chain':
        found.push([`chain ${change.chain}`, change]);
        break;
      case 'forget-drops':
        found.push([`drops ${change.device}`, change]);
        break;
      case 'set-rules':
        found.push([change.table, change]);
        break;
      default:
        return undefined;
    }
  }
  return closes.length > 0 ? undefined : found;
}

/** Whether two actions ask for the same, of what has no owner. */
const isSame = (one: NftChange, other: NftChange): boolean =>
  (one.change === 'add-opened' && other.change === 'add-opened') ||
  (one.change === 'set-rules' && other.change === 'set-rules' && one.rules === other.rules);

/**
 * The changes of actions that are {@link joinable}, as those of one: what they have in common once, and the elements of
 * a set together, which are one command then. The effect is that of one after the other, since none is seen alone.
 */
export function joined(actions: readonly NftAction[]): NftChange[] {
  const changes = actions.flatMap((action) => action.changes);
  if (actions.length === 1) return changes;
  const shared = new Set<string>();
  const needed = changes.filter((change) => {
    const id =
      change.change === 'set-rules'
        ? change.table
        : change.change === 'add-opened'
          ? elementId(change.element)
          : undefined;
    if (id === undefined) return true;
    const isFirst = !shared.has(id);
    shared.add(id);
    return isFirst;
  });
  // Sorting keeps the order of what is equal.
  return needed.sort((one, other) => rank(one) - rank(other) || setOf(one).localeCompare(setOf(other)));
}

/** Rules come before what needs their table, and an element goes before another's may take its place. */
function rank({ change }: NftChange): number {
  if (change === 'set-rules') return 0;
  if (change === 'delete-element') return 1;
  return change === 'add-element' || change === 'add-opened' ? 3 : 2;
}

const setOf = (change: NftChange): string => ('element' in change ? change.element.set : '');
