import { elementId, mapKeyId, type NftAction, type NftChange } from '../../model/nft.js';

/** What a kind of change is beside those of other vifs. */
interface Joining {
  /**
   * `alone`: others have to see its effect before; `each`: it is one vif's; `once`: vifs ask for the same, of what has no
   * owner, and it is made once.
   */
  readonly joins: 'alone' | 'each' | 'once';
  /** Its place: rules come before what needs their table, and an element goes before another's may take its place. */
  readonly rank: 0 | 1 | 2 | 3;
}

const kinds: Readonly<Record<NftChange['change'], Joining>> = {
  'set-rules': { joins: 'once', rank: 0 },
  'wake-table': { joins: 'alone', rank: 2 },
  'delete-table': { joins: 'alone', rank: 2 },
  'delete-earlier': { joins: 'alone', rank: 2 },
  'delete-element': { joins: 'each', rank: 1 },
  'set-chain': { joins: 'each', rank: 2 },
  'delete-chain': { joins: 'each', rank: 2 },
  'forget-drops': { joins: 'each', rank: 2 },
  'add-element': { joins: 'each', rank: 3 },
  'add-opened': { joins: 'once', rank: 3 },
};

/** How many of the first actions can be one transaction: those of which none changes what another of them does. */
export function joinable(actions: readonly NftAction[]): number {
  const changed = new Map<string, NftChange>();
  for (const [i, { closes = [], changes }] of actions.entries()) {
    if (closes.length > 0 || changes.some(({ change }) => kinds[change].joins === 'alone'))
      return Math.max(i, 1);
    for (const change of changes) {
      const before = changed.get(objectOf(change));
      if (before !== undefined && !isSame(before, change)) return i;
    }
    for (const change of changes) changed.set(objectOf(change), change);
  }
  return actions.length;
}

/** The same for changes of the same object. */
function objectOf(change: NftChange): string {
  switch (change.change) {
    case 'add-element':
    case 'add-opened':
    case 'delete-element':
      // One key of a map has one value, whichever.
      return mapKeyId(change.element) ?? elementId(change.element);
    case 'set-chain':
    case 'delete-chain':
      return `chain ${change.chain}`;
    case 'forget-drops':
      return `drops ${change.device}`;
    case 'set-rules':
    case 'wake-table':
    case 'delete-table':
      return change.table;
    case 'delete-earlier':
      return 'inet vifd';
  }
}

/** Whether two changes of one object are the same, of what has no owner. */
const isSame = (one: NftChange, other: NftChange): boolean =>
  one.change === other.change &&
  kinds[one.change].joins === 'once' &&
  ('rules' in one ? one.rules : '') === ('rules' in other ? other.rules : '');

/**
 * The changes of actions that are {@link joinable}, as those of one: what they have in common once, and the elements of
 * a set together, which are one command then. The effect is that of one after the other, since none is seen alone.
 */
export function joined(actions: readonly NftAction[]): NftChange[] {
  const changes = actions.flatMap((action) => action.changes);
  if (actions.length === 1) return changes;
  const shared = new Set<string>();
  const needed = changes.filter((change) => {
    if (kinds[change.change].joins !== 'once') return true;
    const isFirst = !shared.has(objectOf(change));
    shared.add(objectOf(change));
    return isFirst;
  });
  // Sorting keeps the order of what is equal.
  return needed.sort((one, other) => rank(one) - rank(other) || compare(setOf(one), setOf(other)));
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

const rank = ({ change }: NftChange): number => kinds[change].rank;

const setOf = (change: NftChange): string => ('element' in change ? change.element.set : '');
