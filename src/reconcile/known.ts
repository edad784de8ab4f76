import type { Block } from '../model/block.js';
import { isConnected, type VifSnapshot } from '../model/snapshot.js';
import type { VifId } from '../model/vif-id.js';
import type { Known } from './next.js';

/** The keys of a vif with what is known beside them: the other vifs of its card, and its block. */
export const keysWith = (
  keys: VifSnapshot,
  twins: readonly VifId[],
  block: Block | undefined,
): VifSnapshot => ({
  ...keys,
  ...(twins.length > 0 && { twins }),
  ...(block && { blocked: block }),
});

/**
 * What the next step of a vif is computed from, by its keys and what a daemon remembers of it: by default nothing, as one that
 * starts now. A vif that such a daemon finds connected has been put on the network by another agent, or an earlier vifd.
 */
export function knownOf(
  id: VifId,
  snapshot: VifSnapshot | undefined,
  { isNew = true, attached, floorRefused }: Partial<Pick<Known, 'isNew' | 'attached' | 'floorRefused'>> = {},
): Known {
  const found = isNew && isConnected(snapshot) ? { addresses: [], isFound: true } : undefined;
  return { id, snapshot, isNew, attached: attached ?? found, floorRefused };
}
